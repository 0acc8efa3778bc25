"""Parts of a file, each with its own material, as one asset with one material."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image as Pictures

from representations.assets.asset import Asset, Image, Material
from representations.assets.colour_space import linear_to_srgb, srgb_to_linear
from representations.geometry.hard_edges import hard_edged_normals
from representations.geometry.mesh import Floats, Integers, Mesh

SWATCH = 16
"""Texels along one side of the square that stands for a material of one colour."""

LARGEST_CELL = 2048
"""Texels along one side of a material's place in a shared texture; larger images are made smaller."""

_SMOOTH_COSINE = 0.9995
_FLAT_NORMAL = (128, 128, 255)


@dataclass(frozen=True)
class Piece:
    """Triangles with one material.

    Attributes:
        positions: (V, 3).
        faces: (F, 3).
        uv: (F, 3, 2) of the faces' corners, v upwards, or None.
        normals: (F, 3, 3) unit normals of the faces' corners, or None.
        colours: (V, 3) sRGB in [0, 1], or None.
        material: its images and numbers.
        tint: (3,) linear factor of the base colour.
    """

    positions: Floats
    faces: Integers
    uv: Floats | None = None
    normals: Floats | None = None
    colours: Floats | None = None
    material: Material = field(default_factory=Material)
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def is_textured(self) -> bool:
        """Whether an image covers it."""
        return self.uv is not None and self.material.base_colour is not None

    @property
    def srgb_tint(self) -> Floats:
        """(3,) sRGB."""
        return linear_to_srgb(np.asarray(self.tint))


def joined(pieces: list[Piece]) -> tuple[Asset, list[str]]:
    """One asset of all pieces, and what was done to them, in words.

    Vertices at the same place become one, so that the surface is closed again where files had to split it. One material
    stays as it is; of several, the images share a new texture, in which plain colours have a square each.

    Args:
        pieces: at least one, with at least one face.
    """
    notes: list[str] = []
    positions = np.concatenate([piece.positions for piece in pieces])
    offsets = np.cumsum([0] + [len(piece.positions) for piece in pieces[:-1]])
    faces = np.concatenate([piece.faces + offset for piece, offset in zip(pieces, offsets, strict=True)])
    colours, uv, material = _look(pieces, notes)
    mesh = _merged(positions, faces, colours)
    normals = _corner_normals(pieces, mesh)
    if len(mesh.vertices) < len(positions):
        notes.append(f"{len(positions) - len(mesh.vertices):,} vertices at the same place as others were merged")
    return Asset(mesh, uv, material, normals), notes


def _merged(positions: Floats, faces: Integers, colours: Floats | None) -> Mesh:
    """Vertices at equal places (in float32, which is what files hold) become one, with the mean of their colours."""
    stored = positions.astype(np.float32) + np.float32(0)  # + 0 makes -0 and 0 equal
    _, first, number = np.unique(stored, axis=0, return_index=True, return_inverse=True)
    number = number.reshape(-1)
    if colours is not None:
        count = np.bincount(number)
        colours = np.stack([np.bincount(number, colours[:, channel]) / count for channel in range(3)], axis=-1)
    return Mesh(positions[first].astype(np.float64), number[faces], colours)


def _corner_normals(pieces: list[Piece], mesh: Mesh) -> Floats | None:
    """(F, 3, 3) normals of corners, from the file if it has any; None if the whole surface is smooth."""
    if not np.isfinite(mesh.vertices).all():
        return None
    if all(piece.normals is None for piece in pieces):
        return hard_edged_normals(mesh)
    smooth = mesh.normals[mesh.faces]
    parts, start = [], 0
    for piece in pieces:
        own = smooth[start : start + len(piece.faces)] if piece.normals is None else piece.normals
        parts.append(own)
        start += len(piece.faces)
    normals = np.concatenate(parts)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    normals = np.where((length > 1e-6) & np.isfinite(length), normals / np.maximum(length, 1e-6), smooth)
    return None if ((normals * smooth).sum(axis=-1) > _SMOOTH_COSINE).all() else normals


