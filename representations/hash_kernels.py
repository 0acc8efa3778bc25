"""Compiled lookups in a multi-resolution hash grid on the CPU, and their gradient.

Both kernels handle one level for all points: a level's entries stay in the cache, and threads that work on different
levels never write to the same place. What is computed is defined, in plain torch, by
`representations.encodings.encode_torch`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]

_OPTIONS = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"nsz", "arcp", "contract", "reassoc"},
}

_LOW_32_BITS = 0xFFFFFFFF
_PRIME_Y = 2654435761
_PRIME_Z = 805459861


@njit(inline="always", **_OPTIONS)
def _find_entries(
    point: Array, scale: float, resolution: int, size: int, hashed: bool, entry: Array, weight: Array
) -> None:
    """Writes the entries of the 8 corners around a point of [0, 1]^3 into `entry`, their weights into `weight`."""
    real = weight.dtype.type
    one, half = real(1), real(0.5)
    x, y, z = point[0] * scale + half, point[1] * scale + half, point[2] * scale + half
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    u, v, w = x - real(i), y - real(j), z - real(k)
    for corner in range(8):
        right, up, front = corner & 1, (corner >> 1) & 1, corner >> 2
        a, b, c = i + right, j + up, k + front
        if hashed:  # the size is a power of two
            entry[corner] = (a ^ ((b * _PRIME_Y) & _LOW_32_BITS) ^ ((c * _PRIME_Z) & _LOW_32_BITS)) & (size - 1)
        else:
            index = a + resolution * (b + resolution * c)
            entry[corner] = index - size if index >= size else index
        weight[corner] = (u if right else one - u) * (v if up else one - v) * (w if front else one - w)


@njit(**_OPTIONS)
def encode_level(
    points: Array, table: Array, scale: float, resolution: int, hashed: bool, features: int, out: Array
) -> None:
    """Interpolates one level at all points.

    Args:
        points: (P, 3) in [0, 1].
        table: (entries, F) of this level.
        scale: from [0, 1] to cells.
        resolution: nodes along one side, as far as the dense index goes.
        hashed: whether entries are found by hash.
        features: F.
        out: (P, F), written.
    """
    entry, weight = np.empty(8, np.int64), np.empty(8, table.dtype)
    for p in range(len(points)):
        _find_entries(points[p], scale, resolution, len(table), hashed, entry, weight)
        for f in range(features):
            total = weight[0] * table[entry[0], f]
            for corner in range(1, 8):
                total += weight[corner] * table[entry[corner], f]
            out[p, f] = total


@njit(**_OPTIONS)
def encode_level_gradient(
    points: Array, grad: Array, scale: float, resolution: int, hashed: bool, features: int, grad_table: Array
) -> None:
    """Adds to `grad_table` (entries, F) the gradient of `encode_level` against `grad` (P, F)."""
    entry, weight = np.empty(8, np.int64), np.empty(8, grad_table.dtype)
    for p in range(len(points)):
        _find_entries(points[p], scale, resolution, len(grad_table), hashed, entry, weight)
        for corner in range(8):
            for f in range(features):
                grad_table[entry[corner], f] += weight[corner] * grad[p, f]
