"""From a radiance field to a mesh: which density counts as the surface, and the surface itself."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from representations.cameras import Cameras, turntable
from representations.geometry.isosurface import SMALLEST_DENSITY, EmptySurfaceError, trace_surface
from representations.geometry.mesh import Cleaning, Mesh, clean
from representations.geometry.voxels import sample_grid
from representations.rays import Rays, sample_distances

COVERED = 0.35
"""The opacity from which on a ray counts as stopped. Less than a half, because chair legs and spokes, thinner than a
pixel of the teacher's, never become quite opaque."""


class Haze(Protocol):
    """What is known of a field while its surface is looked for; all on any device."""

    def density_grid(self, resolution: int) -> Tensor:
        """(R, R, R) density at the nodes of a regular grid over [-1, 1]^3, indexed [z, y, x]."""
        ...

    def opacity(self, cameras: Cameras) -> Tensor:
        """(B, H, W) in [0, 1]: how much of the light each pixel's ray is stopped."""
        ...

    def seen_color(self, points: Tensor, normals: Tensor) -> Tensor:
        """(P, 3) colour that a camera straight above a surface sees; points and unit outward normals are (P, 3)."""
        ...


def extract_mesh(
    field: Haze, resolution: int = 129, threshold: float | None = None, cleaning: Cleaning | None = None
) -> Mesh:
    """The cleaned, coloured surface of a field.

    Args:
        field: e.g. a `NeRF`; seen through its own rays when the threshold is looked for and the vertices are coloured.
        resolution: nodes along one side of the grid on which the surface is traced.
        threshold: density of the surface; None finds the one whose outlines agree best with the renderings.
        cleaning: see `representations.geometry.mesh.clean`.

    Raises:
        EmptySurfaceError: if nothing in the field is dense enough to be seen.
    """
    density = field.density_grid(resolution)
    device, density = density.device, density.cpu()
    if threshold is None:
        cameras = _views_all_around()
        threshold = silhouette_threshold(density, cameras, field.opacity(cameras.to(device)).cpu())
    mesh = clean(trace_surface(density, threshold), cleaning)
    points, normals = (torch.from_numpy(array.copy()).float().to(device) for array in (mesh.vertices, mesh.normals))
    return Mesh(mesh.vertices, mesh.faces, field.seen_color(points, normals).clamp(0, 1).cpu().numpy())


def silhouette_threshold(density: Tensor, cameras: Cameras, opacity: Tensor, candidates: int = 64) -> float:
    """The density whose surface has the outlines that the field shows.

    Volume rendering has no surface: a thin leg may be drawn by less density than the inside of a cushion. What the
    teacher judged is the picture, so the threshold is the one for which "some point on the ray is denser" agrees
    best (by intersection over union, summed over all pixels) with "the ray is covered", that is, more opaque than
    `COVERED`.

    Args:
        density: (R, R, R) at the nodes over [-1, 1]^3, indexed [z, y, x].
        cameras: B of them.
        opacity: (B, H, W) that they see.
        candidates: thresholds to try, evenly in log density.

    Raises:
        EmptySurfaceError: if no ray is covered, or the field is not finite.
    """
    if not bool(torch.isfinite(density).all()):
        raise EmptySurfaceError("The field has no surface: its density is not finite everywhere (training diverged).")
    covered = opacity > COVERED
    if not bool(covered.any()):
        raise EmptySurfaceError(
            f"The field has no surface: its densest place has density {density.max():.2g}, and no ray is more than "
            f"{100 * opacity.max():.0f}% opaque. The object vanished in training; try more steps or another seed."
        )
    densest = _densest_along_rays(density, cameras)
    low = max(float(density.max()) * 1e-3, SMALLEST_DENSITY)
    thresholds = torch.logspace(math.log10(low), math.log10(float(density.max()) * 0.95), candidates)
    inside = densest[None] > thresholds[:, None, None, None].to(densest)
    union = (inside | covered).flatten(1).sum(dim=1)
    overlap = (inside & covered).flatten(1).sum(dim=1)
    return float(thresholds[(overlap / union).argmax()])


def _views_all_around() -> Cameras:
    """Two rings and both poles: outlines from everywhere."""
    rings = [turntable(6, math.radians(5.0), 48), turntable(4, math.radians(40.0), 48)]
    poles = [turntable(1, sign * math.pi / 2, 48) for sign in (1, -1)]
    return Cameras.concatenate([*rings, *poles])


def _densest_along_rays(density: Tensor, cameras: Cameras) -> Tensor:
    """(B, H, W) the greatest density on the ray through each pixel."""
    rows = []
    for camera in range(len(cameras)):
        origins, directions = cameras[camera : camera + 1].rays()
        offsets = torch.full((origins[..., 0].numel(),), 0.5)
        rays = Rays(origins.reshape(-1, 3), directions.reshape(-1, 3), offsets)
        distances, inside = sample_distances(rays, step=1 / density.shape[0])
        points = rays.origins[:, None] + distances[..., None] * rays.directions[:, None]
        along = torch.where(inside, sample_grid(density[..., None], points)[..., 0], 0)
        rows.append(along.amax(dim=1).reshape(cameras.size, cameras.size))
    return torch.stack(rows)
