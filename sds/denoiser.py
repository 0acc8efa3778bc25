"""The contract that teacher, critic and student all meet: ``denoiser(x_t, t, condition) -> x0``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from sds.schedule import NoiseSchedule


class View(Protocol):
    """From where an object is seen, and over what: all that a teacher can be told about a camera."""

    @property
    def azimuth(self) -> Tensor:
        """Shape (batch,), radians; 0 sees the front, and it grows counter-clockwise seen from above."""
        ...

    @property
    def elevation(self) -> Tensor:
        """Shape (batch,), radians above the horizon."""
        ...

    @property
    def background(self) -> Tensor:
        """Shape (batch, 3), the colour in [0, 1] that the object was drawn over."""
        ...


@dataclass(frozen=True)
class Condition:
    """What a denoiser is told beside x_t and t: named tensors with the batch as their first dimension.

    Only the denoiser that made it knows what is inside; everybody else may cut, join and move it.
    """

    tensors: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        sizes = {name: len(tensor) for name, tensor in self.tensors.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"the tensors of a condition must have one batch size, at least one tensor: {sizes}")

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def __getitem__(self, index: slice | Tensor) -> Condition:
        """The rows that ``index`` (a slice, or a tensor of indices or booleans) picks."""
        return Condition({name: tensor[index] for name, tensor in self.tensors.items()})

    @property
    def device(self) -> torch.device:
        """Where its tensors are, which is where its denoiser computes."""
        return next(iter(self.tensors.values())).device

    def to(self, device: torch.device | str) -> Condition:
        """The same condition on another device."""
        return Condition({name: tensor.to(device) for name, tensor in self.tensors.items()})

    def lerp(self, other: Condition, weight: Tensor) -> Condition:
        """Between this condition (weight 0) and ``other`` (weight 1), each row by its own weight of shape (batch,)."""
        return Condition(
            {
                name: torch.lerp(tensor, other.tensors[name], weight.to(tensor).reshape(-1, *[1] * (tensor.dim() - 1)))
                for name, tensor in self.tensors.items()
            }
        )

    @staticmethod
    def concatenate(conditions: Sequence[Condition]) -> Condition:
        """The rows of all ``conditions``, one after another. Raises ValueError if they hold different tensors."""
        names = conditions[0].tensors.keys()
        if any(condition.tensors.keys() != names for condition in conditions):
            raise ValueError("conditions of different denoisers cannot be joined")
        return Condition({name: torch.cat([condition.tensors[name] for condition in conditions]) for name in names})


def views_together(teacher: object) -> int:
    """How many pictures in a row a teacher takes for views of one object, all at one noise level; 1 for most."""
    return int(getattr(teacher, "views_together", 1))


def require_prompts(prompts: Sequence[str]) -> None:
    """Raises ValueError for a bare string, which would be read letter by letter, and for what is no text."""
    if isinstance(prompts, str):
        raise ValueError(f"prompts are a list with one text for each image: [{prompts!r}], not {prompts!r}")
    for prompt in prompts:
        if not isinstance(prompt, str):
            raise ValueError(f"a prompt is a text, not {prompt!r}")


class Denoiser(Protocol):
    """Predicts the clean image. Everything the engine computes is built from calls of this one method."""

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise levels that the denoiser knows."""
        ...

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """E[x0 | x_t], shape of ``x_t``, for times ``t`` of shape (batch,)."""
        ...


class Teacher(Denoiser, Protocol):
    """A frozen denoiser that understands prompts and images."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the x it denoises."""
        ...

    @property
    def knows_views(self) -> bool:
        """Whether `condition` uses the view; if not, the view must be said in words (`sds.prompts`)."""
        ...

    def condition(self, prompts: Sequence[str], view: View | None) -> Condition:
        """What the denoiser is told for these prompts, one for each image, seen from ``view``.

        The empty prompt is the null prompt of classifier-free guidance; it still knows the view. All that depends on
        the prompt and the view alone is computed here, so one condition serves many x_t and t.
        """
        ...

    def encode(self, image: Tensor) -> Tensor:
        """An image of shape (batch, 3, height, width) in [0, 1] as x of `shape`. Differentiable, resizes by itself."""
        ...

    def decode(self, x: Tensor) -> Tensor:
        """The inverse of `encode` up to the size: x as an image in [0, 1]."""
        ...


class NeuralTeacher(Teacher, Protocol):
    """A teacher that is a network, so that critics and students can start as copies of it."""

    @property
    def network(self) -> nn.Module:
        """The frozen network."""
        ...

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """What the teacher computes, by another network of the same shape in its place. Differentiable."""
        ...
