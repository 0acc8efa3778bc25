"""Numbers in files without loss: 32-bit floats where they suffice, as many digits as there are in text."""

from __future__ import annotations

import numpy as np

from representations.geometry.mesh import Floats

_FAR = 4.0
"""Positions that are farther from the origin than so many times their extent lose digits as 32-bit floats."""


def offset_for_floats(positions: Floats) -> Floats:
    """(3,) what to take from positions (V, 3) so that 32-bit floats keep their digits; zeros if they do anyway.

    A place at 4,649,776.4 m is kept to half a metre by a 32-bit float. Less the middle of its mesh, in whole units, it
    is kept as exactly as the extent of the mesh allows.
    """
    if are_floats(positions):
        return np.zeros(3)
    low, high = positions.min(axis=0), positions.max(axis=0)
    extent = float((high - low).max())
    farthest = float(max(np.abs(low).max(), np.abs(high).max()))
    if farthest <= _FAR * extent:
        return np.zeros(3)
    middle = (low + high) / 2
    return np.where(np.abs(middle) > _FAR * extent, np.round(middle) if extent < 1e6 else middle, 0.0)


def are_floats(values: Floats) -> bool:
    """Whether 32-bit floats hold the values exactly."""
    with np.errstate(over="ignore"):
        return bool((values.astype(np.float32) == values).all())


def pattern_for(values: Floats) -> str:
    """How one number is written as text: nine digits for what 32-bit floats hold, else fifteen."""
    return "%.9g" if are_floats(values) else "%.15g"
