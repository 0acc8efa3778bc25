"""A mesh file of the user's as what a mesh stage begins with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from cli.errors import UserError
from cli.scenes.retexturing import keep_shape
from representations.assets.asset import Asset
from representations.assets.baking import colours_of, has_colours
from representations.assets.reading import load_mesh
from representations.geometry.closest_points import SurfaceSearch
from representations.geometry.mesh import Cleaning, Mesh, clean
from representations.geometry.signed_distance import signed_distances
from representations.surfaces.distance_grid import DistanceGrid
from representations.surfaces.fixed_shape import FixedShape
from representations.surfaces.mesh_field import MeshField, fit_texture

OBJECT_RADIUS = 0.9
"""Objects fill this much of the unit sphere, as in the pictures that the embedded teacher was trained on."""

COARSE_NODES = 49
"""Along each side of the grid on which it is first looked for something inside."""


@dataclass(frozen=True)
class Placement:
    """Where a mesh was before it was moved into the unit sphere, in its own units.

    Attributes:
        centre: of its bounding box.
        scale: what a length of 1 in the unit sphere stands for.
    """

    centre: tuple[float, float, float]
    scale: float


def read_initial_mesh(path: Path) -> Asset:
    """What is in a file, moved and scaled into the unit sphere; raises as `load_mesh`."""
    return in_unit_sphere(load_mesh(path))


def in_unit_sphere(asset: Asset) -> Asset:
    """The asset with its bounding box in the middle and its farthest vertex at `OBJECT_RADIUS`."""
    place = placement_of(asset)
    return replace(asset, mesh=replace(asset.mesh, vertices=(asset.mesh.vertices - place.centre) / place.scale))


def placement_of(asset: Asset) -> Placement:
    """Where an asset is."""
    vertices = asset.mesh.vertices
    centre = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    x, y, z = map(float, centre)
    return Placement((x, y, z), float(np.linalg.norm(vertices - centre, axis=1).max()) / OBJECT_RADIUS)


def placement_in(path: Path, retexture: bool) -> Placement:
    """Where the mesh in a file is, from which a run is to begin.

    Raises as `load_mesh`, and UserError if the mesh encloses nothing although it is not only given new colours.
    """
    asset = load_mesh(path)
    if not retexture:
        require_inside(asset, path)
    return placement_of(asset)


def back_in_place(mesh: Mesh, place: Placement) -> Mesh:
    """A mesh from the unit sphere where the user's own mesh was."""
    return replace(mesh, vertices=mesh.vertices * place.scale + place.centre)


def require_inside(asset: Asset, path: Path) -> None:
    """Make sure that there is something to be refined. Raises UserError if the mesh encloses nothing.

    A look at a coarse grid: parts that are thinner than its cells vanish in the finer one of the run too, or nearly.
    """
    if not (signed_distances(solid_of(in_unit_sphere(asset)), COARSE_NODES) < 0).any():
        raise UserError(
            f"--init {path} encloses no volume that could be refined; close its holes first, or give it new colours "
            "with --retexture"
        )


def begin_with_asset(field: MeshField, asset: Asset) -> None:
    """Give a mesh field a shape; and the asset's own colours, if they are to be refined along with it."""
    if isinstance(field.shape, FixedShape):
        keep_shape(field.shape, asset)
        return
    assert isinstance(field.shape, DistanceGrid)
    field.shape.begin_with(torch.from_numpy(signed_distances(solid_of(asset), field.shape.nodes)))
    if has_colours(asset):
        surface = field.surface()
        places = SurfaceSearch(asset.mesh).closest(surface.vertices)
        fit_texture(field.texture, replace(surface, colours=colours_of(asset, places)), field.shape.cell)


def solid_of(asset: Asset) -> Mesh:
    """The asset's triangles, merged where they meet and turned outwards; nothing is dropped."""
    return clean(asset.mesh, Cleaning(smallest_component=0.0))
