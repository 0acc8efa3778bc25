"""Vectors as three numbers each, for compiled loops, which keep them in registers."""

from __future__ import annotations

from representations.compilation import Array, inlined

Vector = tuple[float, float, float]


@inlined
def vector(array: Array, row: int) -> Vector:
    """A row of an array (N, 3)."""
    return array[row, 0], array[row, 1], array[row, 2]


@inlined
def minus(a: Vector, b: Vector) -> Vector:
    """From b to a."""
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@inlined
def dot(a: Vector, b: Vector) -> float:
    """The scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inlined
def cross(a: Vector, b: Vector) -> Vector:
    """The vector product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
