"""What things can be made of: a colour, a pattern in space, and how it reflects light."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Colour = tuple[float, float, float]
Pattern = Callable[[Tensor], Tensor]
"""Points (..., 3) within [-1, 1] -> (..., 1) in [0, 1]: 0 is the colour itself, 1 the material's second colour."""

COLOURS: dict[str, Colour] = {
    "red": (0.86, 0.08, 0.08),
    "orange": (0.98, 0.50, 0.05),
    "yellow": (0.96, 0.86, 0.10),
    "green": (0.12, 0.62, 0.16),
    "turquoise": (0.10, 0.78, 0.76),
    "blue": (0.10, 0.22, 0.86),
    "purple": (0.50, 0.12, 0.66),
    "pink": (0.98, 0.50, 0.70),
    "brown": (0.46, 0.27, 0.12),
    "black": (0.07, 0.07, 0.07),
    "gray": (0.50, 0.50, 0.50),
    "white": (0.97, 0.97, 0.97),
}


@dataclass(frozen=True)
class Material:
    """A material that a prompt may name.

    Attributes:
        colour: its own, unless the prompt names another; None keeps the colour of the thing.
        second: the pattern's other colour; None darkens the first one.
        pattern: where the second colour is; None: nowhere.
        roughness, metallic: as in glTF 2.0, both in [0, 1].
    """

    colour: Colour | None
    second: Colour | None = None
    pattern: Pattern | None = None
    roughness: float = 0.8
    metallic: float = 0.0


@dataclass(frozen=True)
class Paint:
    """What the paintable parts of a thing are covered with: a colour, and a material's pattern."""

    colour: Colour
    material: Material | None = None

    def colour_at(self, points: Tensor) -> Tensor:
        """Colours (..., 3) in [0, 1] at points (..., 3)."""
        first = torch.tensor(self.colour, dtype=points.dtype, device=points.device)
        if self.material is None or self.material.pattern is None:
            return first.expand_as(points)
        second = first * 0.62 if self.material.second is None else first.new_tensor(self.material.second)
        return first + (second - first) * self.material.pattern(points)


def _waves(points: Tensor, frequency: float) -> Tensor:
    """Irregular bumps in [-1, 1] about 1 / frequency across: sines along directions that do not repeat."""
    directions = points.new_tensor(
        [[0.8, 0.36, 0.48], [-0.6, 0.64, 0.48], [0.0, -0.6, 0.8], [0.53, 0.27, -0.8], [-0.29, -0.91, 0.3]]
    )
    phases = points.new_tensor([0.3, 1.7, 3.1, 4.4, 5.2])
    return torch.sin(frequency * math.tau * (points @ directions.T) + phases).mean(-1, keepdim=True)


def _grain(points: Tensor) -> Tensor:
    x, y, z = points.unbind(-1)
    rings = torch.sin(26 * (x + 0.45 * z) + 2.2 * torch.sin(2.6 * y + 1.3 * x))[..., None] + _waves(points, 1.6)
    return (0.5 + 0.4 * rings).clamp(0, 1)


def _mottled(points: Tensor) -> Tensor:
    return (0.5 + 0.6 * (_waves(points, 1.9) + 0.7 * _waves(points.flip(-1) + 0.3, 4.1))).clamp(0, 1)


def _veins(points: Tensor) -> Tensor:
    return (1 - 5 * (_waves(points, 1.1) + 0.35 * _waves(points.roll(1, -1), 2.7)).abs()).clamp(0, 1)


def _stripes(points: Tensor) -> Tensor:
    return (torch.sin(math.tau * 3.5 * points[..., :1]) * 3 + 0.5).clamp(0, 1)


def _checks(points: Tensor) -> Tensor:
    return (torch.sin(math.tau * 1.9 * points + 0.4).prod(-1, keepdim=True) * 12 + 0.5).clamp(0, 1)


def _dots(points: Tensor) -> Tensor:
    return (torch.cos(math.tau * 2.6 * points).mean(-1, keepdim=True) * 10 - 2.2).clamp(0, 1)


def _courses(points: Tensor) -> Tensor:
    """Bricks: mortar between rows, and between the bricks of a row, every other one shifted by half."""
    row = points[..., 1:2] * 6
    along = (points[..., :1] + points[..., 2:]) * 3 + 0.5 * (row.floor() % 2)
    gap = torch.minimum((row - row.round()).abs() / 6, (along - along.round()).abs() / 3)
    return (1.6 - gap * 60).clamp(0, 1)


_WHITE = (0.96, 0.96, 0.95)

MATERIALS: Mapping[str, Material] = {
    "wooden": Material((0.62, 0.40, 0.20), None, _grain, 0.7),
    "metal": Material((0.63, 0.64, 0.66), None, None, 0.35, 1.0),
    "golden": Material((0.90, 0.69, 0.22), None, None, 0.25, 1.0),
    "silver": Material((0.83, 0.84, 0.86), None, None, 0.2, 1.0),
    "copper": Material((0.80, 0.46, 0.30), None, None, 0.3, 1.0),
    "stone": Material((0.62, 0.60, 0.57), (0.40, 0.39, 0.38), _mottled, 0.95),
    "marble": Material((0.92, 0.91, 0.89), (0.48, 0.48, 0.50), _veins, 0.25),
    "brick": Material((0.66, 0.27, 0.20), (0.78, 0.74, 0.70), _courses, 0.95),
    "plastic": Material(None, None, None, 0.45),
    "ceramic": Material(None, None, None, 0.15),
    "glass": Material(None, None, None, 0.05),
    "leather": Material(None, None, None, 0.5),
    "fabric": Material(None, None, None, 0.95),
    "striped": Material(None, _WHITE, _stripes, 0.8),
    "checkered": Material(None, _WHITE, _checks, 0.8),
    "dotted": Material(None, _WHITE, _dots, 0.8),
}
"""The materials by the adjectives of the language, see `sds.teachers` words."""

DEFAULT_PATTERNED: Colour = COLOURS["red"]
"""What is striped, dotted or checkered with white, if the prompt names no colour."""


def paint_of(colour: str | None, material: str | None) -> Paint | None:
    """What "red", "wooden" or "red wooden" covers things with; None if they stay as they are.

    Raises:
        KeyError: there is no such colour or material.
    """
    if colour is None and material is None:
        return None
    made_of = MATERIALS[material] if material is not None else None
    if colour is not None:
        return Paint(COLOURS[colour], made_of)
    assert made_of is not None
    if made_of.colour is not None:
        return Paint(made_of.colour, made_of)
    return Paint(DEFAULT_PATTERNED, made_of) if made_of.pattern is not None else None
