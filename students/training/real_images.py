"""Real pictures to learn from, with what each shows and, if it is known, from where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from sds.denoiser import Teacher
from students.prompts import Asked, StoredView
from students.training.batches import Batch


class Pictures(Protocol):
    """Pictures by their numbers: a tensor of them, or something that reads them when they are asked for."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, chosen: Tensor) -> Tensor:
        """uint8 of shape (chosen, 3, height, width), sRGB."""
        ...


class RealImages:
    """Pictures, each told to the teacher by its caption: a `students.training.batches.ImageSource`.

    Args:
        pictures: all of one size.
        captions: one for each, told as prompts.
        teacher: understands prompts and views, and encodes pictures.
        view: of all pictures, or None if it is not known.

    Raises:
        ValueError: if the numbers of pictures, captions and views differ.
    """

    def __init__(
        self, pictures: Pictures, captions: Sequence[str], teacher: Teacher, view: StoredView | None = None
    ) -> None:
        counts = {len(pictures), len(captions)} | ({len(view.azimuth)} if view is not None else set())
        if len(counts) != 1:
            raise ValueError(f"pictures, captions and views must be equally many, not {sorted(counts)}")
        self.pictures, self.captions, self.teacher, self.view = pictures, list(captions), teacher, view

    def __len__(self) -> int:
        return len(self.pictures)

    @torch.no_grad()
    def __call__(self, count: int, rng: torch.Generator) -> Batch:
        """``count`` of the pictures, with replacement, each with new noise."""
        chosen = torch.randint(len(self), (count,), generator=rng)
        condition = self.teacher.condition(*self._asked(chosen))
        device = next(iter(condition.tensors.values())).device
        x0 = self.teacher.encode(self.pictures[chosen].to(device).float() / 255)
        noise = torch.randn(x0.shape, generator=rng).to(x0)
        return Batch(noise, condition, x0)

    def ask(self, count: int, rng: torch.Generator) -> Asked:
        """Captions and views of ``count`` of the pictures, for students that shall draw the like."""
        return self._asked(torch.randint(len(self), (count,), generator=rng))

    def _asked(self, chosen: Tensor) -> Asked:
        view = None if self.view is None else self.view.part(chosen)
        return [self.captions[i] for i in chosen], view
