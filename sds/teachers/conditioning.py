"""From prompts and a camera to what a denoising network is told: text states, a class number, nothing."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from sds.denoiser import Condition, View


class PromptError(ValueError):
    """A teacher was asked for something that it cannot be told. The message says what it can."""


class Conditioner(Protocol):
    """Says to a network in its own terms what prompts say to people."""

    @property
    def vocabulary(self) -> Sequence[str] | None:
        """All prompts that there are: class names, or the empty prompt alone; None where any text is one."""
        ...

    @property
    def has_null(self) -> bool:
        """Whether there is something besides the prompt to guide away from: a null prompt that is not all it knows."""
        ...

    @property
    def takes_sentences(self) -> bool:
        """Whether a prompt may be any text, to which words on the view can be added."""
        ...

    def __call__(self, prompts: Sequence[str]) -> Condition:
        """One row for each prompt; the empty prompt is the null prompt of classifier-free guidance."""
        ...

    def release(self) -> None:
        """Frees what is only needed for prompts that were not seen before."""
        ...


@dataclass
class TextConditioner:
    """Prompts as the states of text encoders. Each prompt is encoded once and kept.

    Prompts are encoded one by one: a prompt's states then do not depend, in the last digits, on its company.

    Attributes:
        encode: one prompt to named tensors without a batch dimension; None once released.
        kept: the tensors of each prompt seen so far.
    """

    encode: Callable[[str], Mapping[str, Tensor]] | None
    kept: dict[str, Mapping[str, Tensor]] = field(default_factory=dict)
    takes_sentences: bool = field(default=True, init=False)
    vocabulary: None = field(default=None, init=False)
    has_null: bool = field(default=True, init=False)

    def __call__(self, prompts: Sequence[str]) -> Condition:
        """See `Conditioner`. Raises RuntimeError for a new prompt after `release`."""
        rows = [self.row(prompt) for prompt in prompts]
        return Condition({name: torch.stack([row[name] for row in rows]) for name in rows[0]})

    def row(self, prompt: str) -> Mapping[str, Tensor]:
        """The tensors of one prompt."""
        if prompt not in self.kept:
            if self.encode is None:
                raise RuntimeError(
                    f"the text encoders were released before the prompt '{prompt}' was encoded; "
                    "call condition() for every prompt before release_text_encoders()"
                )
            self.kept[prompt] = self.encode(prompt)
        return self.kept[prompt]

    def release(self) -> None:
        """Lets go of the text encoders. The null prompt and all prompts seen so far stay usable."""
        self.row("")
        self.encode = None


@dataclass(frozen=True)
class ClassConditioner:
    """Prompts that are the name or the number of a class.

    Attributes:
        labels: class names in small letters, with their numbers; one may be "", the null class.
        count: numbers below this one are classes.
        null: the number of "no class in particular"; None if the network was trained without.
    """

    labels: Mapping[str, int]
    count: int
    null: int | None
    device: torch.device
    takes_sentences: bool = field(default=False, init=False)

    @property
    def vocabulary(self) -> Sequence[str]:
        """A name for each class, or its number where it has none; the null class is no prompt."""
        named = {number: name for name, number in reversed(list(self.labels.items())) if name}
        return [named.get(number, str(number)) for number in range(self.count) if number != self.null]

    @property
    def has_null(self) -> bool:
        """Whether the network was trained with a null class."""
        return self.null is not None

    def __call__(self, prompts: Sequence[str]) -> Condition:
        """See `Conditioner`. Raises PromptError for a prompt that is no class."""
        return Condition({"class": torch.tensor([self.number(prompt) for prompt in prompts], device=self.device)})

    def number(self, prompt: str) -> int:
        """The class that a prompt names."""
        name = prompt.strip().lower()
        if name in self.labels:
            return self.labels[name]
        if name.isdecimal() and int(name) < self.count:
            return int(name)
        if name:
            near = difflib.get_close_matches(name, self.labels, n=3)
            hint = f"; near names: {', '.join(near)}" if near else f"; names: {', '.join(list(self.labels)[:10])}"
            raise PromptError(
                f"'{prompt}' is not a class of this teacher, which takes a class name or a number from 0 to "
                f"{self.count - 1} as its prompt{hint if self.labels else ''}"
            )
        if self.null is None:
            raise PromptError(
                "this teacher was trained without a null class, so it has no unconditional prediction to guide away "
                "from; give it class names only, or a class name as the negative prompt; `scoresmith distill` distils "
                "it with --guidance-scale 1"
            )
        return self.null

    def release(self) -> None:
        """There is nothing to free."""


@dataclass(frozen=True)
class NoConditioner:
    """For a network that is told nothing: every prompt must be empty.

    Attributes:
        device: of the network.
    """

    device: torch.device
    takes_sentences: bool = field(default=False, init=False)
    vocabulary: Sequence[str] = field(default=("",), init=False)
    has_null: bool = field(default=False, init=False)

    def __call__(self, prompts: Sequence[str]) -> Condition:
        """See `Conditioner`. Raises PromptError for a prompt that is not empty."""
        for prompt in prompts:
            if prompt.strip():
                raise PromptError(f"this teacher is unconditional: it cannot be told '{prompt}'; give it no prompt")
        return Condition({"nothing": torch.zeros(len(prompts), 0, device=self.device)})

    def release(self) -> None:
        """There is nothing to free."""


def with_camera(condition: Condition, view: View | None) -> Condition:
    """``condition`` with the view of each of its rows as `camera_numbers`.

    Raises ValueError if there is no view, or not one for each row.
    """
    if view is None:
        raise ValueError("this teacher is told the camera; give it a view for each image")
    camera = camera_numbers(view)
    if len(camera) != len(condition):
        raise ValueError(f"there are {len(condition)} prompts but {len(camera)} views")
    like = next(iter(condition.tensors.values()))
    return Condition({**condition.tensors, "camera": camera.to(like)})


CAMERA_NUMBERS = 16
"""A UNet whose class embedding projects this many numbers is told the camera, see `camera_numbers`."""


def camera_numbers(view: View) -> Tensor:
    """The camera-to-world matrix, row by row, of a camera on the unit sphere that looks at the origin: (batch, 16).

    Its columns are right, up, backward and position (+Y up, the camera looks along its own -Z). The distance is 1 for
    all: a `View` does not tell it.
    """
    sin_a, cos_a = view.azimuth.sin(), view.azimuth.cos()
    sin_e, cos_e = view.elevation.sin(), view.elevation.cos()
    zero, one = torch.zeros_like(sin_a), torch.ones_like(sin_a)
    right = torch.stack([cos_a, zero, -sin_a, zero], dim=-1)
    up = torch.stack([-sin_e * sin_a, cos_e, -sin_e * cos_a, zero], dim=-1)
    backward = torch.stack([cos_e * sin_a, sin_e, cos_e * cos_a, zero], dim=-1)
    position = torch.stack([cos_e * sin_a, sin_e, cos_e * cos_a, one], dim=-1)
    return torch.stack([right, up, backward, position], dim=-1).flatten(1)
