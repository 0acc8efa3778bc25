"""Painting the maps of a coarse mesh from a detailed surface: its colours, and the normals that the coarse one lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from representations.assets.appearance import Places, colours_at, corners_of, emissions_at, normals_at, surfaces_at
from representations.assets.asset import AlphaMode, Asset, Image, Material
from representations.assets.colour_space import linear_to_srgb
from representations.assets.textures import encoded_normals
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
        detailed: of one or several materials, with vertex colours or textures; white if it has neither. Where
            roughness, metallic or emission differ from place to place, they get maps too.
        resolution: texels along one side of both maps.
        colour_at: asked for colours instead of the detailed asset.
    """
    asset = Asset(Mesh(coarse.vertices, coarse.faces), uv, Material(normal=np.zeros((1, 1, 3), np.uint8)))
    buffers = vertex_buffers(asset)
    texels = texels_of(uv, resolution)
    positions = texels.interpolated(buffers.faces, buffers.positions)
    normals = texels.interpolated(buffers.faces, buffers.normals)
    found = _nearest_facing(detailed.mesh, positions, normals)
    places = Places(found.face, found.barycentric)
    true_normals = normals_at(detailed, places)
    if colour_at is None:
        colours = colours_at(detailed, places)
    else:
        colours = colour_at(found.interpolated(detailed.mesh.faces, detailed.mesh.vertices), true_normals)
    relative = _in_tangent_space(true_normals, normals, texels, buffers)
    alpha_mode = "opaque" if colour_at is not None else _strongest_alpha_mode(detailed)
    channels = 3 if alpha_mode == "opaque" else 4
    return replace(
        asset,
        material=replace(
            _surface_painted(detailed, places, texels, resolution),
            base_colour=_painted(np.clip(colours[:, :channels], 0, 1), texels, resolution),
            normal=_painted(encoded_normals(relative), texels, resolution),
            alpha_mode=alpha_mode,
        ),
    )


def painted(asset: Asset, resolution: int, colour_at: ColourAt) -> Asset:
    """The asset with one picture of colours in place of its materials, in its own texture coordinates.

    Vertices, faces, normals and texture coordinates stay as they are.

    Args:
        asset: whose `uv` give each face a place of its own, see `representations.assets.unwrapping.can_be_painted`.
        resolution: texels along one side of the picture.
        colour_at: asked for colours on the surface.
    """
    assert asset.uv is not None
    texels = texels_of(asset.uv, resolution)
    positions = texels.interpolated(asset.mesh.faces, asset.mesh.vertices)
    colours = colour_at(positions, normals_at(asset, Places(texels.face, texels.barycentric)))
    return replace(
        asset,
        mesh=Mesh(asset.mesh.vertices, asset.mesh.faces),
        material=Material(base_colour=_painted(np.clip(colours, 0, 1), texels, resolution)),
        corner_colours=None,
        more_materials=(),
        material_of=None,
        more_uv=(),
    )


def _surface_painted(detailed: Asset, places: Places, texels: Texels, resolution: int) -> Material:
    """The detailed asset's first material, with maps for what differs from place to place instead of numbers."""
    first, materials = detailed.material, detailed.materials
    two_sided = True if any(material.two_sided for material in materials) else first.two_sided
    material = Material(
        roughness=first.roughness,
        metallic=first.metallic,
        emission_factor=first.emission_factor,
        alpha_cutoff=first.alpha_cutoff,
        two_sided=two_sided,
        unlit=all(material.unlit for material in materials),
        name=first.name,
    )
    numbers = {(material.roughness, material.metallic) for material in materials}
    if len(numbers) > 1 or any(material.metallic_roughness is not None for material in materials):
        surface = surfaces_at(detailed, places)
        painted = _painted(np.concatenate([np.ones((len(surface), 1)), surface], axis=1), texels, resolution)
        material = replace(material, metallic_roughness=painted, roughness=1.0, metallic=1.0)
    lights = {material.emission_factor for material in materials}
    if len(lights) > 1 or any(material.emission is not None for material in materials):
        light = emissions_at(detailed, places)
        brightest = float(max(light.max(initial=0.0), 1.0))
        painted = _painted(linear_to_srgb(light / brightest), texels, resolution)
        material = replace(material, emission=painted, emission_factor=(brightest,) * 3)
    return material


def _strongest_alpha_mode(asset: Asset) -> AlphaMode:
    modes = [material.alpha_mode for material in asset.materials]
    return max(modes, key=("opaque", "mask", "blend").index)


def colours_of(asset: Asset, places: ClosestPoints) -> Floats:
    """(P, 3) sRGB colours in [0, 1] of an asset at places on its mesh."""
    return colours_at(asset, Places(places.face, places.barycentric))[:, :3]


def vertex_coloured(asset: Asset) -> Mesh:
    """The mesh with the asset's colours at its vertices, each looked up once; as it is, if it has no colours."""
    if not has_colours(asset):
        return asset.mesh
    if not asset.is_textured and asset.corner_colours is None and not _is_tinted(asset):
        return asset.mesh
    colours = np.ones_like(asset.mesh.vertices, dtype=np.float64)
    colours[asset.mesh.faces.reshape(-1)] = colours_at(asset, corners_of(asset))[:, :3]
    return replace(asset.mesh, colours=colours)


def has_colours(asset: Asset) -> bool:
    """Whether anything on it is not white."""
    return asset.colours_of_corners is not None or asset.is_textured or _is_tinted(asset)


def _is_tinted(asset: Asset) -> bool:
    return any(material.base_factor[:3] != (1.0, 1.0, 1.0) for material in asset.materials)


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
    """(R, R, C) bytes: values (T, C) in [0, 1] at the texels, their nearest neighbours everywhere else."""
    image = np.zeros((resolution, resolution, values.shape[1]), dtype=np.uint8)
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
