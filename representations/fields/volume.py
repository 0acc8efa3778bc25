"""The volume rendering integral through a voxel grid.

A grid holds raw values at the nodes of [-1, 1]^3, (N, N, N, channels), indexed [z, y, x]: channel 0 is the density's
logit, channels 1 to 3 are colour logits, further channels are anything else to integrate (normals). Raw values are
interpolated first and activated afterwards, which keeps surfaces sharper than one voxel (Sun et al. 2022, DVGO,
section 4.2). Only the inside of the unit sphere is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from representations.accelerators import WARP, WARP_SOURCE, Accelerator
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

    Compiled on the CPU; on CUDA by Warp if it works there (`WARP_MARCHING`), else plain torch. No card was at hand:
    Warp's kernels were compared with those of the CPU on the CPU.

    Args:
        grid: (N, N, N, 1 + C) raw values, float32 or float64, C >= 3.
        rays: of the same dtype.
        occupancy: (M, M, M) bool over [-1, 1]^3, indexed [z, y, x]; samples in cells that are False are skipped.

    Raises:
        ValueError: if shapes or dtypes are others, or a ray is not finite.
    """
    _require_sound_input(grid, rays, occupancy)
    if grid.device.type == "cpu":
        outputs = _CompiledIntegral.apply(grid, rays.origins, rays.directions, rays.offsets, occupancy, marching)
        return RayIntegral(*outputs)
    if grid.dtype is torch.float32 and WARP_MARCHING.works_for(grid):
        return render_volume_warp(grid, rays, occupancy, marching)
    return render_volume_torch(grid, rays, occupancy, marching)


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


def render_volume_warp(grid: Tensor, rays: Rays, occupancy: Tensor, marching: Marching) -> RayIntegral:
    """`render_volume` by NVIDIA Warp, in float32: on CUDA, or for tests on the CPU."""
    return RayIntegral(*_WarpIntegral.apply(grid, rays.origins, rays.directions, rays.offsets, occupancy, marching))


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


class _WarpIntegral(torch.autograd.Function):
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
        from representations import warp_arrays as warp
        from representations.fields import volume_warp

        inputs = [tensor.detach().contiguous() for tensor in (grid, occupancy, origins, directions, offsets)]
        totals, depth = grid.new_empty(len(offsets), grid.shape[3]), grid.new_empty(len(offsets))
        results = warp.vectors(totals), warp.array(depth)
        warp.launch(volume_warp.integrate, len(offsets), *_warp_arguments(inputs, marching), *results)
        ctx.marching = marching
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs, totals, depth)
        return totals[:, 1:].contiguous(), totals[:, 0].contiguous(), depth.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        from representations import warp_arrays as warp
        from representations.fields import volume_warp

        *inputs, totals, depth = ctx.saved_tensors
        results = totals[:, 1:], totals[:, :1], depth
        upstream = grads[0], None if grads[1] is None else grads[1][:, None], grads[2]
        grad_features, grad_opacity, grad_depth = (
            torch.zeros_like(result) if grad is None else grad.contiguous()
            for grad, result in zip(upstream, results, strict=True)
        )
        grad_totals = torch.cat([grad_opacity, grad_features], dim=1)
        worth = (totals * grad_totals).sum(dim=1) + depth * grad_depth
        grad_grid = torch.zeros_like(inputs[0])
        warp.launch(
            volume_warp.differentiate,
            len(depth),
            *_warp_arguments(inputs, ctx.marching),
            *(warp.array(worth), warp.vectors(grad_totals), warp.array(grad_depth)),
            warp.vectors(grad_grid.reshape(-1, grad_grid.shape[3])),
        )
        return grad_grid, None, None, None, None, None


def _warp_arguments(inputs: list[Tensor], marching: Marching) -> tuple[Any, ...]:
    """What both of Warp's kernels begin with."""
    from representations import warp_arrays as warp

    grid, occupancy, origins, directions, offsets = inputs
    return (
        *(warp.vectors(grid.reshape(-1, grid.shape[3])), grid.shape[0], warp.array(occupancy)),
        *(warp.points(origins), warp.points(directions), warp.array(offsets)),
        *(marching.step, marching.stop_transmittance, COLOUR_CHANNELS, DENSITY_SCALE),
    )


def _try_warp() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    voxels, offsets = torch.randn(3, 3, 3, 4, generator=rng), torch.rand(10, generator=rng)
    directions = torch.tensor([[0.0, 0.6, -0.8]]).expand(10, 3)
    origins = torch.randn(10, 3, generator=rng) / 4 - 2 * directions
    rays = Rays(origins.to("cuda"), directions.to("cuda"), offsets.to("cuda"))
    occupancy = torch.ones(2, 2, 2, dtype=torch.bool, device="cuda")

    def image_and_gradient(render: Callable[..., RayIntegral]) -> Tensor:
        grid = voxels.to("cuda").requires_grad_()
        seen = torch.cat([part.reshape(-1) for part in render(grid, rays, occupancy, Marching(0.2))])
        seen.square().sum().backward()
        assert grid.grad is not None
        return torch.cat([seen.detach(), grid.grad.reshape(-1)])

    return image_and_gradient(render_volume_warp), image_and_gradient(render_volume_torch)


WARP_MARCHING = Accelerator(WARP, "marching through voxels on CUDA", _try_warp, WARP_SOURCE)
