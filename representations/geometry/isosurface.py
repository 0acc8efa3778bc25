"""The surface at which the values on a regular grid cross a threshold."""

from __future__ import annotations

import math

import numpy as np
import torch
from skimage.measure import marching_cubes
from torch import Tensor

from representations.geometry.mesh import Mesh
from representations.geometry.voxels import node_positions

SMALLEST_DENSITY = 1e-3
"""Density below which nothing is told apart, since surfaces are traced in its logarithm."""

_SPHERE_RADIUS = 0.998
_SPHERE_SLOPE = 50.0


class EmptySurfaceError(ValueError):
    """A field has no surface; the message says what it has instead."""


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
    height = torch.log(density.double().clamp(min=SMALLEST_DENSITY)) - math.log(max(threshold, SMALLEST_DENSITY))
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
