"""Objects of every kind that scoresmith writes: closed and open, coloured, textured, plain, with hard edges."""

from dataclasses import replace

import numpy as np
import trimesh

from representations.assets.asset import Asset, Material
from representations.assets.finishing import textured
from representations.geometry.mesh import Mesh, standing

SHAPES = {
    "ball": lambda: trimesh.creation.icosphere(subdivisions=4, radius=0.4),
    "box": lambda: trimesh.creation.box(extents=(0.8, 1.0, 0.6)).subdivide().subdivide().subdivide(),
    "torus": lambda: trimesh.creation.torus(0.4, 0.15, major_sections=48, minor_sections=24),
    "cylinder": lambda: trimesh.creation.cylinder(radius=0.3, height=1.2, sections=48).subdivide().subdivide(),
    "capsule": lambda: trimesh.creation.capsule(height=0.6, radius=0.25, count=[24, 24]),
    "cone": lambda: trimesh.creation.cone(radius=0.4, height=0.9, sections=48).subdivide().subdivide(),
    "ring": lambda: trimesh.creation.annulus(r_min=0.2, r_max=0.4, height=0.3, sections=48).subdivide(),
    "two balls": lambda: trimesh.util.concatenate(
        [trimesh.creation.icosphere(subdivisions=3, radius=0.2), trimesh.creation.box().apply_translation([2, 0, 0])]
    ),
}


def shape(name: str) -> Mesh:
    """A shape that stands on the floor, each vertex coloured by its place."""
    solid = SHAPES[name]()
    mesh = standing(Mesh(np.asarray(solid.vertices), np.asarray(solid.faces)), 0.9)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    return replace(mesh, colours=0.1 + 0.8 * (mesh.vertices - low) / np.maximum(high - low, 1e-9))


def bumpy(mesh: Mesh) -> Mesh:
    """The mesh with small waves on it, which a normal map has to show."""
    waves = 0.004 * np.sin(60 * mesh.vertices).sum(axis=1, keepdims=True)
    return replace(mesh, vertices=mesh.vertices + waves * mesh.normals)


def flat_normals(mesh: Mesh) -> np.ndarray:
    """(F, 3, 3) hard edges everywhere."""
    normals = mesh.face_normals / np.linalg.norm(mesh.face_normals, axis=1, keepdims=True)
    return np.repeat(normals[:, None], 3, axis=1)


def all_assets() -> dict[str, Asset]:
    """Forty assets by name."""
    assets = {}
    for name in SHAPES:
        mesh = shape(name)
        assets[f"{name}, coloured"] = Asset(mesh)
        assets[f"{name}, textured"] = textured(Asset(bumpy(mesh)), faces=1500, resolution=128)
        assets[f"{name}, plain and shiny"] = Asset(replace(mesh, colours=None), material=Material(roughness=0.2))
        assets[f"{name}, hard edges"] = Asset(mesh, normals=flat_normals(mesh))
        assets[f"{name}, open"] = Asset(mesh.with_faces(mesh.vertices[mesh.faces][:, :, 1].mean(axis=1) < 0.7))
    return assets
