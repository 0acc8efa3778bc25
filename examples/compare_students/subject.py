"""What a teacher of the comparison draws: small pictures of ten kinds, some of which nobody has seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from diffusers import UNet2DModel
from torch import Tensor

Labelled = tuple[Tensor, Tensor]
"""Pictures (count, 3, side, side) in [0, 1] and the numbers of their kinds (count,)."""


@dataclass(frozen=True)
class Subject:
    """Pictures, the network that learns to draw them, and the features by which who draws is judged.

    Attributes:
        title: what the pictures show, in the plural.
        names: of the kinds.
        seen: what teachers and students may learn from.
        held_out: what no teacher and no student sees: the reference.
        new_unet: the teacher's network, told the kind; the class ``len(names)`` stands for none in particular.
        features: pictures -> (count, width).
        teacher: the folder of the one that travels with the comparison.
        unit: from a squared distance of features to the one that is reported.
        draws: sets of pictures, as many as are held out, that each draws and is judged by: one set may be lucky.
    """

    title: str
    names: tuple[str, ...]
    seen: Labelled
    held_out: Labelled
    new_unet: Callable[[], UNet2DModel]
    features: Callable[[Tensor], Tensor]
    teacher: Path
    unit: float = 1.0
    draws: int = 4

    @property
    def null(self) -> int:
        """The class that stands for no class in particular."""
        return len(self.names)

    @cached_property
    def reference(self) -> Tensor:
        """Features of what is held out, (held out, width)."""
        return self.features(self.held_out[0])

    @cached_property
    def shown(self) -> Tensor:
        """Features of as many pictures that may be learned from."""
        return self.features(self.seen[0][: len(self.held_out[0])])

    def wanted(self) -> list[str]:
        """The kinds that are asked for: those of what was held out, in its order."""
        return [self.names[kind] for kind in self.held_out[1]]
