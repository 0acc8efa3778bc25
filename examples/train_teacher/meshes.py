"""Loads one model into arrays that the renderer reads: triangles, materials, small textures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh
from catalogue import CatalogueEntry
from numpy.typing import NDArray
from PIL import Image

TEXTURE_SIZE = 128
OBJECT_RADIUS = 0.9
"""Objects fill this much of the unit sphere: the largest ball that a camera 2.8 away sees whole through 38 degrees."""

_TRANSPARENT = 0.3
_HOLE = 0.43
_BENDS_AT_MOST = 0.75
"""The cosine between a face's normal and a smooth one at its corner, below which an edge is meant to be sharp."""
_UNKNOWN_COLOUR = (0.75, 0.75, 0.75)


@dataclass(frozen=True)
class TexturedMesh:
    """Triangles in the unit sphere, front at +Z, with one material a face.

    Attributes:
        vertices: (V, 3) float32.
        faces: (F, 3) int32.
        normals: (F, 3, 3) float32, unit normals of the corners, those of the file where it has any that make sense.
        uv: (F, 3, 2) float32, repeating texture coordinates of the corners.
        material: (F,) int32.
        colour: (M, 3) float32 in [0, 1], the materials' diffuse colours (the mean of the texture where there is one).
        texture: (M,) int32, index into `textures`, -1 for plain colours.
        textures: (T, S, S, 4) uint8, row 0 at v = 1.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    normals: NDArray[np.float32]
    uv: NDArray[np.float32]
    material: NDArray[np.int32]
    colour: NDArray[np.float32]
    texture: NDArray[np.int32]
    textures: NDArray[np.uint8]


@dataclass(frozen=True)
class _Material:
    colour: tuple[float, float, float]
    opacity: float
    image: Image.Image | None


def load_mesh(entry: CatalogueEntry) -> TexturedMesh:
    """Loads a model, turns it upright and scales it into the sphere of radius `OBJECT_RADIUS`.

    Glass (opacity below 0.3) is left out unless nothing else remains.

    Raises:
        ValueError: the file holds no triangle.
    """
    scene = trimesh.load(entry.mesh, force="scene", process=False)
    parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    if not parts:
        raise ValueError(f"{entry.mesh} holds no triangles")
    materials = [_material(part.visual) for part in parts]
    if any(material.opacity >= _TRANSPARENT for material in materials):
        kept = [i for i, material in enumerate(materials) if material.opacity >= _TRANSPARENT]
    else:
        kept = list(range(len(parts)))
    # The extent is that of the whole object, glass included: the catalogue's size speaks of that.
    everything = np.concatenate([part.vertices[np.unique(part.faces)] for part in parts]) @ entry.rotation.T
    low, high = everything.min(0), everything.max(0)
    scale = np.ones(3) if entry.size is None else np.array(entry.size) / np.maximum(high - low, 1e-9)
    centre = (low + high) / 2
    radius = np.linalg.norm((everything - centre) * scale, axis=1).max()
    vertices, faces, normals, uv, material_of_face = [], [], [], [], []
    offset = 0
    for index, i in enumerate(kept):
        part = parts[i]
        vertices.append((part.vertices @ entry.rotation.T - centre) * scale * (OBJECT_RADIUS / radius))
        faces.append(part.faces + offset)
        normals.append(_corner_normals(part, vertices[-1], entry.rotation, scale))
        uv.append(_corner_uv(part))
        material_of_face.append(np.full(len(part.faces), index))
        offset += len(part.vertices)
    colours, texture, textures = _pack([materials[i] for i in kept])
    return TexturedMesh(
        vertices=np.concatenate(vertices).astype(np.float32),
        faces=np.concatenate(faces).astype(np.int32),
        normals=np.concatenate(normals).astype(np.float32),
        uv=np.concatenate(uv).astype(np.float32),
        material=np.concatenate(material_of_face).astype(np.int32),
        colour=colours,
        texture=texture,
        textures=textures,
    )


def _corner_normals(
    part: trimesh.Trimesh, placed: NDArray[np.float64], rotation: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(F, 3, 3) smooth normals of the corners; a face's own where they are missing or look another way."""
    a, b, c = (placed[part.faces[:, corner]] for corner in range(3))
    own = _normalised(np.cross(b - a, c - a))[:, None].repeat(3, axis=1)
    smooth = _normalised(np.nan_to_num(part.vertex_normals) @ rotation.T / scale)[part.faces]
    # Either side of a face may be the one that is meant: the file's normals only say how it bends.
    agreement = (smooth * own).sum(2, keepdims=True)
    return np.where(np.abs(agreement) > _BENDS_AT_MOST, smooth * np.sign(agreement), own)


def _normalised(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-20)


def _corner_uv(part: trimesh.Trimesh) -> NDArray[np.float32]:
    uv = getattr(part.visual, "uv", None)
    if uv is None or len(uv) != len(part.vertices):
        return np.zeros((len(part.faces), 3, 2), np.float32)
    return np.nan_to_num(np.asarray(uv, np.float32)[part.faces])


def _material(visual: Any) -> _Material:
    """Reads the diffuse colour, opacity and texture of whatever kind of material trimesh found."""
    material = getattr(visual, "material", None)
    if material is None:
        vertex_colours = getattr(visual, "main_color", None)
        colour = _UNKNOWN_COLOUR if vertex_colours is None else tuple(float(c) / 255 for c in vertex_colours[:3])
        return _Material(colour, 1.0, None)
    if hasattr(material, "to_simple"):
        material = material.to_simple()
    diffuse = np.asarray(material.diffuse, np.float64) / 255
    stated_opacity = material.kwargs.get("d")
    opacity = float(stated_opacity[-1]) if stated_opacity else float(diffuse[3])
    return _Material((float(diffuse[0]), float(diffuse[1]), float(diffuse[2])), opacity, material.image)


def _pack(materials: list[_Material]) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.uint8]]:
    colours = np.zeros((len(materials), 3), np.float32)
    texture = np.full(len(materials), -1, np.int32)
    textures: list[NDArray[np.uint8]] = []
    for i, material in enumerate(materials):
        colours[i] = np.clip(material.colour, 0, 1)
        if material.image is None:
            continue
        pixels = np.asarray(material.image.convert("RGBA").resize((TEXTURE_SIZE, TEXTURE_SIZE), Image.Resampling.BOX))
        opaque = pixels[..., 3] > _HOLE * 255
        if opaque.any():
            colours[i] = pixels[opaque][:, :3].mean(0) / 255
        texture[i] = len(textures)
        textures.append(pixels)
    stacked = np.stack(textures) if textures else np.zeros((0, TEXTURE_SIZE, TEXTURE_SIZE, 4), np.uint8)
    return colours, texture, stacked


def opaque_masks(mesh: TexturedMesh) -> NDArray[np.bool_]:
    """(T, S, S) bool: where each texture is not a hole."""
    return np.asarray(mesh.textures[..., 3] > _HOLE * 255)