def _look(pieces: list[Piece], notes: list[str]) -> tuple[Floats | None, Floats | None, Material]:
    """Vertex colours, texture coordinates and the material of all pieces together."""
    looks = [(id(piece.material.base_colour), id(piece.material.normal), piece.tint) for piece in pieces]
    largest = max(pieces, key=lambda piece: len(piece.faces))
    plain = not any(piece.is_textured for piece in pieces)
    if plain and any(piece.colours is not None for piece in pieces):
        return np.concatenate([_vertex_colours(piece) for piece in pieces]), None, _without_images(largest.material)
    if len(set(looks)) == 1 and (largest.is_textured or largest.tint == (1.0, 1.0, 1.0)):
        if not largest.is_textured:
            return None, _all_uv(pieces), _without_images(largest.material)
        colour = largest.material.base_colour
        assert colour is not None
        return None, _all_uv(pieces), replace(largest.material, base_colour=_tinted(colour, largest.srgb_tint))
    notes.append(f"{len(set(looks))} materials share one texture now")
    if any(piece.colours is not None for piece in pieces):
        notes.append("vertex colours were dropped, since some parts have textures")
    return _shared_texture(pieces, looks, largest, notes)


def _shared_texture(
    pieces: list[Piece], looks: list[tuple[int, int, tuple[float, float, float]]], largest: Piece, notes: list[str]
) -> tuple[None, Floats, Material]:
    """Every material's image in a cell of one square grid of cells."""
    cells = {look: number for number, look in enumerate(dict.fromkeys(looks))}
    columns = int(np.ceil(np.sqrt(len(cells))))
    images = [piece.material.base_colour for piece in pieces if piece.is_textured]
    cell = max((min(max(image.shape[:2]), LARGEST_CELL) for image in images if image is not None), default=SWATCH)
    has_normals = any(piece.is_textured and piece.material.normal is not None for piece in pieces)
    side = columns * cell
    base = np.zeros((side, side, 3), np.uint8)
    normal = np.full((side, side, 3), _FLAT_NORMAL, np.uint8) if has_normals else None
    corners = []
    for piece, look in zip(pieces, looks, strict=True):
        row, column = divmod(cells[look], columns)
        place = (slice(row * cell, (row + 1) * cell), slice(column * cell, (column + 1) * cell))
        uv = np.full((len(piece.faces), 3, 2), 0.5)
        base[place] = np.round(piece.srgb_tint * 255)
        if piece.is_textured and piece.uv is not None and piece.material.base_colour is not None:
            uv = piece.uv - np.floor(piece.uv.min(axis=1, keepdims=True))
            if (uv > 1 + 1e-6).any():
                notes.append("a repeating texture was stretched over each face that it repeats on")
                uv = uv / np.maximum(uv.max(axis=(1, 2), keepdims=True), 1)
            base[place] = _resized(_tinted(piece.material.base_colour, piece.srgb_tint), cell)
            if normal is not None and piece.material.normal is not None:
                normal[place] = _resized(piece.material.normal, cell)
        uv = np.clip(uv, 0.5 / cell, 1 - 0.5 / cell)  # neighbouring cells do not shine through
        corners.append((uv + np.array([column, columns - 1 - row])) / columns)
    material = replace(largest.material, base_colour=base, normal=normal)
    return None, np.concatenate(corners), material


def _vertex_colours(piece: Piece) -> Floats:
    """(V, 3) sRGB: its colours, or white, times its tint (in linear light, as glTF multiplies them)."""
    colours = np.ones_like(piece.positions) if piece.colours is None else piece.colours
    return linear_to_srgb(srgb_to_linear(colours) * np.asarray(piece.tint))


def _all_uv(pieces: list[Piece]) -> Floats | None:
    if any(piece.uv is None for piece in pieces):
        return None
    return np.concatenate([piece.uv for piece in pieces if piece.uv is not None])


def _without_images(material: Material) -> Material:
    return replace(material, base_colour=None, normal=None)


def _tinted(image: Image, srgb_tint: Floats) -> Image:
    if (srgb_tint == 1).all():
        return image
    linear = srgb_to_linear(image / 255) * srgb_to_linear(srgb_tint)
    return np.round(linear_to_srgb(linear) * 255).astype(np.uint8)


def _resized(image: Image, side: int) -> Image:
    return np.asarray(Pictures.fromarray(image).resize((side, side), Pictures.Resampling.LANCZOS))
