"""Compiled ray marching through a voxel grid on the CPU: the integral and its hand-written gradient.

One walk along a ray does everything: skip empty cells, interpolate, activate, composite. No sample is ever stored; the
gradient walks again. What is computed is defined in torch by `representations.fields.volume.render_volume_torch`.

The kernels touch only the rows of the rays they are given (and `grad_grid`), and release the interpreter lock, so that
threads can share the rays between them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from representations.compilation import Array, compiled, inlined


class VolumeKernels(NamedTuple):
    """Both directions of the ray integral for one number of channels."""

    forward: Callable[..., None]
    backward: Callable[..., None]


@inlined
def _span(origin: Array, direction: Array) -> tuple[float, float]:
    """Distances at which a ray enters and leaves the unit sphere; (0, 0) if it misses it."""
    zero, one = origin.dtype.type(0), origin.dtype.type(1)
    middle = -(origin[0] * direction[0] + origin[1] * direction[1] + origin[2] * direction[2])
    x = origin[0] + middle * direction[0]
    y = origin[1] + middle * direction[1]
    z = origin[2] + middle * direction[2]
    half_squared = one - (x * x + y * y + z * z)
    if half_squared <= zero:
        return zero, zero
    half = math.sqrt(half_squared)
    return max(middle - half, zero), max(middle + half, zero)


@inlined
def _cell(position: float, cells: int) -> int:
    """The cell, out of `cells` along one axis of [-1, 1], that holds a position (its own units: 0 to `cells`)."""
    return max(min(int(position), cells - 1), 0)


@inlined
def _is_occupied(occupancy: Array, x: float, y: float, z: float, half: float) -> bool:
    cells = occupancy.shape[0]
    scale = half * cells
    return occupancy[_cell(z * scale + scale, cells), _cell(y * scale + scale, cells), _cell(x * scale + scale, cells)]


@inlined
def _find_corners(x: float, y: float, z: float, nodes: int, corner: Array, weight: Array) -> None:
    """Writes the rows of the 8 nodes around a point into `corner` and their trilinear weights into `weight`."""
    real = weight.dtype.type
    one, scale, cells = real(1), real(0.5) * real(nodes - 1), nodes - 1
    u, v, w = x * scale + scale, y * scale + scale, z * scale + scale
    i, j, k = _cell(u, cells), _cell(v, cells), _cell(w, cells)
    u, v, w = u - real(i), v - real(j), w - real(k)
    base = (k * nodes + j) * nodes + i
    for c in range(8):
        right, up, front = c & 1, (c >> 1) & 1, c >> 2
        corner[c] = base + right + nodes * (up + nodes * front)
        weight[c] = (u if right else one - u) * (v if up else one - v) * (w if front else one - w)


@inlined
def _interpolate(grid: Array, corner: Array, weight: Array, channels: int, value: Array) -> None:
    """Writes the raw values of all channels at a point into `value`."""
    for c in range(channels):
        value[c] = weight[0] * grid[corner[0], c]
        for q in range(1, 8):
            value[c] += weight[q] * grid[corner[q], c]


@inlined
def _sigmoid(value: float, one: float) -> float:
    return one / (one + math.exp(-value))


@cache
def volume_kernels(channels: int, bounded: int, density_scale: float) -> VolumeKernels:
    """Compiles (or loads from the disk cache) the kernels.

    Args:
        channels: of the grid: the density's logit, then the features.
        bounded: the first so many features pass through a sigmoid, the others are taken as they are.
        density_scale: density = density_scale * softplus(logit).
    """
    return VolumeKernels(
        _forward_kernel(channels, bounded, density_scale), _backward_kernel(channels, bounded, density_scale)
    )


def _forward_kernel(channels: int, bounded: int, density_scale: float) -> Callable[..., None]:
    @compiled
    def forward(
        grid: Array,
        nodes: int,
        occupancy: Array,
        origins: Array,
        directions: Array,
        offsets: Array,
        step: float,
        stop: float,
        features: Array,
        opacity: Array,
        depth: Array,
    ) -> None:
        real = grid.dtype.type
        zero, one, half, scale = real(0), real(1), real(0.5), real(density_scale)
        corner, weight = np.empty(8, np.intp), np.empty(8, grid.dtype)
        value, total = np.empty(channels, grid.dtype), np.empty(channels, grid.dtype)
        for ray in range(len(offsets)):
            origin, direction, offset = origins[ray], directions[ray], offsets[ray]
            near, far = _span(origin, direction)
            transmittance, total_weight, total_depth = one, zero, zero
            total[:] = zero
            for sample in range(math.ceil((far - near) / step - offset)):
                t = near + (real(sample) + offset) * step
                x, y, z = origin[0] + t * direction[0], origin[1] + t * direction[1], origin[2] + t * direction[2]
                if not _is_occupied(occupancy, x, y, z, half):
                    continue
                _find_corners(x, y, z, nodes, corner, weight)
                _interpolate(grid, corner, weight, channels, value)
                density = scale * (max(value[0], zero) + math.log(one + math.exp(-abs(value[0]))))
                alpha = one - math.exp(-density * step)
                share = alpha * transmittance
                for c in range(1, channels):
                    total[c] += share * (_sigmoid(value[c], one) if c <= bounded else value[c])
                total_weight += share
                total_depth += share * t
                transmittance *= one - alpha
                if transmittance < stop:
                    break
            opacity[ray], depth[ray] = total_weight, total_depth
            features[ray] = total[1:]

    return forward


def _backward_kernel(channels: int, bounded: int, density_scale: float) -> Callable[..., None]:
    """The gradient of the forward kernel.

    With L_i what one unit of weight at sample i is worth to the loss, and tau_i = density_i * step:
    dloss/dtau_i = transmittance_{i+1} * L_i - sum_{j > i} weight_j * L_j. In the kernel `rest` is that last sum;
    over all samples it is the gradient dotted with the outputs.
    """

    @compiled
    def backward(
        grid: Array,
        nodes: int,
        occupancy: Array,
        origins: Array,
        directions: Array,
        offsets: Array,
        step: float,
        stop: float,
        opacity: Array,
        rest_of_ray: Array,
        grad_features: Array,
        grad_opacity: Array,
        grad_depth: Array,
        grad_grid: Array,
    ) -> None:
        real = grid.dtype.type
        zero, one, half, scale = real(0), real(1), real(0.5), real(density_scale)
        corner, weight = np.empty(8, np.intp), np.empty(8, grid.dtype)
        value, grad_value = np.empty(channels, grid.dtype), np.empty(channels, grid.dtype)
        for ray in range(len(offsets)):
            if opacity[ray] == zero:
                continue
            origin, direction, offset = origins[ray], directions[ray], offsets[ray]
            near, far = _span(origin, direction)
            transmittance, rest = one, rest_of_ray[ray]
            for sample in range(math.ceil((far - near) / step - offset)):
                t = near + (real(sample) + offset) * step
                x, y, z = origin[0] + t * direction[0], origin[1] + t * direction[1], origin[2] + t * direction[2]
                if not _is_occupied(occupancy, x, y, z, half):
                    continue
                _find_corners(x, y, z, nodes, corner, weight)
                _interpolate(grid, corner, weight, channels, value)
                decay = math.exp(-abs(value[0]))
                alpha = one - math.exp(-scale * (max(value[0], zero) + math.log(one + decay)) * step)
                share = alpha * transmittance
                transmittance *= one - alpha
                worth = grad_opacity[ray] + grad_depth[ray] * t
                for c in range(1, channels):
                    bright = _sigmoid(value[c], one) if c <= bounded else value[c]
                    slope = bright * (one - bright) if c <= bounded else one
                    worth += grad_features[ray, c - 1] * bright
                    grad_value[c] = share * grad_features[ray, c - 1] * slope
                rest -= share * worth
                softplus_slope = (one if value[0] >= zero else decay) / (one + decay)
                grad_value[0] = (transmittance * worth - rest) * step * scale * softplus_slope
                for q in range(8):
                    for c in range(channels):
                        grad_grid[corner[q], c] += weight[q] * grad_value[c]
                if transmittance < stop:
                    break

    return backward
