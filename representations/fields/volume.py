"""The volume rendering integral through a voxel grid.

A grid holds raw values at the nodes of [-1, 1]^3, (N, N, N, channels), indexed [z, y, x]: channel 0 is the density's
logit, channels 1 to 3 are colour logits, further channels are anything else to integrate (normals). Raw values are
interpolated first and activated afterwards, which keeps surfaces sharper than one voxel (Sun et al. 2022, DVGO,
section 4.2). Only the inside of the unit sphere is seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from representations.fields.volume_kernels import volume_kernels
from representations.geometry.voxels import is_occupied, sample_grid
from representations.rays import Marching, RayIntegral, Rays, sample_distances
from representations.threads import run_parts, split

DENSITY_SCALE = 30.0
COLOUR_CHANNELS = 3


def density_of(logit: Tensor) -> Tensor:
    """Density, in [0, inf) per object unit, of a raw value of any shape."""
    return DENSITY_SCALE * F.softplus(logit)


def features_of(raw: Tensor) -> Tensor:
    """(..., C) features of raw values (..., C): the colour in [0, 1], anything after it unchanged."""
    colour, others = raw[..., :COLOUR_CHANNELS], raw[..., COLOUR_CHANNELS:]
    return torch.cat([colour.sigmoid(), others], dim=-1)


def render_volume(grid: Tensor, rays: Rays, occupancy: Tensor, marching: Marching) -> RayIntegral:
    """Integrates a grid along rays; differentiable with respect to the grid (not to the rays).

    Compiled on the CPU, plain torch elsewhere (there unverified: no GPU was at hand).

    Args:
        grid: (N, N, N, 1 + C) raw values, float32 or float64, C >= 3.
        rays: of the same dtype.
        occupancy: (M, M, M) bool over [-1, 1]^3, indexed [z, y, x]; samples in cells that are False are skipped.

    Raises:
        ValueError: if shapes or dtypes are others, or a ray is not finite.
    """
    _require_sound_input(grid, rays, occupancy)
    if grid.device.type != "cpu":
        return render_volume_torch(grid, rays, occupancy, marching)
    outputs = _CompiledIntegral.apply(grid, rays.origins, rays.directions, rays.offsets, occupancy, marching)
    return RayIntegral(*outputs)


def _require_sound_input(grid: Tensor, rays: Rays, occupancy: Tensor) -> None:
    # The compiled kernels trust what they are given: an index out of bounds would read somebody else's memory.
    if grid.dim() != 4 or not grid.shape[0] == grid.shape[1] == grid.shape[2] or grid.shape[3] < 1 + COLOUR_CHANNELS:
        raise ValueError(f"A grid must have shape (N, N, N, channels >= 4), not {tuple(grid.shape)}.")
    if occupancy.dim() != 3 or not occupancy.shape[0] == occupancy.shape[1] == occupancy.shape[2]:
        raise ValueError(f"An occupancy grid must have shape (M, M, M), not {tuple(occupancy.shape)}.")
    if grid.shape[0] < 2 or occupancy.shape[0] < 1:
        raise ValueError(
            f"A grid needs two nodes along each side and an occupancy grid one cell, not {grid.shape[0]} and "
            f"{occupancy.shape[0]}."
        )
    if occupancy.dtype != torch.bool:
        raise ValueError(f"An occupancy grid must be bool, not {occupancy.dtype}.")
    if grid.dtype != rays.origins.dtype or grid.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"A grid and its rays must both be float32 or float64, not {grid.dtype}, {rays.origins.dtype}."
        )
    if not bool(torch.isfinite(rays.origins).all() & torch.isfinite(rays.directions).all()):
        raise ValueError("Some rays are not finite: look at the cameras that they come from.")
    if not bool(((rays.offsets >= 0) & (rays.offsets <= 1)).all()):
        raise ValueError("The offsets of rays must lie in [0, 1].")
    if not bool(((rays.directions.square().sum(dim=1) - 1).abs() < 1e-2).all()):
        raise ValueError("The directions of rays must have unit length.")


def render_volume_torch(grid: Tensor, rays: Rays, occupancy: Tensor, marching: Marching) -> RayIntegral:
    """`render_volume` in plain torch: what the compiled kernels are tested against, and the form for other devices."""
    distances, inside = sample_distances(rays, marching.step)
    points = rays.origins[:, None] + distances[..., None] * rays.directions[:, None]
    inside = inside & is_occupied(occupancy, points)
    raw = sample_grid(grid, points)
    optical_depth = torch.where(inside, density_of(raw[..., 0]) * marching.step, 0)
    transmittance = torch.exp(optical_depth - optical_depth.cumsum(dim=1))
    weights = transmittance * (1 - torch.exp(-optical_depth))
    weights = torch.where(transmittance >= marching.stop_transmittance, weights, 0)
    return RayIntegral(
        torch.einsum("rk,rkc->rc", weights, features_of(raw[..., 1:])),
        weights.sum(dim=1),
        (weights * distances).sum(dim=1),
    )


class _CompiledIntegral(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        grid: Tensor,
        origins: Tensor,
        directions: Tensor,
        offsets: Tensor,
        occupancy: Tensor,
        marching: Marching,
    ) -> tuple[Tensor, Tensor, Tensor]:
        inputs = [tensor.detach().contiguous() for tensor in (grid, occupancy, origins, directions, offsets)]
        features = origins.new_empty(len(offsets), grid.shape[3] - 1)
        opacity, depth = origins.new_empty(len(offsets)), origins.new_empty(len(offsets))
        table, cells, ray_arrays, numbers = _kernel_arguments(inputs, marching)
        kernel = volume_kernels(grid.shape[3], COLOUR_CHANNELS, DENSITY_SCALE).forward
        outputs = [tensor.numpy() for tensor in (features, opacity, depth)]

        def work(_: int, part: slice) -> None:
            kernel(table, grid.shape[0], cells, *(a[part] for a in ray_arrays), *numbers, *(o[part] for o in outputs))

        run_parts(work, split(len(offsets)))
        ctx.marching = marching
        ctx.save_for_backward(*inputs, features, opacity, depth)
        return features, opacity, depth

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, features, opacity, depth = ctx.saved_tensors
        grid = inputs[0]
        table, cells, ray_arrays, numbers = _kernel_arguments(inputs, ctx.marching)
        kernel = volume_kernels(grid.shape[3], COLOUR_CHANNELS, DENSITY_SCALE).backward
        # All samples together are worth the gradient dotted with the outputs; the kernel takes them off one by one.
        worth = (features * grads[0]).sum(dim=1) + opacity * grads[1] + depth * grads[2]
        arrays = [tensor.contiguous().numpy() for tensor in (opacity, worth, *grads)]
        parts = split(len(opacity))
        buffers = torch.zeros(len(parts), *grid.shape, dtype=grid.dtype)  # one a thread, added up in a fixed order

        def work(number: int, part: slice) -> None:
            buffer = buffers[number].numpy().reshape(table.shape)
            per_ray = [array[part] for array in (*ray_arrays, *arrays)]
            kernel(table, grid.shape[0], cells, *per_ray[:3], *numbers, *per_ray[3:], buffer)

        run_parts(work, parts)
        return buffers[0] if len(parts) == 1 else buffers.sum(dim=0), None, None, None, None, None


def _kernel_arguments(
    inputs: list[Tensor], marching: Marching
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], tuple[np.floating, np.floating]]:
    """The grid as a table with a row a node, the occupied cells, the arrays that have a row a ray, and the numbers."""
    grid, occupancy, *per_ray = (tensor.numpy() for tensor in inputs)
    real = grid.dtype.type
    return (
        grid.reshape(-1, grid.shape[3]),
        occupancy,
        per_ray,
        (real(marching.step), real(marching.stop_transmittance)),
    )
