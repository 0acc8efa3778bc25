"""Painting the maps of a coarse mesh from a detailed surface: its colours, and the normals that the coarse one lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from representations.assets.asset import Asset, Image
from representations.assets.textures import encoded_normals, sample_texture
from representations.assets.vertex_buffers import VertexBuffers, vertex_buffers
from representations.geometry.closest_points import ClosestPoints, SurfaceSearch
from representations.geometry.mesh import Floats, Mesh
from representations.geometry.rasterizer import rasterize

GUTTER = 2.0
"""Texels around each chart that are painted with the surface's own continuation, as bilinear filters read them."""

ColourAt = Callable[[Floats, Floats], Floats]
"""(points (P, 3), unit normals (P, 3)) -> sRGB colours (P, 3) in [0, 1], as a field knows them everywhere."""


@dataclass(frozen=True)
class Texels:
    """Texels of a square texture and the place on a mesh that each shows.

    Attributes:
        row: (T,) 0 at the top, which is v = 1.
        column: (T,).
        face: (T,).
        barycentric: (T, 3) sums to 1; partly negative in the gutter, where the face's plane goes on.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    face: NDArray[np.int64]
    barycentric: Floats

    def interpolated(self, faces: NDArray[np.integer], values: Floats) -> Floats:
        """(T, C) values (V, C) of vertices, at the texels."""
        return np.einsum("tk,tkc->tc", self.barycentric, values[faces[self.face]])


def texels_of(uv: Floats, resolution: int, gutter: float = GUTTER) -> Texels:
    """The texels whose centres lie in a face's image, and those at most `gutter` texels away from one.

    Args:
        uv: (F, 3, 2) in [0, 1], v upwards.
        resolution: texels along one side.
        gutter: texels.
    """
    flat = uv.reshape(-1, 2)
    clip = np.column_stack([2 * flat - 1, np.zeros(len(flat)), np.ones(len(flat))]).astype(np.float32)
    seen = rasterize(clip, np.arange(len(flat), dtype=np.int32).reshape(-1, 3), resolution, resolution)
    apart, nearest = scipy.ndimage.distance_transform_edt(seen.face < 0, return_indices=True)
    row, column = np.nonzero(apart <= gutter)
    face = seen.face[tuple(nearest)][row, column].astype(np.int64)
    point = np.stack([(column + 0.5) / resolution, 1 - (row + 0.5) / resolution], axis=-1)
    barycentric = _barycentric(uv[face].astype(np.float64), point)
    flatless = ~np.isfinite(barycentric).all(axis=1)
    barycentric[flatless] = 1 / 3
    return Texels(row, column, face, barycentric)


def baked(
    coarse: Mesh, uv: Floats, detailed: Asset, resolution: int = 1024, colour_at: ColourAt | None = None
) -> Asset:
    """The coarse mesh with maps that show the detailed one.

    Each texel looks for the nearest point of the detailed surface that faces the same way. Beyond the gutter the
    nearest painted texel is repeated over the whole rest of the texture, so that no mip-map mixes in a foreign colour.

    Args:
        coarse: approximates the detailed mesh.
        uv: (F, 3, 2) of the coarse mesh, see `representations.assets.unwrapping`.
        detailed: with vertex colours or a texture; white if it has neither.
        resolution: texels along one side of both maps.
        colour_at: asked for colours instead of the detailed asset.
    """
    material = replace(detailed.material, base_colour=np.zeros((1, 1, 3), np.uint8), normal=None)
    asset = Asset(Mesh(coarse.vertices, coarse.faces), uv, replace(material, normal=np.zeros((1, 1, 3), np.uint8)))
    buffers = vertex_buffers(asset)
    texels = texels_of(uv, resolution)
    positions = texels.interpolated(buffers.faces, buffers.positions)
    normals = texels.interpolated(buffers.faces, buffers.normals)
    found = _nearest_facing(detailed.mesh, positions, normals)
    true_normals = _unit(np.einsum("pk,pkc->pc", found.barycentric, detailed.corner_normals[found.face]))
    if colour_at is None:
        colours = colours_of(detailed, found)
    else:
        colours = colour_at(found.interpolated(detailed.mesh.faces, detailed.mesh.vertices), true_normals)
    base_colour = _painted(np.clip(colours, 0, 1), texels, resolution)
    relative = _in_tangent_space(true_normals, normals, texels, buffers)
    return replace(
        asset,
        material=replace(
            material, base_colour=base_colour, normal=_painted(encoded_normals(relative), texels, resolution)
        ),
    )


def colours_of(asset: Asset, places: ClosestPoints) -> Floats:
    """(P, 3) sRGB colours in [0, 1] of an asset at places on its mesh: texture, else vertex colours, else white."""
    if asset.material.base_colour is not None and asset.uv is not None:
        uv = np.einsum("pk,pkc->pc", places.barycentric, asset.uv[places.face])
        return sample_texture(asset.material.base_colour, uv)
    if asset.mesh.colours is not None:
        return places.interpolated(asset.mesh.faces, asset.mesh.colours)
    return np.ones((len(places.face), 3))


def vertex_coloured(asset: Asset) -> Mesh:
    """The mesh with the asset's colours at its vertices; a texture is looked up there, once for each vertex."""
    mesh = asset.mesh
    if asset.material.base_colour is None or asset.uv is None:
        return mesh
    colours = np.ones_like(mesh.vertices)
    colours[mesh.faces.reshape(-1)] = sample_texture(asset.material.base_colour, asset.uv.reshape(-1, 2))
    return replace(mesh, colours=colours)


