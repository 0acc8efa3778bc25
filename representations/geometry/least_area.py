"""Triangles of one polygon in space, whatever it looks like: of all ways to cut it, one of the least area."""

from __future__ import annotations

import numpy as np

from representations.compilation import Array, compiled
from representations.geometry.mesh import Floats, Integers

_NO_AREA = 1e-12
"""Of the square of a polygon's size: triangles of less area are slivers, which are used where nothing else is left."""


def tries(corners: int) -> float:
    """About how many triangles `least_area_triangles` looks at; some five nanoseconds each."""
    return corners**3 / 6


def least_area_triangles(points: Floats) -> Integers:
    """Triangles between the corners of a polygon, of the least area in all (Klincsek 1980).

    Every corner is used, and the sum of the triangles' directed areas is the polygon's, however it is cut. So a flat
    polygon is covered exactly, also with corners that lie on one line, or at one place (as where a hole is joined to
    the rim), and one that crosses itself or is bent is covered by as little as can be.

    Args:
        points: (N, 3) in their order, N at least 3.

    Returns:
        (N - 2, 3) numbers of points, each triangle going round as the polygon does.
    """
    size = float(np.ptp(points, axis=0).max()) or 1.0
    middle = _middles(np.ascontiguousarray((points - points[0]) / size, dtype=np.float64))
    found, waiting = [], [(0, len(points) - 1)]
    while waiting:
        first, last = waiting.pop()
        if last - first > 1:
            between = int(middle[first, last])
            found.append((first, between, last))
            waiting += [(between, last), (first, between)]
    return np.array(found, dtype=np.int64)


@compiled
def _middles(points: Array) -> Array:
    """(N, N) of each part i ... j of a polygon, closed by the edge from j to i, the third corner of that edge."""
    count = len(points)
    cost, middle = np.zeros((count, count)), np.zeros((count, count), np.int32)
    for length in range(2, count):
        for first in range(count - length):
            last = first + length
            x, y, z = points[last] - points[first]
            least = np.inf
            middle[first, last] = first + 1
            for between in range(first + 1, last):
                u, v, w = points[between] - points[first]
                area = np.sqrt((y * w - z * v) ** 2 + (z * u - x * w) ** 2 + (x * v - y * u) ** 2) / 2
                total = cost[first, between] + cost[between, last] + (area if area > _NO_AREA else 1e-6)
                if total < least:
                    least = total
                    middle[first, last] = between
            cost[first, last] = least
    return middle
