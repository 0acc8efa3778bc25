"""Sphere tracing of `sds.teachers.volume` compiled for the CPU: each ray by itself, and no longer than it needs."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


@numba.njit(cache=True, inline="always")
def _index(value: float, scale: float, side: int) -> tuple[int, int, float]:
    """The two cells beside a coordinate, and the share of the second; beyond the cube the last cell counts on."""
    at = min(max((value * scale + 1.0) * 0.5 * side - 0.5, 0.0), side - 1.0)
    low = int(at)
    return low, min(low + 1, side - 1), at - low


@numba.njit(cache=True)
def _read(distance: Field, x: float, y: float, z: float, scale: float) -> float:
    """The trilinear value of a field (S, S, S) over z, y, x."""
    side = distance.shape[0]
    x0, x1, u = _index(x, scale, side)
    y0, y1, v = _index(y, scale, side)
    z0, z1, w = _index(z, scale, side)
    near = (distance[z0, y0, x0] * (1 - u) + distance[z0, y0, x1] * u) * (1 - v)
    near += (distance[z0, y1, x0] * (1 - u) + distance[z0, y1, x1] * u) * v
    far = (distance[z1, y0, x0] * (1 - u) + distance[z1, y0, x1] * u) * (1 - v)
    far += (distance[z1, y1, x0] * (1 - u) + distance[z1, y1, x1] * u) * v
    return near * (1 - w) + far * w


@numba.njit(cache=True)
def trace_rays(
    distance: Field,
    leap: Field,
    origins: Field,
    directions: Field,
    half_side: float,
    truncation: float,
    hit: float,
    shortest_step: float,
    caution: float,
    most_steps: int,
    steps_deeper: int,
    step_inside: float,
) -> tuple[Field, Field]:
    """Follows rays (R, 3) to the surface of a field (S, S, S); see `sds.teachers.volume.trace`.

    Args:
        distance: in units of ``truncation``, over the cube [-half_side, half_side]^3.
        leap: (rooms, rooms, rooms) how far nothing is near.
        origins, directions: (R, 3), contiguous.
        half_side, truncation, hit, shortest_step, caution, most_steps, steps_deeper, step_inside: the constants there.

    Returns:
        How far each ray went, and the smallest distance on the way, (R,) each.
    """
    count, rooms, scale = origins.shape[0], leap.shape[0], 1.0 / half_side
    travelled, deepest = np.empty(count, np.float32), np.empty(count, np.float32)
    for i in range(count):
        ox, oy, oz = origins[i, 0], origins[i, 1], origins[i, 2]
        dx, dy, dz = directions[i, 0], directions[i, 1], directions[i, 2]
        towards = -(ox * dx + oy * dy + oz * dz)
        squared = towards * towards - (ox * ox + oy * oy + oz * oz) + (0.99 * half_side) ** 2
        best, went = truncation, towards
        if squared > 0:
            chord = math.sqrt(squared)
            at, end = towards - chord, towards + chord
            for _ in range(most_steps):
                x, y, z = ox + at * dx, oy + at * dy, oz + at * dz
                here = _read(distance, x, y, z, scale) * truncation
                if here < best:
                    best, went = here, at
                room_x = min(max(int((x * scale + 1) * 0.5 * rooms), 0), rooms - 1)
                room_y = min(max(int((y * scale + 1) * 0.5 * rooms), 0), rooms - 1)
                room_z = min(max(int((z * scale + 1) * 0.5 * rooms), 0), rooms - 1)
                step = max(max(here * caution, shortest_step), leap[room_z, room_y, room_x])
                if here <= hit or at + step >= end:
                    break
                at += step
        if best <= hit:
            for further in range(1, steps_deeper + 1):
                at = went + further * step_inside
                best = min(best, _read(distance, ox + at * dx, oy + at * dy, oz + at * dz, scale) * truncation)
        travelled[i], deepest[i] = went, best
    return travelled, deepest


@numba.njit(cache=True)
def rays_meeting_again(
    distance: Field,
    origins: Field,
    directions: Field,
    travelled: Field,
    coverage: Field,
    pixel: Field,
    half_side: float,
    truncation: float,
    hit: float,
    caution: float,
    most_steps: int,
    steps_deeper: int,
    step_inside: float,
) -> NDArray[np.bool_]:
    """Which rays (R,) that cover a pixel in part meet a surface behind; see `sds.teachers.volume.meets_again`."""
    scale = 1.0 / half_side
    met = np.zeros(len(coverage), np.bool_)
    for i in range(len(coverage)):
        if coverage[i] <= 0 or coverage[i] >= 1:
            continue
        left = coverage[i] < 0.5
        at = travelled[i] + steps_deeper * step_inside
        for _ in range(most_steps):
            x = origins[i, 0] + at * directions[i, 0]
            y = origins[i, 1] + at * directions[i, 1]
            z = origins[i, 2] + at * directions[i, 2]
            here = _read(distance, x, y, z, scale) * truncation
            if (left and here <= hit) or here <= -0.5 * pixel[i]:
                met[i] = True
                break
            left = left or here > 2 * hit
            at += max(abs(here) * caution, step_inside)
    return met
