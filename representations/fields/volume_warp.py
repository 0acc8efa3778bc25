"""Ray marching through a voxel grid for CUDA cards: what `volume_kernels` does on the CPU, with a thread a ray.

A total of a ray is a vector of as many numbers as the grid has channels: its opacity, then its features.
"""

from __future__ import annotations

from typing import Any

import warp as wp


@wp.func
def span(origin: wp.vec3, direction: wp.vec3) -> wp.vec2:
    """Distances at which a ray enters and leaves the unit sphere; (0, 0) if it misses it."""
    middle = -wp.dot(origin, direction)
    nearest = origin + middle * direction
    half_squared = 1.0 - wp.dot(nearest, nearest)
    if half_squared <= 0.0:
        return wp.vec2(0.0, 0.0)
    half = wp.sqrt(half_squared)
    return wp.vec2(wp.max(middle - half, 0.0), wp.max(middle + half, 0.0))


@wp.func
def samples_of(near: float, far: float, offset: float, step: float) -> int:
    """How many samples of a ray lie between two distances."""
    return int(wp.ceil((far - near) / step - offset))


@wp.func
def cell(position: float, cells: int) -> int:
    """The cell, out of `cells` along one axis of [-1, 1], that holds a position (its own units: 0 to `cells`)."""
    return wp.clamp(int(position), 0, cells - 1)


@wp.func
def is_occupied(occupancy: wp.array3d[wp.bool], point: wp.vec3) -> bool:
    """Whether the cell around a point holds anything."""
    cells = occupancy.shape[0]
    scale = 0.5 * float(cells)
    x, y, z = point[0] * scale + scale, point[1] * scale + scale, point[2] * scale + scale
    return occupancy[cell(z, cells), cell(y, cells), cell(x, cells)]


@wp.func
def row_of(corner: int, base: int, nodes: int) -> int:
    """The row of a corner, 0 to 7, of the cell whose first corner has the row `base`."""
    return base + (corner & 1) + nodes * (((corner >> 1) & 1) + nodes * (corner >> 2))


@wp.func
def weight_of(corner: int, fraction: wp.vec3) -> float:
    """The trilinear weight of a corner, 0 to 7."""
    x = wp.where((corner & 1) != 0, fraction[0], 1.0 - fraction[0])
    y = wp.where((corner & 2) != 0, fraction[1], 1.0 - fraction[1])
    z = wp.where((corner & 4) != 0, fraction[2], 1.0 - fraction[2])
    return x * y * z


@wp.func
def sigmoid(value: float) -> float:
    """Of a number."""
    return 1.0 / (1.0 + wp.exp(-value))


@wp.func
def softplus(value: float) -> float:
    """Of a number."""
    return wp.max(value, 0.0) + wp.log(1.0 + wp.exp(-wp.abs(value)))


@wp.func
def place(point: wp.vec3, nodes: int) -> tuple[int, wp.vec3]:
    """The row of the first corner of the cell around a point, and where in the cell the point lies."""
    scale = 0.5 * float(nodes - 1)
    u, v, w = point[0] * scale + scale, point[1] * scale + scale, point[2] * scale + scale
    i, j, k = cell(u, nodes - 1), cell(v, nodes - 1), cell(w, nodes - 1)
    return (k * nodes + j) * nodes + i, wp.vec3(u - float(i), v - float(j), w - float(k))


@wp.kernel(enable_backward=False)
def integrate(
    grid: wp.array[Any],
    nodes: int,
    occupancy: wp.array3d[wp.bool],
    origins: wp.array[wp.vec3],
    directions: wp.array[wp.vec3],
    offsets: wp.array[wp.float32],
    step: float,
    stop: float,
    bounded: int,
    density_scale: float,
    totals: wp.array[Any],
    depths: wp.array[wp.float32],
) -> None:
    """The integral along each ray."""
    ray = wp.tid()
    origin, direction, offset = origins[ray], directions[ray], offsets[ray]
    ends = span(origin, direction)
    transmittance, depth = wp.float32(1.0), wp.float32(0.0)
    total = totals.dtype()
    for sample in range(samples_of(ends[0], ends[1], offset, step)):
        t = ends[0] + (float(sample) + offset) * step
        point = origin + t * direction
        if is_occupied(occupancy, point):
            base, fraction = place(point, nodes)
            value = weight_of(0, fraction) * grid[base]
            for corner in range(1, 8):
                value += weight_of(corner, fraction) * grid[row_of(corner, base, nodes)]
            alpha = 1.0 - wp.exp(-density_scale * softplus(value[0]) * step)
            share = alpha * transmittance
            total[0] += share
            for c in range(1, value.length):
                total[c] += share * wp.where(c <= bounded, sigmoid(value[c]), value[c])
            depth += share * t
            transmittance *= 1.0 - alpha
            if transmittance < stop:
                break
    totals[ray] = total
    depths[ray] = depth


@wp.kernel(enable_backward=False)
def differentiate(
    grid: wp.array[Any],
    nodes: int,
    occupancy: wp.array3d[wp.bool],
    origins: wp.array[wp.vec3],
    directions: wp.array[wp.vec3],
    offsets: wp.array[wp.float32],
    step: float,
    stop: float,
    bounded: int,
    density_scale: float,
    rest_of_ray: wp.array[wp.float32],
    grad_totals: wp.array[Any],
    grad_depths: wp.array[wp.float32],
    grad_grid: wp.array[Any],
) -> None:
    """Adds the gradient of `integrate` with respect to the grid; see `volume_kernels` for what `rest` is."""
    ray = wp.tid()
    origin, direction, offset = origins[ray], directions[ray], offsets[ray]
    upstream, grad_depth = grad_totals[ray], grad_depths[ray]
    ends = span(origin, direction)
    transmittance, rest = wp.float32(1.0), wp.float32(rest_of_ray[ray])
    for sample in range(samples_of(ends[0], ends[1], offset, step)):
        t = ends[0] + (float(sample) + offset) * step
        point = origin + t * direction
        if is_occupied(occupancy, point):
            base, fraction = place(point, nodes)
            value = weight_of(0, fraction) * grid[base]
            for corner in range(1, 8):
                value += weight_of(corner, fraction) * grid[row_of(corner, base, nodes)]
            decay = wp.exp(-wp.abs(value[0]))
            alpha = 1.0 - wp.exp(-density_scale * softplus(value[0]) * step)
            share = alpha * transmittance
            transmittance *= 1.0 - alpha
            worth = upstream[0] + grad_depth * t
            grad_value = grad_grid.dtype()
            for c in range(1, value.length):
                bright = wp.where(c <= bounded, sigmoid(value[c]), value[c])
                slope = wp.where(c <= bounded, bright * (1.0 - bright), 1.0)
                worth += upstream[c] * bright
                grad_value[c] = share * upstream[c] * slope
            rest -= share * worth
            softplus_slope = wp.where(value[0] >= 0.0, 1.0, decay) / (1.0 + decay)
            grad_value[0] = (transmittance * worth - rest) * step * density_scale * softplus_slope
            for corner in range(8):
                wp.atomic_add(grad_grid, row_of(corner, base, nodes), weight_of(corner, fraction) * grad_value)
            if transmittance < stop:
                break
