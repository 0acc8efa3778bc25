"""What a student learns from: noise alone, real images, or the teacher's own pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from sds.denoiser import Condition, Teacher
from students.prompts import Prompts
from students.training.pairs import Pairs


@dataclass(frozen=True)
class Batch:
    """Some noise, perhaps the image that belongs to it, and what the denoisers are told.

    Attributes:
        noise: standard normal, shape (batch, ...).
        condition: one row for each.
        image: x0 of the shape of ``noise``: any real image, or where the noise's path ends; None for noise alone.
        states: the path at several times, shape (batch, times, ...), if it is known.
        times: of the states, float64, falling from 1.
    """

    noise: Tensor
    condition: Condition
    image: Tensor | None = None
    states: Tensor | None = None
    times: Tensor | None = None

    def __len__(self) -> int:
        return len(self.noise)

    @property
    def x0(self) -> Tensor:
        """The image. Raises ValueError if there is none."""
        if self.image is None:
            raise ValueError("this method learns from images: give it real images, or pairs of the teacher")
        return self.image

    @property
    def path(self) -> tuple[Tensor, Tensor]:
        """(states, times). Raises ValueError if they are not known."""
        if self.states is None or self.times is None:
            raise ValueError("this method learns from whole paths: give it pairs that keep states in between")
        return self.states, self.times


BatchSource = Callable[[int, torch.Generator], Batch]
"""(count, rng) -> a batch."""


def noise_batches(prompts: Prompts) -> BatchSource:
    """Noise and prompts, for methods that need no data."""

    def source(count: int, rng: torch.Generator) -> Batch:
        condition = prompts.condition(count, rng)
        return Batch(_noise(count, prompts.teacher.shape, condition, rng), condition)

    return source


class ImageSource(Protocol):
    """A `BatchSource` of images that knows how many different ones it has."""

    def __len__(self) -> int:
        """The number of different images."""
        ...

    def __call__(self, count: int, rng: torch.Generator) -> Batch:
        """``count`` of them, each with new noise."""
        ...


class Images:
    """Real images in memory, each with new noise whenever it is drawn: a `BatchSource`.

    Args:
        x0: shape (images, ...), in the teacher's x.
        condition: one row for each.

    Raises:
        ValueError: if their numbers differ.
    """

    def __init__(self, x0: Tensor, condition: Condition) -> None:
        if len(condition) != len(x0):
            raise ValueError(f"{len(x0)} images need a condition each, not {len(condition)} conditions")
        self.x0, self.condition = x0, condition

    def __len__(self) -> int:
        return len(self.x0)

    def __call__(self, count: int, rng: torch.Generator) -> Batch:
        """``count`` of the images, with replacement."""
        chosen = torch.randint(len(self.x0), (count,), generator=rng)
        x0, condition = self.x0[chosen.to(self.x0.device)], self.condition[chosen]
        return Batch(_noise(count, tuple(x0.shape[1:]), condition, rng).to(x0), condition, x0)


def pair_batches(pairs: Pairs, teacher: Teacher) -> BatchSource:
    """The teacher's own pairs, with the states between them."""

    def source(count: int, rng: torch.Generator) -> Batch:
        return _pairs(pairs, teacher, torch.randint(len(pairs), (count,), generator=rng))

    return source


class TeacherImages:
    """The images of the teacher's pairs, each with new noise: an `ImageSource` where there are no real images."""

    def __init__(self, pairs: Pairs, teacher: Teacher) -> None:
        self.pairs, self.teacher = pairs, teacher

    def __len__(self) -> int:
        return len(self.pairs)

    def __call__(self, count: int, rng: torch.Generator) -> Batch:
        """``count`` of the images, with replacement."""
        batch = _pairs(self.pairs, self.teacher, torch.randint(len(self.pairs), (count,), generator=rng))
        noise = _noise(count, self.teacher.shape, batch.condition, rng)
        return replace(batch, noise=noise, states=None, times=None)


def _pairs(pairs: Pairs, teacher: Teacher, chosen: Tensor) -> Batch:
    """The pairs at the indices ``chosen``."""
    condition = pairs.condition(teacher, chosen)
    states = pairs.states[chosen].to(next(iter(condition.tensors.values())).device)
    return Batch(states[:, 0], condition, states[:, -1], states, pairs.times)


def _noise(count: int, shape: tuple[int, ...], condition: Condition, rng: torch.Generator) -> Tensor:
    """Standard normal noise on the device of ``condition``, drawn on the CPU so that a seed means the same anywhere."""
    return torch.randn(count, *shape, generator=rng).to(next(iter(condition.tensors.values())).device)
