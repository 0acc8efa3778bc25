"""What a shape teacher has understood and imagined already, so that it does not have to again."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

import torch
from torch import Tensor

from sds.teachers.embedded_words import Lexicon, Understanding
from sds.teachers.scene import Scene, candidates_of, imagined_scene, rows_of
from sds.teachers.shape_prior import ShapePrior

_BYTES_OF_SCENES = 2**28
_BYTES_OF_THINGS = 3 * 2**29
"""Enough for 700 things of 48 cells along a side: who asks for all nouns in turn computes each thing once."""
_PROMPTS = 4096

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Mind:
    """The thoughts of one shape prior about prompts; those that were not needed for longest are forgotten first.

    Args:
        prior: knows things.
        lexicon: reads prompts.
    """

    def __init__(self, prior: ShapePrior, lexicon: Lexicon) -> None:
        self.prior = prior
        self.lexicon = lexicon
        self._understood: dict[str, Understanding] = {}
        self._things: _Memory[tuple[int, int], Tensor] = _Memory(_BYTES_OF_THINGS, _bytes_of)
        self._scenes: _Memory[tuple[str, int, int], Scene] = _Memory(
            _BYTES_OF_SCENES, lambda scene: _bytes_of(scene.field)
        )

    def understand(self, prompt: str) -> Understanding:
        """What is made of a prompt."""
        if prompt not in self._understood:
            if len(self._understood) >= _PROMPTS:
                self._understood.clear()
            self._understood[prompt] = self.lexicon.understand(prompt)
        return self._understood[prompt]

    def possible(self, prompt: str) -> int:
        """How many different scenes a prompt may mean."""
        return candidates_of(self.prior, self.understand(prompt))

    def rows(self, prompt: str, number: int) -> list[int]:
        """The rows of the prior's codes in scene `number` of a prompt."""
        return rows_of(self.prior, self.understand(prompt), number)

    def scene(self, prompt: str, number: int, side: int) -> Scene:
        """Scene `number` of a prompt in a field of `side` cells, see `sds.teachers.scene.imagined_scene`."""
        understood = self.understand(prompt)
        return self._scenes.recall(
            (prompt, number, side),
            lambda: imagined_scene(self.prior, understood, number, partial(self._thing, side=side)),
        )

    def _thing(self, row: int, side: int) -> Tensor:
        def imagined() -> Tensor:
            return self.prior.field(self.prior.code.weight[row], side).to("cpu", torch.float16)

        return self._things.recall((row, side), imagined).float()


def _bytes_of(tensor: Tensor) -> int:
    return tensor.nbytes


class _Memory(Generic[Key, Value]):
    """Values by key, of so many bytes at most (but always the latest)."""

    def __init__(self, most: int, size: Callable[[Value], int]) -> None:
        self._most = most
        self._size = size
        self._bytes = 0
        self._kept: dict[Key, Value] = {}

    def recall(self, key: Key, compute: Callable[[], Value]) -> Value:
        """What is kept, or computed now."""
        value = self._kept.pop(key, None)
        if value is None:
            value = compute()
            self._bytes += self._size(value)
        self._kept[key] = value
        while self._bytes > self._most and len(self._kept) > 1:
            self._bytes -= self._size(self._kept.pop(next(iter(self._kept))))
        return value
