"""A mesh file of the user's as what a mesh stage begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cli.errors import UserError
from representations.distance_grid import DistanceGrid
from representations.fixed_shape import FixedShape
from representations.mesh import Cleaning, Mesh, clean
from representations.mesh_field import MeshField, fit_texture
from representations.mesh_files import load_mesh
from representations.signed_distance import signed_distances
from representations.texture_baking import vertex_coloured

OBJECT_RADIUS = 0.9
"""Objects fill this much of the unit sphere, as in the pictures that the embedded teacher was trained on."""

KEEP_EVERYTHING = Cleaning(smallest_component=0.0)


def begin_with_file(field: MeshField, path: str) -> None:
    """Give a mesh field the shape of a file; and its colours, if the shape is to be refined.

    Raises:
        representations.mesh.MeshError: the file cannot be read, or holds no mesh.
        UserError: the shape has no inside where one is needed.
    """
    mesh = in_unit_sphere(clean(vertex_coloured(load_mesh(Path(path))), KEEP_EVERYTHING))
    if isinstance(field.shape, FixedShape):
        field.shape.begin_with_mesh(mesh)
        return
    assert isinstance(field.shape, DistanceGrid)
    distance = torch.from_numpy(signed_distances(mesh, field.shape.nodes))
    if not bool((distance < 0).any()):
        raise UserError(f"--init {path} encloses no volume, or has only parts that are thinner than the grid's cells")
    field.shape.begin_with(distance)
    if mesh.colours is not None:
        fit_texture(field.texture, mesh, torch.from_numpy(mesh.colours.copy()), field.shape.cell)


def in_unit_sphere(mesh: Mesh) -> Mesh:
    """The mesh centred by its bounding box and scaled so that its farthest vertex lies at `OBJECT_RADIUS`."""
    centred = mesh.vertices - (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0)) / 2
    return replace(mesh, vertices=centred * (OBJECT_RADIUS / np.linalg.norm(centred, axis=1).max()))
