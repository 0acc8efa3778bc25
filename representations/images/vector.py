"""Vector pictures: closed Bezier shapes with colours, which a prompt moves, bends and paints.

Shapes lie one over the other, as in an SVG file, and `svg.svg_of` writes what is drawn here. (Differentiable vector
graphics: Li et al. 2020; with score distillation: Jain et al. 2023, "VectorFusion".)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from representations.images.coverage import coverage
from representations.images.pixels import FlatImage

SEGMENTS = 4
"""Cubic segments of a shape: a circle needs four."""

LINES = 8
"""Straight lines that each segment is drawn with."""

CIRCLE = 4 / 3 * (math.sqrt(2) - 1)
"""How far the inner points of a quarter circle's segment are from its ends, in radii."""

SCRAP = 5e-4
"""Of less of the picture, a shape is a scrap: a run leaves some of them lying around, which it did not see in its own
small pictures, and which are ugly in print."""

LOOKED_AT = 128
"""Pixels along one side of the picture in which scraps are looked for."""

OUTSIDE = 0.5
"""How far a shape's points may leave the picture, in sides of it."""


@dataclass(frozen=True)
class Shape:
    """One shape of a picture.

    Attributes:
        points: (3 SEGMENTS, 2) in [0, 1] from the upper left corner: an end, two inner points, the next end, ...
        colour: red, green and blue in [0, 1].
        opacity: in [0, 1].
    """

    points: Tensor
    colour: tuple[float, float, float]
    opacity: float


class VectorImage(FlatImage):
    """Shapes over a white ground, random circles at first.

    Args:
        size: pixels along one side of what is drawn.
        shapes: how many.
        generator: draws where the circles are, their colours and their order.
    """

    def __init__(self, size: int, shapes: int, generator: torch.Generator) -> None:
        super().__init__()
        if size < 1 or shapes < 1:
            raise ValueError(f"a vector picture needs a pixel and a shape or more, not {size} and {shapes}")
        self.size = size
        device = generator.device
        # Large ones below, small ones above, so that none is hidden at first.
        radius = 0.25 / math.sqrt(shapes) * torch.linspace(1.6, 0.6, shapes, device=device)
        centre = 0.15 + 0.7 * torch.rand(shapes, 1, 2, generator=generator, device=device)
        self.points = nn.Parameter(centre + radius[:, None, None] * circle().to(device))
        self.colours = nn.Parameter(torch.randn(shapes, 3, generator=generator, device=device))
        self.opacities = nn.Parameter(torch.full((shapes,), 2.0, device=device))

    def image(self) -> Tensor:
        """(1, 3, size, size) the picture in [0, 1]."""
        return self.drawn(self.size)[None]

    def drawn(self, size: int) -> Tensor:
        """(3, size, size): the picture at any size, each shape over those before it, in the colours' own space."""
        shares, ground = self._shares(size)
        return torch.einsum("shw,sc->chw", shares, self.colours.sigmoid()) + ground

    def _shares(self, size: int) -> tuple[Tensor, Tensor]:
        """(S, size, size) how much of each pixel has the colour of each shape, and (size, size) of the white ground."""
        covered = coverage(outlines(self._within()) * size, size, size)
        alpha = covered * self.opacities.sigmoid()[:, None, None]
        # What is left of the ground below shape k, when all from k on have been drawn.
        through = (1 - alpha).flip(0).cumprod(0).flip(0)
        above = torch.cat([through[1:], torch.ones_like(through[:1])])
        return alpha * above, through[0]

    @torch.no_grad()
    def without_scraps(self, least: float = SCRAP) -> VectorImage:
        """The same picture without the shapes of which hardly anything is seen; one is left at least.

        Args:
            least: the share of the picture that has a shape's colour, below which it is left out.
        """
        seen = self._shares(LOOKED_AT)[0].mean((1, 2))
        kept = (seen >= least) | (seen == seen.max())
        cleaned = VectorImage(self.size, int(kept.sum()), torch.Generator(self.points.device))
        for own, other in zip(cleaned.parameters(), self.parameters(), strict=True):
            own.copy_(other[kept])
        return cleaned

    def shapes(self) -> list[Shape]:
        """What is drawn, from the bottom to the top."""
        points, colours = self._within().detach().cpu(), self.colours.detach().sigmoid().cpu().tolist()
        opacities = self.opacities.detach().sigmoid().cpu().tolist()
        return [Shape(p, (c[0], c[1], c[2]), opacity) for p, c, opacity in zip(points, colours, opacities, strict=True)]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Points move about half a pixel a step in a picture of 64, colours and opacities as pixels do."""
        return [
            {"params": [self.points], "lr": 0.006},
            {"params": [self.colours], "lr": self.learning_rate},
            {"params": [self.opacities], "lr": self.learning_rate},
        ]

    def _within(self) -> Tensor:
        return self.points.clamp(-OUTSIDE, 1 + OUTSIDE)


def circle() -> Tensor:
    """(3 SEGMENTS, 2) points of the unit circle around the origin."""
    points = []
    for quarter in range(SEGMENTS):
        angle = quarter * 2 * math.pi / SEGMENTS
        along, across = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))
        points += [
            along,
            (along[0] + CIRCLE * across[0], along[1] + CIRCLE * across[1]),
            (across[0] + CIRCLE * along[0], across[1] + CIRCLE * along[1]),
        ]
    return torch.tensor(points)


def outlines(points: Tensor, lines: int = LINES) -> Tensor:
    """Closed cubic Bezier curves as polygons.

    Args:
        points: (S, 3 K, 2): the first end of each of K segments and its two inner points; the next begins at its end.
        lines: for each segment.

    Returns:
        (S, K lines, 2), beginning at the first point.
    """
    if points.dim() != 3 or points.shape[1] % 3 or not points.shape[1]:
        raise ValueError(f"closed cubic curves have (S, 3 K, 2) points, not {tuple(points.shape)}")
    u = torch.arange(lines, device=points.device, dtype=points.dtype) / lines
    basis = torch.stack([(1 - u) ** 3, 3 * (1 - u) ** 2 * u, 3 * (1 - u) * u**2, u**3])
    by_segment = points.reshape(len(points), -1, 3, 2)
    corners = torch.cat([by_segment, by_segment[:, :, :1].roll(-1, dims=1)], dim=2)
    return torch.einsum("cl,skcd->skld", basis, corners).reshape(len(points), -1, 2)
