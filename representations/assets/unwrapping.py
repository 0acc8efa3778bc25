"""Texture coordinates for a mesh: cut into charts, laid flat, packed into the unit square (by xatlas)."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from representations.compilation import Array, compiled
from representations.geometry.mesh import Floats, Integers, Mesh, MeshError

PADDING = 4
"""Texels between charts, at the resolution that the charts are packed for. Four levels of mip-maps stay apart."""


class UnwrappingUnavailableError(ValueError):
    """The package that unwraps is not installed; the message says how to get it."""


@dataclass(frozen=True)
class Unwrapping:
    """How a surface lies in the unit square.

    Attributes:
        uv: (F, 3, 2) texture coordinates of each face's corners in [0, 1], v upwards.
        charts: how many pieces the surface was cut into.
    """

    uv: Floats
    charts: int


def unwrap(mesh: Mesh, resolution: int = 1024, padding: int = PADDING) -> Unwrapping:
    """Cuts a mesh into charts and packs them without overlap.

    The time grows faster than the faces: about 0.5 s for 10,000, 3 s for 30,000; simplify before.

    Args:
        mesh: without degenerate faces, which would get no place.
        resolution: texels along one side of the texture that will be painted.
        padding: texels left free around each chart.

    Raises:
        UnwrappingUnavailableError: if xatlas is not installed.
        MeshError: if the mesh has no faces, or the charts do not lie apart in the unit square.
    """
    if len(mesh.faces) == 0:
        raise MeshError("A mesh without faces cannot be unwrapped.")
    xatlas = _xatlas()
    # In a fixed size, because the charts' tolerances are absolute.
    vertices = mesh.vertices - mesh.vertices.min(axis=0)
    vertices = vertices / (vertices.max() or 1.0)
    atlas = xatlas.Atlas()
    atlas.add_mesh(vertices.astype(np.float32), mesh.faces.astype(np.uint32))
    of_vertex, faces, uv = _packed(xatlas, atlas, resolution, padding)
    if atlas.atlas_count != 1 or not np.array_equal(of_vertex[faces], mesh.faces):
        raise MeshError("The mesh could not be unwrapped into one texture; export fewer faces.")
    faces, uv = _unmirrored(xatlas, faces, uv, resolution, padding)
    uv = np.clip(uv.astype(np.float64), 0, 1)[faces]
    crowded = overlapping_texels(uv, resolution)
    if crowded > ALLOWED_OVERLAP * resolution**2:
        raise MeshError(f"The mesh could not be unwrapped: {crowded} texels would belong to several places.")
    return Unwrapping(uv, int(atlas.chart_count))


ALLOWED_OVERLAP = 1e-4
"""Share of the texture that may belong to several faces: slivers of a texel's width at folded corners of charts."""


def can_be_painted(uv: Floats, resolution: int) -> bool:
    """Whether each face has a place of its own within the unit square.

    Args:
        uv: (F, 3, 2) of each face's corners.
        resolution: texels along one side of the texture.
    """
    if not is_inside_unit_square(uv) or (signed_uv_areas(uv) == 0).any():
        return False
    return overlapping_texels(uv, resolution) <= ALLOWED_OVERLAP * resolution**2


def overlapping_texels(uv: Floats, resolution: int) -> int:
    """How many texels' centres lie strictly inside more than one face.

    Args:
        uv: (F, 3, 2) in [0, 1], v upwards.
        resolution: texels along one side of the square.
    """
    count = np.zeros((resolution, resolution), dtype=np.int32)
    _count_cover(np.ascontiguousarray(uv, dtype=np.float64), count)
    return int((count > 1).sum())


def is_inside_unit_square(uv: Floats) -> bool:
    """Whether all coordinates are finite and within [0, 1], but for rounding."""
    return bool(np.isfinite(uv).all() and (uv >= -1e-6).all() and (uv <= 1 + 1e-6).all())


def signed_uv_areas(uv: Floats) -> Floats:
    """(F,) area of each face in the texture; negative where the texture is mirrored."""
    along, across = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    return (along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]) / 2


def _packed(xatlas: ModuleType, atlas: Any, resolution: int, padding: int) -> tuple[Integers, Integers, Floats]:
    """Cuts and packs what was added to an atlas: the old vertex of each new one, the faces, (W, 2) coordinates."""
    packing = xatlas.PackOptions()
    packing.resolution, packing.padding = resolution, padding
    packing.rotate_charts = False  # its "rotation" swaps u and v, which mirrors
    atlas.generate(xatlas.ChartOptions(), packing)
    of_vertex, faces, uv = atlas[0]
    return of_vertex, faces, uv


def _unmirrored(
    xatlas: ModuleType, faces: Integers, uv: Floats, resolution: int, padding: int
) -> tuple[Integers, Floats]:
    """Charts that lie mirrored (xatlas lays flat ones either way) are turned over, and all are packed again."""
    links = (np.ones(2 * len(faces), dtype=bool), (faces[:, [0, 1]].reshape(-1), faces[:, [1, 2]].reshape(-1)))
    _, chart = scipy.sparse.csgraph.connected_components(scipy.sparse.coo_array(links, shape=(len(uv), len(uv))))
    area = np.bincount(chart[faces[:, 0]], weights=signed_uv_areas(uv[faces].astype(np.float64)))
    if (area >= 0).all():
        return faces, uv
    uv = np.where((area < 0)[chart][:, None], [1, 0] + uv * [-1, 1], uv).astype(np.float32)
    atlas = xatlas.Atlas()
    atlas.add_uv_mesh(uv, faces.astype(np.uint32), chart[faces[:, :1]].astype(np.uint32))
    of_vertex, packed, packed_uv = _packed(xatlas, atlas, resolution, padding)
    if atlas.atlas_count != 1 or not np.array_equal(of_vertex[packed], faces):
        raise MeshError("The mesh could not be unwrapped into one texture; export fewer faces.")
    return packed, packed_uv


def _xatlas() -> ModuleType:
    try:
        import xatlas
    except ImportError:
        raise UnwrappingUnavailableError(
            "Textures need the package xatlas, which has no wheel for this platform; "
            "`pip install xatlas` builds it where a C++ compiler is."
        ) from None
    return xatlas


@compiled
def _count_cover(uv: Array, count: Array) -> None:
    """Adds 1 to `count` (R, R) at each texel whose centre lies strictly inside a face."""
    resolution = count.shape[0]
    for face in range(uv.shape[0]):
        xa, ya = uv[face, 0, 0] * resolution, uv[face, 0, 1] * resolution
        xb, yb = uv[face, 1, 0] * resolution, uv[face, 1, 1] * resolution
        xc, yc = uv[face, 2, 0] * resolution, uv[face, 2, 1] * resolution
        area = (xb - xa) * (yc - ya) - (yb - ya) * (xc - xa)
        if area == 0.0:
            continue
        for row in range(max(0, int(min(ya, yb, yc))), min(resolution - 1, int(max(ya, yb, yc))) + 1):
            for column in range(max(0, int(min(xa, xb, xc))), min(resolution - 1, int(max(xa, xb, xc))) + 1):
                x, y = column + 0.5, row + 0.5
                a = ((xb - x) * (yc - y) - (yb - y) * (xc - x)) / area
                b = ((xc - x) * (ya - y) - (yc - y) * (xa - x)) / area
                # The margin keeps a centre on an edge that two faces share from counting twice.
                if a > 1e-6 and b > 1e-6 and 1 - a - b > 1e-6:
                    count[row, column] += 1
