"""Parts of a file, each with its own material, as one asset."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from representations.assets.asset import MAPS, Asset, Material
from representations.geometry.hard_edges import hard_edged_normals
from representations.geometry.mesh import Floats, Integers, Mesh

_SMOOTH_COSINE = 1 - 1e-6
"""Normals that differ less than a twelfth of a degree from the mesh's own are the mesh's own."""


@dataclass(frozen=True)
class Piece:
    """Triangles with one material.

    Attributes:
        positions: (V, 3).
        faces: (F, 3).
        uvs: sets of (F, 3, 2) texture coordinates of the faces' corners, v upwards, as the material counts them.
        normals: (F, 3, 3) unit normals of the faces' corners, or None.
        colours: (F, 3, 3 or 4) sRGB in [0, 1], and opacity, of the faces' corners, or None.
        material: its images and numbers.
        polygon_of: (F,) which polygon of the file each triangle is a part of, or None.
    """

    positions: Floats
    faces: Integers
    uvs: tuple[Floats, ...] = ()
    normals: Floats | None = None
    colours: Floats | None = None
    material: Material = field(default_factory=Material)
    polygon_of: Integers | None = None


def joined(pieces: list[Piece]) -> tuple[Asset, list[str]]:
    """One asset of all pieces, and what was done to them, in words.

    Vertices at the same place become one, so that the surface is closed again where files had to split it; what
    differs between them (colours, normals, texture coordinates) stays with the faces' corners.

    Args:
        pieces: at least one, with at least one face.
    """
    positions = np.concatenate([piece.positions for piece in pieces]).astype(np.float64) + 0.0  # makes -0 and 0 equal
    offsets = np.cumsum([0] + [len(piece.positions) for piece in pieces[:-1]])
    faces = np.concatenate([piece.faces + offset for piece, offset in zip(pieces, offsets, strict=True)])
    mesh = _merged(positions, faces)
    materials, material_of = _materials(pieces)
    sets = _uv_sets(pieces)
    mesh, corner_colours = _with_colours(mesh, pieces)
    asset = Asset(
        mesh=mesh,
        uv=sets[0] if sets else None,
        material=materials[0],
        normals=_corner_normals(pieces, mesh),
        corner_colours=corner_colours,
        more_materials=tuple(materials[1:]),
        material_of=material_of if len(materials) > 1 else None,
        polygon_of=_polygons(pieces),
        more_uv=tuple(sets[1:]),
    )
    merged = len(positions) - len(mesh.vertices)
    return asset, [f"{merged:,} vertices at the same place as others were merged"] if merged else []


def _merged(positions: Floats, faces: Integers) -> Mesh:
    """Vertices at equal places become one; those that no face uses are dropped."""
    used, faces = np.unique(faces, return_inverse=True)
    rows = np.ascontiguousarray(positions[used]).view([("", np.float64)] * 3).reshape(-1)
    _, first, number = np.unique(rows, return_index=True, return_inverse=True)
    return Mesh(positions[used][first], number.reshape(-1)[faces.reshape(-1)].reshape(-1, 3))


def _materials(pieces: list[Piece]) -> tuple[list[Material], Integers]:
    """The distinct materials, and which one each face has."""
    numbers: dict[object, int] = {}
    found: list[Material] = []
    of_piece = []
    for piece in pieces:
        key = _key(piece.material)
        if key not in numbers:
            numbers[key] = len(found)
            found.append(piece.material)
        of_piece.append(numbers[key])
    return found, np.repeat(of_piece, [len(piece.faces) for piece in pieces])


def _key(material: Material) -> object:
    """Equal for materials that are: images by identity, since readers decode each once."""
    images: dict[str, Any] = dict.fromkeys(MAPS)
    plain = replace(material, **images, samplings={})
    return (
        repr(plain),
        *(id(getattr(material, name)) for name in MAPS),
        tuple(sorted(material.samplings.items(), key=repr)),
    )


def _polygons(pieces: list[Piece]) -> Integers | None:
    """(F,) the file's polygons; None if they are not known, or all are triangles."""
    parts = [piece.polygon_of for piece in pieces if piece.polygon_of is not None]
    if len(parts) < len(pieces):
        return None
    numbers = np.concatenate(parts)
    return numbers if len(np.unique(numbers)) < len(numbers) else None


def _uv_sets(pieces: list[Piece]) -> list[Floats]:
    """As many sets of (F, 3, 2) as any piece has; zeros where a piece has fewer."""
    return [
        np.concatenate(
            [piece.uvs[number] if number < len(piece.uvs) else np.zeros((len(piece.faces), 3, 2)) for piece in pieces]
        )
        for number in range(max(len(piece.uvs) for piece in pieces))
    ]


def _with_colours(mesh: Mesh, pieces: list[Piece]) -> tuple[Mesh, Floats | None]:
    """The mesh with colours, if each vertex has one; else the colours of corners. White where a piece has none."""
    if all(piece.colours is None for piece in pieces):
        return mesh, None
    width = max(piece.colours.shape[2] for piece in pieces if piece.colours is not None)
    parts = []
    for piece in pieces:
        part = np.ones((len(piece.faces), 3, width))
        if piece.colours is not None:
            part[:, :, : piece.colours.shape[2]] = piece.colours
        parts.append(part)
    corners = np.concatenate(parts)
    flat, vertex = corners.reshape(-1, width), mesh.faces.reshape(-1)
    of_vertex = np.ones((len(mesh.vertices), width))
    of_vertex[vertex] = flat
    if width == 3 and np.array_equal(of_vertex[vertex], flat):
        return replace(mesh, colours=of_vertex), None
    return mesh, corners


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
