"""Antialiasing whose gradient moves silhouettes: analytic, after Laine et al. 2020, section 3.6.

A z-buffer decides for each pixel which face it sees, and that decision has no gradient. But between two neighbouring
pixels where the surface ends, the place d in [0, 1] at which its silhouette crosses the line between their centres
does. If the surface ends before the middle (d < 1/2), 1/2 - d of the first pixel shows what is behind; if it ends
after it, d - 1/2 of the second pixel shows the surface. Both are

    (1/2 - d) (second - first)

added to the pixel that the silhouette crosses, and differentiable in d, hence in the silhouette's two vertices.

Two things differ from the paper. The silhouette is looked for not only on the face that is seen: the search walks from
face to face along the line until the surface folds away, so that faces may be smaller than pixels. And a silhouette
counts with sin^2 of its angle for pixels beside each other and with cos^2 for pixels above each other, where the paper
lets one of the two pairs count alone: either way the area that is gained when a straight edge moves is exact, but
weights do not jump when the many short edges of a fine mesh disagree about their direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from representations.compilation import Array, compiled, inlined
from representations.geometry.rasterizer import Visibility
from representations.geometry.topology import require_faces

_LONGEST_WALK = 256
_CONTINUES, _FOLDS, _LEAVES = 0, 1, 2


@dataclass(frozen=True)
class Silhouettes:
    """Where the lines between neighbouring pixels of one image leave a surface: S places.

    Attributes:
        pixels: (S, 2) flat indices of the pixel that sees the surface and of its neighbour.
        vertices: (S, 2) the two vertices of the edge at which the surface ends.
        direction: (S, 2) unit step (columns, rows) from the first pixel to the second.
        weight: (S,) in [0, 1], see the top of this file.
    """

    pixels: NDArray[np.int64]
    vertices: NDArray[np.int64]
    direction: NDArray[np.float32]
    weight: NDArray[np.float32]


def find_silhouettes(
    screen: NDArray[np.float32], faces: NDArray[np.int32], twins: NDArray[np.int32], seen: Visibility
) -> Silhouettes:
    """All silhouettes between neighbouring pixels.

    Args:
        screen: (V, 2) columns and rows of the vertices; pixel (row, column) has its centre half a pixel further.
        faces: (F, 3) indices of vertices.
        twins: (3F,) from `representations.geometry.topology.twin_edges`.
        seen: what `representations.geometry.rasterizer.rasterize` found for them.

    Raises:
        ValueError: if the four are not of one mesh.
    """
    require_faces(faces, len(screen))
    if screen.ndim != 2 or screen.shape[1] != 2:
        raise ValueError(f"the screen must have the shape (V, 2), not {screen.shape}")
    if twins.shape != (3 * len(faces),) or (len(twins) and not -1 <= int(twins.min()) <= int(twins.max()) < len(twins)):
        raise ValueError("the twins are those of another mesh")
    if seen.face.size and not -1 <= int(seen.face.min()) <= int(seen.face.max()) < len(faces):
        raise ValueError("the visibility is that of another mesh")
    most = 2 * seen.face.size
    pixels, vertices = np.empty((most, 2), np.int64), np.empty((most, 2), np.int64)
    direction, weight = np.empty((most, 2), np.float32), np.empty(most, np.float32)
    screen = np.ascontiguousarray(screen, dtype=np.float32)
    count = _search(screen, faces, twins, seen.face, seen.depth, pixels, vertices, direction, weight)
    return Silhouettes(pixels[:count].copy(), vertices[:count].copy(), direction[:count].copy(), weight[:count].copy())


def antialias(image: Tensor, screen: Tensor, silhouettes: Silhouettes) -> Tensor:
    """The image with its silhouettes blended, differentiable with respect to colours and vertices.

    Args:
        image: (H, W, C), one colour for each pixel.
        screen: (V, 2) as in `find_silhouettes`.
        silhouettes: of that image.

    Returns:
        (H, W, C).
    """
    pixels, vertices = (torch.from_numpy(a).to(image.device) for a in (silhouettes.pixels, silhouettes.vertices))
    step, weight = (torch.from_numpy(a).to(image) for a in (silhouettes.direction, silhouettes.weight))
    return blended(image[None], screen, pixels, vertices, step, weight)[0]


def blended(images: Tensor, screen: Tensor, pixels: Tensor, vertices: Tensor, step: Tensor, weight: Tensor) -> Tensor:
    """Images (B, H, W, C) with S silhouettes blended, each as in `Silhouettes`.

    Args:
        images: one colour for each pixel.
        screen: (V, 2) as in `find_silhouettes`, of all images together.
        pixels: (S, 2) flat indices into B x H x W.
        vertices: (S, 2) indices into the screen.
        step, weight: (S, 2) and (S,).
    """
    _, height, width, channels = images.shape
    flat = images.reshape(-1, channels)
    centre = torch.stack([pixels[:, 0] % width, pixels[:, 0] // width % height], dim=1).to(images) + 0.5
    start, end = (screen[vertices[:, corner]] - centre for corner in range(2))
    # In the frame of the line: u along it, v across it. The edge crosses v = 0 at the distance d.
    start_u, end_u = (start * step).sum(dim=1), (end * step).sum(dim=1)
    across = step.flip(1)
    start_v, end_v = (start * across).sum(dim=1), (end * across).sum(dim=1)
    distance = (start_u + (end_u - start_u) * start_v / (start_v - end_v)).clamp(0, 1)
    crossed = torch.where(distance < 0.5, pixels[:, 0], pixels[:, 1])
    change = (weight * (0.5 - distance))[:, None] * (flat[pixels[:, 1]] - flat[pixels[:, 0]])
    return flat.index_add(0, crossed, change).reshape(images.shape)


@compiled
def _search(
    screen: Array,
    faces: Array,
    twins: Array,
    face: Array,
    depth: Array,
    pixels: Array,
    vertices: Array,
    direction: Array,
    weight: Array,
) -> int:
    """Fills in the places; returns how many there are."""
    height, width = face.shape
    found = 0
    for row in range(height):
        for column in range(width):
            for axis in range(2):
                other_row, other_column = row + axis, column + 1 - axis
                if other_row >= height or other_column >= width:
                    continue
                if face[row, column] == face[other_row, other_column]:
                    continue
                forward = depth[row, column] <= depth[other_row, other_column]
                for attempt in range(2):  # from the nearer pixel; if the surface goes on behind the other, from there
                    ahead = forward if attempt == 0 else not forward
                    here = (row, column) if ahead else (other_row, other_column)
                    there = (other_row, other_column) if ahead else (row, column)
                    if face[here] < 0:
                        break
                    sign = 1.0 if ahead else -1.0
                    outcome, start, end = _walk(
                        screen, faces, twins, face[here], face[there], here[1] + 0.5, here[0] + 0.5, axis, sign
                    )
                    if outcome == _FOLDS:
                        along = screen[end, axis] - screen[start, axis]
                        across = screen[end, 1 - axis] - screen[start, 1 - axis]
                        weight[found] = across * across / (along * along + across * across)
                        pixels[found, 0], pixels[found, 1] = here[0] * width + here[1], there[0] * width + there[1]
                        vertices[found, 0], vertices[found, 1] = start, end
                        direction[found, axis], direction[found, 1 - axis] = sign, 0
                        found += 1
                    if outcome != _LEAVES:
                        break
    return found


@inlined
def _crossing(screen: Array, start: int, end: int, x: float, y: float, axis: int, sign: float) -> float:
    """How far along the line from (x, y) an edge crosses it."""
    origin, side = (x, y) if axis == 0 else (y, x)
    start_u, end_u = (screen[start, axis] - origin) * sign, (screen[end, axis] - origin) * sign
    start_v, end_v = screen[start, 1 - axis] - side, screen[end, 1 - axis] - side
    return start_u + (end_u - start_u) * start_v / (start_v - end_v)


@inlined
def _turn(screen: Array, a: int, b: int, c: int) -> float:
    """Twice the signed area of a triangle on the screen."""
    return (screen[b, 0] - screen[a, 0]) * (screen[c, 1] - screen[a, 1]) - (screen[b, 1] - screen[a, 1]) * (
        screen[c, 0] - screen[a, 0]
    )


@compiled
def _walk(
    screen: Array,
    faces: Array,
    twins: Array,
    face: int,
    goal: int,
    x: float,
    y: float,
    axis: int,
    sign: float,
) -> tuple[int, int, int]:
    """Goes along the surface from the centre (x, y) of a pixel on `face` towards the next pixel.

    Returns:
        what comes first, and the last edge that was crossed: the surface continues onto the face `goal`, it ends (it
        folds away behind itself, or has no further face), or the next pixel's centre is reached behind something else.
    """
    side = y if axis == 0 else x
    exit_corner, farthest = -1, -np.inf
    for corner in range(3):  # the line leaves the first face at the farther of the two edges that it crosses
        start, end = faces[face, corner], faces[face, (corner + 1) % 3]
        if (screen[start, 1 - axis] < side) != (screen[end, 1 - axis] < side):
            distance = _crossing(screen, start, end, x, y, axis, sign)
            if distance > farthest:
                exit_corner, farthest = corner, distance
    if exit_corner < 0:
        return _LEAVES, 0, 0
    for _ in range(_LONGEST_WALK):
        start, end = faces[face, exit_corner], faces[face, (exit_corner + 1) % 3]
        if _crossing(screen, start, end, x, y, axis, sign) >= 1:
            return _LEAVES, start, end
        twin = twins[3 * face + exit_corner]
        if twin < 0:
            return _FOLDS, start, end
        beside, corner = twin // 3, twin % 3
        opposite = faces[beside, (corner + 2) % 3]
        here, there = _turn(screen, start, end, faces[face, (exit_corner + 2) % 3]), _turn(screen, start, end, opposite)
        if here * there > 0:
            return _FOLDS, start, end
        if beside == goal:
            return _CONTINUES, start, end
        # The twin runs from `end` to `start`; of the two other edges the line crosses exactly one.
        face = beside
        from_start = (screen[start, 1 - axis] < side) != (screen[opposite, 1 - axis] < side)
        exit_corner = (corner + 1) % 3 if from_start else (corner + 2) % 3
    return _LEAVES, 0, 0
