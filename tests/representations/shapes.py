"""Meshes that the tests of assets share."""

from dataclasses import replace

import numpy as np
import trimesh

from representations.assets.asset import Asset, Material
from representations.geometry.mesh import Mesh


def ball(subdivisions: int = 3, radius: float = 1.0, centre: tuple[float, float, float] = (0, 0, 0)) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return Mesh(np.asarray(sphere.vertices) + np.array(centre), np.asarray(sphere.faces))


def box(extents: tuple[float, float, float] = (0.8, 1.0, 0.6)) -> Mesh:
    solid = trimesh.creation.box(extents=extents)
    return Mesh(np.asarray(solid.vertices), np.asarray(solid.faces))


def torus() -> Mesh:
    ring = trimesh.creation.torus(0.6, 0.25, major_sections=40, minor_sections=20)
    return Mesh(np.asarray(ring.vertices), np.asarray(ring.faces))


def joined_meshes(*meshes: Mesh) -> Mesh:
    offsets = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    faces = [mesh.faces + offset for mesh, offset in zip(meshes, offsets[:-1], strict=True)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces))


def coloured(mesh: Mesh) -> Mesh:
    """Each vertex has a colour that varies smoothly with its place."""
    return replace(mesh, colours=0.5 + 0.4 * np.sin(2 * mesh.vertices + np.array([0.0, 1.0, 2.0])))


def unit_square(texture: np.ndarray | None = None) -> Asset:
    """Two triangles over [0, 1]^2 in the plane z = 0, whose texture coordinates are x and y."""
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return Asset(Mesh(corners, faces), corners[faces][:, :, :2], Material(base_colour=texture))
