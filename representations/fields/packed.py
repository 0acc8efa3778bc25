"""Volume rendering of any field: only samples in occupied cells exist, packed one ray after another.

Names, arguments and shapes are nerfacc's (Li et al. 2023, "NerfAcc", section 3). Its CUDA versions are used on CUDA
if they work there (`NERFACC`), or else NVIDIA Warp (`WARP_PACKING`), or else plain torch; nerfacc's packed functions do
not run on a CPU, these do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from representations.accelerators import WARP, WARP_SOURCE, Accelerator
from representations.geometry.voxels import is_occupied
from representations.rays import Marching, RayIntegral, Rays, sample_distances


class PackedSamples(NamedTuple):
    """S samples of R rays, sorted by ray and then by distance. Sample s is the middle of its interval."""

    ray_indices: Tensor
    """(S,) which ray."""
    t_starts: Tensor
    """(S,) where its interval begins, as a distance along the ray."""
    t_ends: Tensor
    """(S,) where it ends."""

    @property
    def distances(self) -> Tensor:
        """(S,) of the samples along their rays."""
        return (self.t_starts + self.t_ends) / 2

    def points(self, rays: Rays) -> Tensor:
        """(S, 3) positions."""
        return rays.origins[self.ray_indices] + self.distances[:, None] * rays.directions[self.ray_indices]


@torch.no_grad()
def march(rays: Rays, occupancy: Tensor, step: float) -> PackedSamples:
    """The samples of each ray that lie in the unit sphere and in occupied cells of (M, M, M) bool over [-1, 1]^3."""
    if rays.origins.dtype is torch.float32 and WARP_PACKING.works_for(rays.origins):
        return march_warp(rays, occupancy, step)
    return _march(rays, occupancy, step)


def _march(rays: Rays, occupancy: Tensor, step: float) -> PackedSamples:
    distances, inside = sample_distances(rays, step)
    ray_indices, number = inside.nonzero(as_tuple=True)
    middle = distances[ray_indices, number]
    points = rays.origins[ray_indices] + middle[:, None] * rays.directions[ray_indices]
    kept = is_occupied(occupancy, points)
    middle = middle[kept]
    return PackedSamples(ray_indices[kept], middle - step / 2, middle + step / 2)


def render_weight_from_density(
    t_starts: Tensor, t_ends: Tensor, sigmas: Tensor, ray_indices: Tensor, n_rays: int
) -> tuple[Tensor, Tensor, Tensor]:
    """What share of the light that reaches the camera comes from each sample.

    Args:
        t_starts, t_ends, sigmas: (S,) intervals and their densities.
        ray_indices: (S,) sorted.
        n_rays: R.

    Returns:
        weights = transmittance * alphas, transmittance before each sample, and alphas = 1 - exp(-sigma * length):
        (S,) each.
    """
    if NERFACC.works_for(sigmas):
        return _weights_by_nerfacc(t_starts, t_ends, sigmas, ray_indices, n_rays)
    if sigmas.dtype is torch.float32 and WARP_PACKING.works_for(sigmas):
        return weights_warp(t_starts, t_ends, sigmas, ray_indices, n_rays)
    return _weights(t_starts, t_ends, sigmas, ray_indices, n_rays)


def _weights_by_nerfacc(
    t_starts: Tensor, t_ends: Tensor, sigmas: Tensor, ray_indices: Tensor, n_rays: int
) -> tuple[Tensor, Tensor, Tensor]:
    import nerfacc

    return nerfacc.render_weight_from_density(t_starts, t_ends, sigmas, ray_indices=ray_indices, n_rays=n_rays)


def _weights(
    t_starts: Tensor, t_ends: Tensor, sigmas: Tensor, ray_indices: Tensor, n_rays: int
) -> tuple[Tensor, Tensor, Tensor]:
    optical_depth = sigmas * (t_ends - t_starts)
    transmittance = torch.exp(-_before_each(optical_depth, ray_indices, n_rays))
    alphas = 1 - torch.exp(-optical_depth)
    return transmittance * alphas, transmittance, alphas


def _before_each(values: Tensor, ray_indices: Tensor, n_rays: int) -> Tensor:
    """(S,) for each sample the sum of the values (S,) of those before it on its ray."""
    counts = _samples_of_each(ray_indices, n_rays)
    starts = (counts.cumsum(dim=0) - counts)[ray_indices]
    if values.device.type == "cpu":
        # One running sum over all rays, less its value where the ray began; in double, because it grows far beyond one
        # ray's.
        before = values.double().cumsum(dim=0) - values
        return (before - before[starts]).to(values.dtype)
    # Cards are slow in double, and have room: a row a ray, as long as the longest.
    places = (ray_indices, torch.arange(len(values), device=values.device) - starts)
    rows = values.new_zeros(n_rays, int(counts.max()) if n_rays else 0).index_put(places, values)
    return (rows.cumsum(dim=1) - rows)[places]


def _samples_of_each(ray_indices: Tensor, n_rays: int) -> Tensor:
    """(R,) how many samples each ray has."""
    counts = torch.zeros(n_rays, dtype=torch.long, device=ray_indices.device)
    return counts.index_add(0, ray_indices, torch.ones_like(ray_indices))


def march_warp(rays: Rays, occupancy: Tensor, step: float) -> PackedSamples:
    """`march` by NVIDIA Warp, in float32: on CUDA, or for tests on the CPU. No sample is stored that does not count."""
    from representations import warp_arrays as warp
    from representations.fields import packed_warp

    counts = torch.empty(len(rays), dtype=torch.long, device=occupancy.device)
    tensors = [tensor.detach().contiguous() for tensor in (rays.origins, rays.directions, rays.offsets, occupancy)]
    origins, directions, offsets, cells = tensors
    where = warp.points(origins), warp.points(directions), warp.array(offsets), warp.array(cells), step
    warp.launch(packed_warp.count_samples, len(rays), *where, warp.array(counts))
    ends = counts.cumsum(dim=0)
    total = int(ends[-1]) if len(rays) else 0
    ray_indices, middle = counts.new_empty(total), origins.new_empty(total)
    starts = ends - counts
    results = warp.array(starts), warp.array(ray_indices), warp.array(middle)
    warp.launch(packed_warp.place_samples, len(rays) if total else 0, *where, *results)
    return PackedSamples(ray_indices, middle - step / 2, middle + step / 2)


def weights_warp(
    t_starts: Tensor, t_ends: Tensor, sigmas: Tensor, ray_indices: Tensor, n_rays: int
) -> tuple[Tensor, Tensor, Tensor]:
    """`render_weight_from_density` by NVIDIA Warp, in float32: on CUDA, or for tests on the CPU."""
    return _WarpWeights.apply(sigmas * (t_ends - t_starts), _samples_of_each(ray_indices, n_rays))


class _WarpWeights(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, thickness: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        from representations import warp_arrays as warp
        from representations.fields import packed_warp

        thickness = thickness.detach().contiguous()
        weights, transmittance = torch.empty_like(thickness), torch.empty_like(thickness)
        tensors = thickness, counts.cumsum(dim=0) - counts, counts, weights, transmittance
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        warp.launch(packed_warp.composite, len(counts) if len(thickness) else 0, *map(warp.array, tensors))
        return weights, transmittance, 1 - torch.exp(-thickness)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor, None]:
        from representations import warp_arrays as warp
        from representations.fields import packed_warp

        thickness, _, counts, *_ = ctx.saved_tensors
        gradient = torch.empty_like(thickness)
        upstream = (torch.zeros_like(thickness) if grad is None else grad.contiguous() for grad in grads)
        operands = [*ctx.saved_tensors, *upstream, gradient]
        warp.launch(packed_warp.differentiate, len(counts) if len(thickness) else 0, *map(warp.array, operands))
        return gradient, None


def _try_warp() -> tuple[Tensor, Tensor]:
    rays = Rays(
        torch.tensor([[0.0, 0.0, 2.0], [0.2, 0.1, 2.0]], device="cuda"),
        torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, -1.0]], device="cuda"),
        torch.tensor([0.3, 0.6], device="cuda"),
    )
    cells = torch.arange(8, device="cuda").reshape(2, 2, 2) % 3 > 0

    def weights_and_gradient(march: Callable[..., PackedSamples], weights: Callable[..., tuple[Tensor, ...]]) -> Tensor:
        samples = march(rays, cells, 0.2)
        density = (3 * samples.t_ends).requires_grad_()
        parts = torch.cat(weights(samples.t_starts, samples.t_ends, density, samples.ray_indices, 2))
        parts.square().sum().backward()
        assert density.grad is not None
        return torch.cat([parts.detach(), density.grad])

    return weights_and_gradient(march_warp, weights_warp), weights_and_gradient(_march, _weights)


WARP_PACKING = Accelerator(WARP, "packed volume rendering on CUDA", _try_warp, WARP_SOURCE)


def _try_nerfacc() -> tuple[Tensor, Tensor]:
    ends = torch.arange(1, 11, device="cuda") / 10
    rays = torch.tensor([0] * 4 + [2] * 6, device="cuda")

    def weights_and_gradient(weights: Callable[..., tuple[Tensor, ...]]) -> Tensor:
        density = (3 * ends).requires_grad_()
        parts = torch.cat(weights(ends - 0.1, ends, density, rays, 3))
        (gradient,) = torch.autograd.grad(parts.square().sum(), density)
        return torch.cat([parts.detach(), gradient])

    return weights_and_gradient(_weights_by_nerfacc), weights_and_gradient(_weights)


NERFACC = Accelerator("nerfacc", "packed volume rendering on CUDA", _try_nerfacc)


def accumulate_along_rays(weights: Tensor, values: Tensor, ray_indices: Tensor, n_rays: int) -> Tensor:
    """(R, C) weighted sums of values (S, C) along each ray."""
    total = torch.zeros(n_rays, values.shape[1], dtype=values.dtype, device=values.device)
    return total.index_add(0, ray_indices, weights[:, None] * values)


def render_packed(
    look: Callable[[Tensor], tuple[Tensor, Tensor]], rays: Rays, occupancy: Tensor, marching: Marching
) -> RayIntegral:
    """Integrates a field along rays.

    Args:
        look: from points (S, 3) to density (S,) and features (S, C).
        rays: R of them.
        occupancy: (M, M, M) bool; samples in cells that are False are skipped.
        marching: how densely to sample.
    """
    samples = march(rays, occupancy, marching.step)
    density, features = look(samples.points(rays))
    weights, transmittance, _ = render_weight_from_density(
        samples.t_starts, samples.t_ends, density, samples.ray_indices, len(rays)
    )
    weights = torch.where(transmittance >= marching.stop_transmittance, weights, 0)
    values = torch.cat([features, torch.ones_like(weights)[:, None], samples.distances[:, None]], dim=1)
    total = accumulate_along_rays(weights, values, samples.ray_indices, len(rays))
    return RayIntegral(total[:, :-2], total[:, -2], total[:, -1])


def normals_by_differences(density_logit: Callable[[Tensor], Tensor], points: Tensor, distance: float) -> Tensor:
    """(P, 3) unit vectors down the gradient of a scalar function, from its values at the corners of a small
    tetrahedron.

    Differentiable in the function's parameters; near zero where the function is flat.
    """
    corners = torch.tensor([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], dtype=points.dtype, device=points.device)
    values = density_logit((points[:, None] + distance * corners).reshape(-1, 3)).reshape(-1, 4)
    downhill = -(values @ corners) / (4 * distance)
    return downhill / downhill.square().sum(dim=1, keepdim=True).add(1e-12).sqrt()
