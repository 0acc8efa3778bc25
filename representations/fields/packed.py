"""Volume rendering of any field: only samples in occupied cells exist, packed one ray after another.

Names, arguments and shapes are nerfacc's (Li et al. 2023, "NerfAcc", section 3). Its CUDA versions are used on CUDA
if they work there (`NERFACC`); its packed functions do not run on a CPU, these do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from representations.accelerators import Accelerator
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
    counts = torch.zeros(n_rays, dtype=torch.long, device=values.device)
    counts = counts.index_add(0, ray_indices, torch.ones_like(ray_indices))
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


def _try_nerfacc() -> tuple[Tensor, Tensor]:
    ends = torch.arange(1, 11, device="cuda") / 10
    rays = torch.tensor([0] * 4 + [2] * 6, device="cuda")
    samples = (ends - 0.1, ends, 3 * ends, rays, 3)
    return _weights_by_nerfacc(*samples)[0], _weights(*samples)[0]


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
