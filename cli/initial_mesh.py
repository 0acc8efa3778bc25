"""A mesh file of the user's as what a mesh stage begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cli.errors import UserError
from representations.asset import Asset
from representations.closest_points import SurfaceSearch
from representations.distance_grid import DistanceGrid
from representations.fixed_shape import FixedShape
from representations.mesh import Cleaning, Mesh, clean
from representations.mesh_field import MeshField, fit_texture
from representations.mesh_files import load_mesh
from representations.signed_distance import signed_distances
from representations.texture_baking import colours_of

OBJECT_RADIUS = 0.9
"""Objects fill this much of the unit sphere, as in the pictures that the embedded teacher was trained on."""

COARSE_NODES = 49


def read_initial_mesh(path: Path) -> Asset:
    """What is in a file, moved and scaled into the unit sphere.

    Raises representations.mesh.MeshError if the file cannot be read or holds no mesh.
    """
    return in_unit_sphere(load_mesh(path))


def require_inside(asset: Asset, path: Path) -> None:
    """Make sure that there is something to be refined. Raises UserError if the mesh encloses nothing.

    A look at a coarse grid: parts that are thinner than its cells vanish in the finer one of the run too, or nearly.
    """
    if not (signed_distances(solid_of(asset), COARSE_NODES) < 0).any():
        raise UserError(
            f"--init {path} encloses no volume that could be refined; close its holes first, or give it new colours "
            "with --retexture"
        )


def begin_with_asset(field: MeshField, asset: Asset) -> None:
    """Give a mesh field a shape; and the asset's own colours, if they are to be refined along with it."""
    if isinstance(field.shape, FixedShape):
        field.shape.begin_with_mesh(solid_of(asset))
        return
    assert isinstance(field.shape, DistanceGrid)
    field.shape.begin_with(torch.from_numpy(signed_distances(solid_of(asset), field.shape.nodes)))
    if asset.mesh.colours is not None or asset.material.base_colour is not None:
        surface = field.surface()
        places = SurfaceSearch(asset.mesh).closest(surface.vertices)
        fit_texture(field.texture, replace(surface, colours=colours_of(asset, places)), field.shape.cell)


def solid_of(asset: Asset) -> Mesh:
    """The asset's triangles, merged where they meet and turned outwards; nothing is dropped."""
    return clean(asset.mesh, Cleaning(smallest_component=0.0))


def in_unit_sphere(asset: Asset) -> Asset:
    """The asset centred by its bounding box and scaled so that its farthest vertex lies at `OBJECT_RADIUS`."""
    vertices = asset.mesh.vertices
    centred = vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    scaled = centred * (OBJECT_RADIUS / np.linalg.norm(centred, axis=1).max())
    return replace(asset, mesh=replace(asset.mesh, vertices=scaled))
