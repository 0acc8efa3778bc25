"""Laying projected Gaussians over each other, nearest first: compiled for the CPU, gsplat's kernels on a card.

Each pixel takes alpha_i = opacity_i exp(-(a x^2 + c y^2) / 2 - b x y) of what light is left (Kerbl et al. 2023,
equation 3). One Gaussian after the other is added to the pixels of its own rectangle, so that nothing has to be sorted
into tiles; backwards the light in front of each is got back by division: only the last of each pixel is stored.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from representations.accelerators import Accelerator
from representations.compilation import compiled
from representations.gaussians.projection import Projected

Array = NDArray[np.float64]

FAINTEST = 1 / 255
"""Less than this of a Gaussian is not seen."""

DENSEST = 0.999
"""More than this no Gaussian stops: what is behind must keep a gradient."""

DARKEST = 1e-4
"""A pixel with less light left than this is finished."""


def splat(projected: Projected, colours: Tensor, opacities: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """What is seen of Gaussians.

    Args:
        projected: see `project`.
        colours: (N, 3).
        opacities: (N,) in [0, 1].
        size: pixels along one side.

    Returns:
        (size, size, 3) colours over black, and (size, size) the light that passes; differentiable in everything.

    Raises:
        ValueError: if there are not as many colours and opacities as Gaussians.
    """
    count = len(projected.centres)
    if colours.shape != (count, 3) or opacities.shape != (count,):
        raise ValueError(
            f"{count} Gaussians need colours of ({count}, 3) and opacities of ({count},), not "
            f"{tuple(colours.shape)} and {tuple(opacities.shape)}"
        )
    draw = _splat_by_gsplat if GSPLAT.works_for(projected.centres) else _splat_by_compiled_loops
    return draw(projected, colours, opacities, size)


def _splat_by_compiled_loops(
    projected: Projected, colours: Tensor, opacities: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    image, light = _Splat.apply(
        projected.centres, projected.conics, colours, opacities, projected.depths.detach(), projected.radii, size
    )
    return image, light


def _splat_by_gsplat(projected: Projected, colours: Tensor, opacities: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The same by gsplat's kernels."""
    from gsplat.cuda._wrapper import isect_offset_encode, isect_tiles, rasterize_to_pixels

    tile = 16
    tiles = -(-size // tile)
    centres, conics = projected.centres[None], projected.conics[None]
    _, keys, order = isect_tiles(centres, projected.radii[None], projected.depths[None], tile, tiles, tiles)
    offsets = isect_offset_encode(keys, 1, tiles, tiles)
    image, opacity = rasterize_to_pixels(
        centres, conics, colours[None], opacities[None], size, size, tile, offsets, order
    )
    return image[0], 1 - opacity[0, ..., 0]


def _try_gsplat() -> tuple[Tensor, Tensor]:
    """Two overlapping Gaussians by gsplat's kernels, and by the compiled loops."""
    projected = Projected(
        torch.tensor([[6.0, 7.0], [9.0, 8.0]], device="cuda"),
        torch.tensor([[0.1, 0.0, 0.2], [0.2, 0.05, 0.1]], device="cuda"),
        torch.tensor([2.0, 1.0], device="cuda"),
        torch.tensor([[11, 8], [8, 11]], device="cuda", dtype=torch.int32),
    )
    colours, opacities = torch.eye(3, device="cuda")[:2], torch.tensor([0.9, 0.5], device="cuda")
    (found, _), (expected, _) = (
        draw(projected, colours, opacities, 16) for draw in (_splat_by_gsplat, _splat_by_compiled_loops)
    )
    return found, expected


GSPLAT = Accelerator("gsplat", "3D Gaussians on CUDA", _try_gsplat)
"""Unverified: no card was at hand."""


class _Splat(torch.autograd.Function):
    """The two kernels as one differentiable function."""

    @staticmethod
    def forward(
        ctx: Any,
        centres: Tensor,
        conics: Tensor,
        colours: Tensor,
        opacities: Tensor,
        depths: Tensor,
        radii: Tensor,
        size: int,
    ) -> tuple[Tensor, Tensor]:
        drawn = torch.nonzero(radii[:, 0] > 0)[:, 0]
        order = drawn[depths[drawn].argsort(stable=True)].cpu().numpy()
        c, f, k, o = (
            part.detach().to("cpu", torch.float64).contiguous().numpy()
            for part in (centres, conics, colours, opacities)
        )
        boxes = radii.detach().to("cpu", torch.int64).contiguous().numpy()
        image, light = np.zeros((size, size, 3)), np.ones((size, size))
        last = np.zeros((size, size), np.int64)
        _lay(c, f, k, o, boxes, order, image, light, last)
        ctx.kept = c, f, k, o, boxes, order, light, last
        ctx.like = centres.detach()
        return torch.from_numpy(image).to(centres), torch.from_numpy(light).to(centres)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_image, by_light = (part.detach().to("cpu", torch.float64).contiguous().numpy() for part in gradients)
        c, f, k, o, boxes, order, light, last = ctx.kept
        out = by_c, by_f, by_k, by_o = np.zeros_like(c), np.zeros_like(f), np.zeros_like(k), np.zeros_like(o)
        _lift(c, f, k, o, boxes, order, light, last, by_image, by_light, by_c, by_f, by_k, by_o)
        return (*(torch.from_numpy(part).to(ctx.like) for part in out), None, None, None)


@compiled
def _lay(
    centres: Array,
    conics: Array,
    colours: Array,
    opacities: Array,
    radii: NDArray[np.int64],
    order: NDArray[np.int64],
    image: Array,
    light: Array,
    last: NDArray[np.int64],
) -> None:
    """Front to back. ``last`` becomes 1 + the place in ``order`` of the last Gaussian that a pixel sees."""
    size = light.shape[0]
    finished = np.zeros((size, size), np.bool_)
    for place in range(order.shape[0]):
        g = order[place]
        mx, my = centres[g, 0], centres[g, 1]
        a, b, c, opacity = conics[g, 0], conics[g, 1], conics[g, 2], opacities[g]
        for row in range(max(0, int(my - radii[g, 1])), min(size, int(my + radii[g, 1]) + 1)):
            y = row + 0.5 - my
            for column in range(max(0, int(mx - radii[g, 0])), min(size, int(mx + radii[g, 0]) + 1)):
                if finished[row, column]:
                    continue
                x = column + 0.5 - mx
                falloff = 0.5 * (a * x * x + c * y * y) + b * x * y
                alpha = min(DENSEST, opacity * np.exp(-falloff))
                if falloff < 0.0 or alpha < FAINTEST:
                    continue
                left = light[row, column] * (1.0 - alpha)
                if left <= DARKEST:
                    finished[row, column] = True
                    continue
                share = light[row, column] * alpha
                for channel in range(3):
                    image[row, column, channel] += share * colours[g, channel]
                light[row, column] = left
                last[row, column] = place + 1


@compiled
def _lift(
    centres: Array,
    conics: Array,
    colours: Array,
    opacities: Array,
    radii: NDArray[np.int64],
    order: NDArray[np.int64],
    light: Array,
    last: NDArray[np.int64],
    by_image: Array,
    by_light: Array,
    by_centres: Array,
    by_conics: Array,
    by_colours: Array,
    by_opacities: Array,
) -> None:
    """Back to front: the gradients of everything that `_lay` read."""
    size = light.shape[0]
    before, behind = light.copy(), np.zeros((size, size))  # the light before what is lifted; what is seen behind it
    for place in range(order.shape[0] - 1, -1, -1):
        g = order[place]
        mx, my = centres[g, 0], centres[g, 1]
        a, b, c, opacity = conics[g, 0], conics[g, 1], conics[g, 2], opacities[g]
        for row in range(max(0, int(my - radii[g, 1])), min(size, int(my + radii[g, 1]) + 1)):
            y = row + 0.5 - my
            for column in range(max(0, int(mx - radii[g, 0])), min(size, int(mx + radii[g, 0]) + 1)):
                if place >= last[row, column]:
                    continue
                x = column + 0.5 - mx
                falloff = 0.5 * (a * x * x + c * y * y) + b * x * y
                fall = np.exp(-falloff)
                alpha = min(DENSEST, opacity * fall)
                if falloff < 0.0 or alpha < FAINTEST:
                    continue
                before[row, column] /= 1.0 - alpha
                share = before[row, column] * alpha
                wanted = 0.0
                for channel in range(3):
                    by_colours[g, channel] += share * by_image[row, column, channel]
                    wanted += colours[g, channel] * by_image[row, column, channel]
                lost = (behind[row, column] + light[row, column] * by_light[row, column]) / (1.0 - alpha)
                behind[row, column] += share * wanted
                if opacity * fall > DENSEST:
                    continue
                by_alpha = before[row, column] * wanted - lost
                by_opacities[g] += by_alpha * fall
                by_falloff = -by_alpha * opacity * fall
                by_conics[g, 0] += by_falloff * 0.5 * x * x
                by_conics[g, 1] += by_falloff * x * y
                by_conics[g, 2] += by_falloff * 0.5 * y * y
                by_centres[g, 0] -= by_falloff * (a * x + b * y)
                by_centres[g, 1] -= by_falloff * (c * y + b * x)
