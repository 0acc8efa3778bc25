"""Lookups in a multi-resolution hash grid for CUDA cards: what `hash_kernels` does on the CPU, with a thread for each
level and point.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from representations.fields.volume_warp import weight_of


@wp.func
def row_of(corner: int, i: int, j: int, k: int, resolution: int, start: int, size: int, hashed: int) -> int:
    """The row in the table of a corner, 0 to 7, of the cell (i, j, k)."""
    x, y, z = i + (corner & 1), j + ((corner >> 1) & 1), k + (corner >> 2)
    if hashed != 0:
        mixed = wp.uint32(x) ^ (wp.uint32(y) * wp.uint32(2654435761)) ^ (wp.uint32(z) * wp.uint32(805459861))
        return start + int(mixed & wp.uint32(size - 1))
    return start + (x + resolution * (y + resolution * z)) % size


@wp.func
def place(point: wp.vec3, scale: float) -> tuple[int, int, int, wp.vec3]:
    """The cell around a point of [0, 1]^3, and where in it the point lies."""
    x, y, z = point[0] * scale + 0.5, point[1] * scale + 0.5, point[2] * scale + 0.5
    i, j, k = int(x), int(y), int(z)  # the floor, because none is negative
    return i, j, k, wp.vec3(x - float(i), y - float(j), z - float(k))


@wp.kernel(enable_backward=False)
def encode(
    table: wp.array[Any],
    points: wp.array[wp.vec3],
    scales: wp.array[wp.float32],
    geometry: wp.array2d[wp.int32],
    encoded: wp.array2d[Any],
) -> None:
    """Features (P, L) of points: `geometry` has a row (resolution, start, size, whether hashed) a level."""
    level, p = wp.tid()
    resolution, start, size, hashed = geometry[level, 0], geometry[level, 1], geometry[level, 2], geometry[level, 3]
    i, j, k, fraction = place(points[p], scales[level])
    value = weight_of(0, fraction) * table[row_of(0, i, j, k, resolution, start, size, hashed)]
    for corner in range(1, 8):
        value += weight_of(corner, fraction) * table[row_of(corner, i, j, k, resolution, start, size, hashed)]
    encoded[p, level] = value


@wp.kernel(enable_backward=False)
def differentiate(
    grad: wp.array2d[Any],
    points: wp.array[wp.vec3],
    scales: wp.array[wp.float32],
    geometry: wp.array2d[wp.int32],
    grad_table: wp.array[Any],
) -> None:
    """Adds the gradient of `encode` with respect to the table."""
    level, p = wp.tid()
    resolution, start, size, hashed = geometry[level, 0], geometry[level, 1], geometry[level, 2], geometry[level, 3]
    i, j, k, fraction = place(points[p], scales[level])
    upstream = grad[p, level]
    for corner in range(8):
        row = row_of(corner, i, j, k, resolution, start, size, hashed)
        wp.atomic_add(grad_table, row, weight_of(corner, fraction) * upstream)
