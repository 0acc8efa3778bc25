"""What a model is in space, as seen from outside: signed distances, colours and normals at random points.

Models of catalogues are soups of sheets, not solids. What matters is what can be seen: a point is outside if some
camera around the object sees past it, and everything else, hidden cavities included, counts as inside. Sheets get a
thickness of 2 `THICKENED`, since a sheet without any could not be seen in a field of distances.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray
from render import ViewAngles, to_clip_space
from render_looks import LookRenderer, Seen
from scipy.spatial import cKDTree

THICKENED = 0.010
TRUNCATED = 0.1
"""Distances beyond this are all alike."""
POINT_SCALE = 32767
VALUES = 9
"""Distance, colour (3), whether painted, relative luminance, normal (3)."""

_SIDE = 256
_SURFACE_POINTS = 120_000
_SLACK = 0.006


def sample_field(
    renderer: LookRenderer, count: int, generator: np.random.Generator, cameras: int = 72
) -> tuple[NDArray[np.int16], NDArray[np.int8]]:
    """Random points, three in four of them near the surface, and what is there.

    Args:
        renderer: sees the model.
        count: how many points.
        generator: of what is random.
        cameras: how many look at it, from all around.

    Returns:
        Points (count, 3), as shares of `POINT_SCALE`; values (count, `VALUES`): the distance in shares of
        `TRUNCATED` / 127 (negative inside), colour - 0.5 in shares of 1 / 254, painted (0 or 1), luminance - 0.5 in
        shares of 1 / 254, normal in shares of 1 / 127.
    """
    views = _all_around(cameras)
    seen = [renderer.see(view, _SIDE) for view in views]
    surface, normal, colour, dominant, luminance = _visible_surface(seen, generator)
    points = _random_points(surface, normal, count, generator)
    distance, nearest = cKDTree(surface).query(points)
    outside = np.zeros(len(points), np.bool_)
    for view, picture in zip(views, seen, strict=True):
        _mark_outside(to_clip_space(points, view), picture.depth, outside)
    signed = np.where(outside, distance, -distance) - THICKENED
    values = np.zeros((count, VALUES), np.int8)
    values[:, 0] = np.clip(np.round(signed * 127 / TRUNCATED), -127, 127)
    values[:, 1:4] = np.round((colour[nearest] - 0.5) * 254)
    values[:, 4] = dominant[nearest]
    values[:, 5] = np.round((luminance[nearest] - 0.5) * 254)
    values[:, 6:9] = np.round(normal[nearest] * 127)
    return np.round(points.clip(-1, 1) * POINT_SCALE).astype(np.int16), values


def _all_around(count: int) -> list[ViewAngles]:
    """Directions evenly over the sphere (a Fibonacci lattice), not quite from straight above or below."""
    golden = math.pi * (3 - math.sqrt(5))
    heights = [1 - 2 * (i + 0.5) / count for i in range(count)]
    return [ViewAngles(golden * i, math.asin(height)) for i, height in enumerate(heights)]


def _visible_surface(seen: list[Seen], generator: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
    """Positions, normals, colours, dominance and luminance of points spread evenly over all that is visible."""
    position = np.concatenate([picture.position for picture in seen])
    order = generator.permutation(len(position))
    cell = np.floor((position[order] + 1) * 128).astype(np.int64)
    # One view's normals of a thin sheet point one way, another's the other: both sides are kept.
    normal = np.concatenate([picture.normal for picture in seen])
    side = (normal[order] > 0.3).astype(np.int64) @ np.array([1, 2, 4])
    _, first = np.unique((((cell[:, 0] * 512 + cell[:, 1]) * 512 + cell[:, 2]) * 8) + side, return_index=True)
    kept = order[first]
    if len(kept) > _SURFACE_POINTS:
        kept = generator.choice(kept, _SURFACE_POINTS, replace=False)
    return (
        position[kept],
        normal[kept],
        np.concatenate([picture.colour for picture in seen])[kept],
        np.concatenate([picture.dominant for picture in seen])[kept],
        np.concatenate([picture.luminance for picture in seen])[kept],
    )


def _random_points(
    surface: NDArray[np.float32], normal: NDArray[np.float32], count: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    chosen = generator.integers(len(surface), size=count)
    points = surface[chosen] + normal[chosen] * (0.02 * generator.standard_normal((count, 1)))
    near = count // 2
    points[near:] = surface[chosen[near:]] + 0.06 * generator.standard_normal((count - near, 3))
    anywhere = 3 * count // 4
    points[anywhere:] = generator.uniform(-0.95, 0.95, (count - anywhere, 3))
    return points.astype(np.float32)


@numba.njit(cache=True)
def _mark_outside(clip: NDArray[np.float32], depth: NDArray[np.float32], outside: NDArray[np.bool_]) -> None:
    """A point is outside where all four pixels around it see past it."""
    side = depth.shape[0]
    for i in range(clip.shape[0]):
        if outside[i]:
            continue
        w = clip[i, 3]
        x = (clip[i, 0] / w + 1.0) * 0.5 * side - 0.5
        y = (1.0 - clip[i, 1] / w) * 0.5 * side - 0.5
        column, row = int(np.floor(x)), int(np.floor(y))
        if column < 0 or row < 0 or column + 1 >= side or row + 1 >= side:
            outside[i] = True
            continue
        nearest = min(
            min(depth[row, column], depth[row, column + 1]), min(depth[row + 1, column], depth[row + 1, column + 1])
        )
        if w < nearest - _SLACK:
            outside[i] = True
