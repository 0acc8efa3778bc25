"""Compiled lookups in a multi-resolution hash grid on the CPU, and their gradient.

The kernels handle one level for all points: a level's entries stay in the cache, and threads that work on different
levels never write to the same place. What is computed is defined, in plain torch, by
`representations.fields.encodings.encode_torch`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from representations.compilation import Array, compiled, inlined

_PRIME_Y = 2654435761
_PRIME_Z = 805459861


class HashKernels(NamedTuple):
    """Both directions of the lookup for one number of features.

    forward(points, table, scale, resolution, hashed, out) interpolates one level at points (P, 3) in [0, 1] from its
    table (entries, F) and writes (P, F). backward(points, grad, scale, resolution, hashed, grad_table) adds the
    gradient of that against grad (P, F). `scale` goes from [0, 1] to cells; `resolution` is the nodes along one
    side, `hashed` whether entries are found by hash (their number is then a power of two).
    """

    forward: Callable[..., None]
    backward: Callable[..., None]


@inlined
def _find_entries(
    point: Array, scale: float, resolution: int, size: int, hashed: bool, entry: Array, weight: Array
) -> None:
    """Writes the entries of the 8 corners around a point of [0, 1]^3 into `entry`, their weights into `weight`."""
    real = weight.dtype.type
    one, half = real(1), real(0.5)
    x, y, z = point[0] * scale + half, point[1] * scale + half, point[2] * scale + half
    i, j, k = int(x), int(y), int(z)  # the floor, because none is negative
    u, v, w = x - real(i), y - real(j), z - real(k)
    for corner in range(8):
        right, up, front = corner & 1, (corner >> 1) & 1, corner >> 2
        if hashed:  # only the low bits count, so 64 bits serve as well as the 32 of the original
            entry[corner] = ((i + right) ^ ((j + up) * _PRIME_Y) ^ ((k + front) * _PRIME_Z)) & (size - 1)
        else:
            index = i + right + resolution * (j + up + resolution * (k + front))
            entry[corner] = index - size if index >= size else index
        weight[corner] = (u if right else one - u) * (v if up else one - v) * (w if front else one - w)


@cache
def hash_kernels(features: int) -> HashKernels:
    """Compiles (or loads from the disk cache) the kernels for tables with so many features."""

    @compiled
    def forward(points: Array, table: Array, scale: float, resolution: int, hashed: bool, out: Array) -> None:
        entry, weight = np.empty(8, np.int64), np.empty(8, table.dtype)
        for p in range(len(points)):
            _find_entries(points[p], scale, resolution, len(table), hashed, entry, weight)
            for f in range(features):
                total = weight[0] * table[entry[0], f]
                for corner in range(1, 8):
                    total += weight[corner] * table[entry[corner], f]
                out[p, f] = total

    @compiled
    def backward(points: Array, grad: Array, scale: float, resolution: int, hashed: bool, grad_table: Array) -> None:
        entry, weight = np.empty(8, np.int64), np.empty(8, grad_table.dtype)
        for p in range(len(points)):
            _find_entries(points[p], scale, resolution, len(grad_table), hashed, entry, weight)
            for corner in range(8):
                for f in range(features):
                    grad_table[entry[corner], f] += weight[corner] * grad[p, f]

    return HashKernels(forward, backward)
