"""Packed samples for CUDA cards: which there are along each ray, and what share of the light comes from each.

A thread a ray; where the samples of a ray begin is known from their numbers, so none is stored that does not count.
"""

from __future__ import annotations

import warp as wp

from representations.fields.volume_warp import is_occupied, samples_of, span


@wp.kernel(enable_backward=False)
def count_samples(
    origins: wp.array[wp.vec3],
    directions: wp.array[wp.vec3],
    offsets: wp.array[wp.float32],
    occupancy: wp.array3d[wp.bool],
    step: float,
    counts: wp.array[wp.int64],
) -> None:
    """How many samples of each ray lie in occupied cells."""
    ray = wp.tid()
    origin, direction, offset = origins[ray], directions[ray], offsets[ray]
    ends = span(origin, direction)
    found = wp.int64(0)
    for sample in range(samples_of(ends[0], ends[1], offset, step)):
        if is_occupied(occupancy, origin + (ends[0] + (float(sample) + offset) * step) * direction):
            found += wp.int64(1)
    counts[ray] = found


@wp.kernel(enable_backward=False)
def place_samples(
    origins: wp.array[wp.vec3],
    directions: wp.array[wp.vec3],
    offsets: wp.array[wp.float32],
    occupancy: wp.array3d[wp.bool],
    step: float,
    starts: wp.array[wp.int64],
    ray_indices: wp.array[wp.int64],
    distances: wp.array[wp.float32],
) -> None:
    """Writes the ray and the distance of each of these samples, from `starts` of its ray on."""
    ray = wp.tid()
    origin, direction, offset = origins[ray], directions[ray], offsets[ray]
    ends = span(origin, direction)
    row = wp.int64(starts[ray])
    for sample in range(samples_of(ends[0], ends[1], offset, step)):
        distance = ends[0] + (float(sample) + offset) * step
        if is_occupied(occupancy, origin + distance * direction):
            ray_indices[row] = wp.int64(ray)
            distances[row] = distance
            row += wp.int64(1)


@wp.kernel(enable_backward=False)
def composite(
    thickness: wp.array[wp.float32],
    starts: wp.array[wp.int64],
    counts: wp.array[wp.int64],
    weights: wp.array[wp.float32],
    transmittance: wp.array[wp.float32],
) -> None:
    """Of each sample the transmittance before it, and its weight; `thickness` is density times length."""
    ray = wp.tid()
    before = wp.float32(0.0)
    for number in range(int(counts[ray])):
        row = starts[ray] + wp.int64(number)
        light = wp.exp(-before)
        transmittance[row] = light
        weights[row] = light * (1.0 - wp.exp(-thickness[row]))
        before += thickness[row]


@wp.kernel(enable_backward=False)
def differentiate(
    thickness: wp.array[wp.float32],
    starts: wp.array[wp.int64],
    counts: wp.array[wp.int64],
    weights: wp.array[wp.float32],
    transmittance: wp.array[wp.float32],
    grad_weights: wp.array[wp.float32],
    grad_transmittance: wp.array[wp.float32],
    grad_alphas: wp.array[wp.float32],
    grad_thickness: wp.array[wp.float32],
) -> None:
    """The gradient of `composite`, and of alpha = 1 - exp(-thickness).

    Of sample k: (grad w_k T_k + grad alpha_k) exp(-thickness_k) - sum_{i > k} (grad w_i w_i + grad T_i T_i).
    """
    ray = wp.tid()
    behind = wp.float32(0.0)
    count = int(counts[ray])
    for number in range(count):
        row = starts[ray] + wp.int64(count - 1 - number)
        direct = grad_weights[row] * transmittance[row] + grad_alphas[row]
        grad_thickness[row] = direct * wp.exp(-thickness[row]) - behind
        behind += grad_weights[row] * weights[row] + grad_transmittance[row] * transmittance[row]