def _nearest_facing(mesh: Mesh, positions: Floats, normals: Floats) -> ClosestPoints:
    """Nearest points that face the same way; where there are none nearby, nearest points that face any way."""
    extent = float(np.ptp(mesh.vertices, axis=0).max())
    search = SurfaceSearch(mesh)
    found = search.closest(positions, normals, limit=0.05 * extent)
    lost = found.face < 0
    if lost.any():
        anyhow = search.closest(positions[lost])
        found.face[lost], found.barycentric[lost], found.distance[lost] = (
            anyhow.face,
            anyhow.barycentric,
            anyhow.distance,
        )
    return found


def _in_tangent_space(true_normals: Floats, normals: Floats, texels: Texels, buffers: VertexBuffers) -> Floats:
    """(T, 3) unit normals in the frames (tangent, bitangent, normal) that viewers interpolate (MikkTSpace).

    A viewer computes x T + y B + z N and normalises; so (x, y, z) solves that linear system for the true normal. The
    frame is nearly orthogonal but not quite, therefore the inverse and not the transpose.
    """
    assert buffers.tangents is not None
    tangent = texels.interpolated(buffers.faces, buffers.tangents[:, :3])
    sign = buffers.tangents[buffers.faces[texels.face, 0], 3:]
    frame = np.stack([tangent, sign * np.cross(normals, tangent), normals], axis=-1)
    flat = np.array([0.0, 0.0, 1.0])
    solvable = np.abs(np.linalg.det(frame)) > 1e-3
    frame[~solvable] = np.eye(3)
    relative = _unit(np.linalg.solve(frame, true_normals[:, :, None])[:, :, 0])
    # A detail that faces backwards cannot be shown by a map.
    return np.where((solvable & (relative[:, 2] > 0))[:, None], relative, flat)


def _painted(values: Floats, texels: Texels, resolution: int) -> Image:
    """(R, R, 3) bytes: values in [0, 1] at the texels, their nearest neighbours everywhere else."""
    image = np.zeros((resolution, resolution, 3), dtype=np.uint8)
    empty = np.ones((resolution, resolution), dtype=bool)
    image[texels.row, texels.column] = np.floor(values * 255 + 0.5).astype(np.uint8)
    empty[texels.row, texels.column] = False
    nearest = scipy.ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True)
    return image[tuple(nearest)]


def _barycentric(triangle: Floats, point: Floats) -> Floats:
    """(T, 3) weights of the corners of triangles (T, 3, 2) at points (T, 2); not finite where a triangle is flat."""
    a, b, c = triangle[:, 0], triangle[:, 1], triangle[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        area = _cross(b - a, c - a)
        weights = np.stack([_cross(b - point, c - point), _cross(c - point, a - point)], axis=-1) / area[:, None]
    return np.concatenate([weights, 1 - weights.sum(axis=1, keepdims=True)], axis=1)


def _cross(a: Floats, b: Floats) -> Floats:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
