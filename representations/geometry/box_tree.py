"""Trees of boxes: which boxes lie inside another, or around it, without a look at most of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from representations.compilation import Array, compiled
from representations.geometry.mesh import Floats, Integers

DEEPEST = 64
"""More nodes than a depth-first walk can have put aside: a level's depth grows with the logarithm of the leaves."""

_LEAF = 4
"""Boxes in a leaf."""


class BoxTree:
    """Boxes along the axes, prepared for questions.

    A box lies inside another if all of (its low corner, minus its high corner) is greater, and around it if all is
    less. So both are one question about points of six coordinates. In Morton order near boxes are beside each other,
    and a complete binary tree over them needs no building: node n has the children 2n and 2n + 1.

    Args:
        low, high: (N, 3) corners. A box with a corner that is no number lies inside and around none.
    """

    def __init__(self, low: Floats, high: Floats):
        middles = np.nan_to_num(low / 2 + high / 2, nan=0.0, posinf=0.0, neginf=0.0)
        order = np.argsort(morton_codes(middles), kind="stable") if len(low) else np.zeros(0, dtype=np.int64)
        leaves = leaf_count(len(low), _LEAF)
        self._numbers = np.concatenate([order, np.full(leaves * _LEAF - len(order), len(order))])
        keys = np.full((leaves * _LEAF, 6), np.nan)
        keys[: len(order)] = np.concatenate([low, -high], axis=1)[order]
        self._trees = tuple(_Tree(own, self._numbers, leaves) for own in (keys, -keys))

    def inside(self, low: Floats, high: Floats, most: int, after: int = -1) -> Integers:
        """The numbers of the first ``most`` boxes after number ``after`` that lie wholly inside a box, rising."""
        return self._trees[0].first(np.concatenate([low, -high]), most, after)

    def around(self, low: Floats, high: Floats, most: int, after: int = -1) -> Integers:
        """The numbers of the first ``most`` boxes after number ``after`` around a whole box, rising."""
        return self._trees[1].first(np.concatenate([-low, high]), most, after)


class _Tree:
    """Points of six coordinates, asked for those of which all are greater than another's."""

    def __init__(self, keys: Floats, numbers: Integers, leaves: int):
        self._keys, self._numbers = keys, numbers
        with np.errstate(invalid="ignore"):
            self._highest = over_tree(np.fmax, keys.reshape(leaves, _LEAF, 6))
        self._least = over_tree(np.minimum, numbers.reshape(leaves, _LEAF, 1).astype(np.float64))[:, 0]

    def first(self, asked: Floats, most: int, after: int) -> Integers:
        found = np.empty(most, dtype=np.int64)
        tree = (self._keys, self._numbers, self._highest, self._least)
        return found[: _first_greater(*tree, asked.astype(np.float64), after, found)]


def leaf_count(count: int, in_each: int) -> int:
    """How many leaves a complete binary tree needs: a power of two."""
    return 1 << max(0, int(np.ceil(np.log2(max(1, count / in_each)))))


def morton_codes(points: Floats) -> NDArray[np.int64]:
    """(P,) 60-bit codes of points within their bounding cube: their coordinates with interleaved bits (Morton 1966)."""
    low = points.min(axis=0)
    cells = ((points - low) / (np.ptp(points, axis=0).max() or 1.0) * (2**20 - 1)).astype(np.int64)
    code = np.zeros(len(points), dtype=np.int64)
    for bit in range(20):
        for axis in range(3):
            code |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return code


def over_tree(reduce: np.ufunc, leaves: Floats) -> Floats:
    """(2L, C) the reduction over each node's part of leaves (L, N, C); row 0 is unused, L to 2L - 1 are the leaves."""
    count = len(leaves)
    nodes = np.zeros((2 * count, leaves.shape[2]))
    nodes[count:] = reduce.reduce(leaves, axis=1)
    level = count // 2
    while level:
        nodes[level : 2 * level] = reduce(nodes[2 * level : 4 * level : 2], nodes[2 * level + 1 : 4 * level : 2])
        level //= 2
    return nodes


@compiled
def _first_greater(
    keys: Array, numbers: Array, highest: Array, least: Array, asked: Array, after: int, found: Array
) -> int:
    """Fills ``found`` with the least numbers of keys that are greater; returns how many there are."""
    leaves = highest.shape[0] // 2
    stack = np.empty(DEEPEST, dtype=np.int64)
    stack[0], height, count = 1, 1, 0
    while height > 0:
        height -= 1
        node = stack[height]
        if not _all_greater(highest[node], asked) or (count == len(found) and least[node] > found[count - 1]):
            continue
        if node < leaves:
            soon, late = 2 * node, 2 * node + 1
            if least[late] < least[soon]:
                soon, late = late, soon
            stack[height], stack[height + 1] = late, soon  # the one with the lower number is looked at first
            height += 2
            continue
        for place in range((node - leaves) * _LEAF, (node - leaves + 1) * _LEAF):
            if numbers[place] > after and _all_greater(keys[place], asked):
                count = _insert(found, count, numbers[place])
    return count


@compiled
def _all_greater(key: Array, asked: Array) -> bool:
    for axis in range(6):  # noqa: SIM110, numba compiles no generators
        if not key[axis] > asked[axis]:
            return False
    return True


@compiled
def _insert(found: Array, count: int, number: int) -> int:
    """Puts a number into the rising first ``count`` of ``found``, from which the last falls if it is full."""
    if count == len(found):
        if number > found[count - 1]:
            return count
        count -= 1
    place = count
    while place > 0 and found[place - 1] > number:
        found[place] = found[place - 1]
        place -= 1
    found[place] = number
    return count + 1
