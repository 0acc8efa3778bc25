"""From a radiance field to a mesh: which density counts as the surface, and the surface itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from skimage.measure import marching_cubes
from torch import Tensor

from representations.cameras import Cameras, turntable
from representations.mesh import Cleaning, Mesh, clean
from representations.rays import Rays, sample_distances
from representations.voxels import node_positions, sample_grid

if TYPE_CHECKING:
    from representations.nerf import NeRF

COVERED = 0.35
"""The opacity from which on a ray counts as stopped. Less than a half, because chair legs and spokes, thinner than a
pixel of the teacher's, never become quite opaque."""

_SMALLEST_DENSITY = 1e-3
_SPHERE_RADIUS = 0.998
_SPHERE_SLOPE = 50.0


class EmptySurfaceError(ValueError):
    """A field has no surface; the message says what it has instead."""


def extract_mesh(
    nerf: NeRF, resolution: int = 129, threshold: float | None = None, cleaning: Cleaning | None = None
) -> Mesh:
    """The cleaned, coloured surface of a field.

    Args:
        nerf: seen through its own rays when the threshold is looked for and when the vertices are coloured.
        resolution: nodes along one side of the grid on which the surface is traced.
        threshold: density of the surface; None finds the one whose outlines agree best with the renderings.
        cleaning: see `representations.mesh.clean`.

    Raises:
        EmptySurfaceError: if nothing in the field is dense enough to be seen.
    """
    density = nerf.density_grid(resolution).cpu()
    if threshold is None:
        cameras = _views_all_around()
        with torch.no_grad():
            opacity = nerf(cameras.to(nerf.occupancy.density.device)).opacity[:, 0].cpu()
        threshold = silhouette_threshold(density, cameras, opacity)
    mesh = clean(trace_surface(density, threshold), cleaning)
    return Mesh(mesh.vertices, mesh.faces, _seen_colours(nerf, mesh))


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
    low = max(float(density.max()) * 1e-3, _SMALLEST_DENSITY)
    thresholds = torch.logspace(math.log10(low), math.log10(float(density.max()) * 0.95), candidates)
    inside = densest[None] > thresholds[:, None, None, None].to(densest)
    union = (inside | covered).flatten(1).sum(dim=1)
    overlap = (inside & covered).flatten(1).sum(dim=1)
    return float(thresholds[(overlap / union).argmax()])


def trace_surface(density: Tensor, threshold: float) -> Mesh:
    """Marching cubes (Lewiner et al. 2003) in log density; closed, because the unit sphere bounds it.

    Density grows almost exponentially through a surface, so its logarithm is what is nearly linear between nodes.
    Cavities, which nobody can see, are filled.

    Args:
        density: (R, R, R) at the nodes over [-1, 1]^3, indexed [z, y, x].
        threshold: the density at the surface.

    Raises:
        EmptySurfaceError: if no node is denser than the threshold.
    """
    resolution = density.shape[0]
    height = torch.log(density.double().clamp(min=_SMALLEST_DENSITY)) - math.log(max(threshold, _SMALLEST_DENSITY))
    to_sphere = _SPHERE_RADIUS - node_positions(resolution).double().norm(dim=-1)
    level_set = torch.minimum(height, _SPHERE_SLOPE * to_sphere).numpy()
    if level_set.max() <= 0:
        raise EmptySurfaceError(
            f"The field has no surface at density {threshold:.2g}: its densest place has {density.max():.2g}."
        )
    vertices, faces, _, _ = marching_cubes(level_set, level=0.0, gradient_direction="ascent")
    # From [z, y, x] in cells to (x, y, z) in [-1, 1]; swapping two axes mirrors the faces' winding.
    vertices = vertices[:, ::-1].astype(np.float64) * (2 / (resolution - 1)) - 1
    mesh = Mesh(vertices, faces[:, ::-1].astype(np.int64))
    return mesh.with_faces((mesh.component_volumes() > 0)[mesh.components()])


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


def _seen_colours(nerf: NeRF, mesh: Mesh) -> np.ndarray:
    """(V, 3) the colour of each vertex as a camera straight above it sees it."""
    like = nerf.occupancy.density
    points, normals = (torch.from_numpy(array.copy()).to(like) for array in (mesh.vertices, mesh.normals))
    return nerf.seen_color(points, normals).clamp(0, 1).cpu().numpy()
