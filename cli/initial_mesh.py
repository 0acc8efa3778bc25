"""A mesh file of the user's as what a mesh stage begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import trimesh

from cli.errors import UserError
from representations.distance_grid import DistanceGrid
from representations.fixed_shape import FixedShape
from representations.mesh import Mesh
from representations.mesh_field import MeshField
from representations.signed_distance import signed_distances

OBJECT_RADIUS = 0.9
"""Objects fill this much of the unit sphere, as in the pictures that the embedded teacher was trained on."""


def begin_with_file(field: MeshField, path: str) -> None:
    """Give a mesh field the shape of a file.

    Raises UserError if the file holds no mesh, or a shape that has no inside where one is needed.
    """
    mesh = in_unit_sphere(read_mesh(Path(path)))
    if isinstance(field.shape, FixedShape):
        field.shape.begin_with_mesh(mesh)
        return
    assert isinstance(field.shape, DistanceGrid)
    distance = torch.from_numpy(signed_distances(mesh, field.shape.nodes))
    if not bool((distance < 0).any()):
        raise UserError(f"--init {path} encloses no volume, or has only parts that are thinner than the grid's cells")
    field.shape.begin_with(distance)


def in_unit_sphere(mesh: Mesh) -> Mesh:
    """The mesh centred by its bounding box and scaled so that its farthest vertex lies at `OBJECT_RADIUS`."""
    centred = mesh.vertices - (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0)) / 2
    return replace(mesh, vertices=centred * (OBJECT_RADIUS / np.linalg.norm(centred, axis=1).max()))


def read_mesh(path: Path) -> Mesh:
    """The triangles of a file. Raises UserError if there are none."""
    try:
        loaded = trimesh.load(path, force="mesh")
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"--init {path}: {error}") from None
    if not isinstance(loaded, trimesh.Trimesh) or not len(loaded.faces):
        raise UserError(f"--init {path} holds no triangles")
    return Mesh(np.asarray(loaded.vertices), np.asarray(loaded.faces))
