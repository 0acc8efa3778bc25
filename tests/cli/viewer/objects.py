"""Simple things to show."""

import numpy as np
import trimesh

from representations.assets.asset import Asset, Image, Material
from representations.geometry.mesh import Mesh


def ball(colour: tuple[float, float, float]) -> Mesh:
    """A ball of diameter 1 m on the floor, in one colour (sRGB in [0, 1])."""
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=0.5)
    vertices = np.asarray(sphere.vertices) + np.array([0, 0.5, 0])
    return Mesh(vertices, np.asarray(sphere.faces), np.tile(colour, (len(vertices), 1)))


def box_with_texture(colour: tuple[int, int, int], normal: Image | None = None) -> Asset:
    """A cube whose texture is one colour (sRGB bytes) on every side."""
    box = trimesh.creation.box()
    mesh = Mesh(np.asarray(box.vertices), np.asarray(box.faces))
    uv = np.tile([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]], (len(mesh.faces), 1, 1))
    texture = np.full((8, 8, 3), colour, np.uint8)
    return Asset(mesh, uv, Material(base_colour=texture, normal=normal))
