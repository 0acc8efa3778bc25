"""Assets as graphics cards and file formats want them: every attribute belongs to a vertex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from representations.assets.asset import Asset
from representations.assets.unwrapping import signed_uv_areas
from representations.geometry.mesh import Floats, Integers
from representations.geometry.tangents import vertex_tangents


@dataclass(frozen=True)
class VertexBuffers:
    """A mesh whose vertices are split wherever an attribute of two faces differs.

    Attributes:
        positions: (V, 3).
        normals: (V, 3) of unit length.
        faces: (F, 3).
        colours: (V, 3 or 4) sRGB in [0, 1], and opacity, or None.
        more_uv: further sets of (V, 2).
        uv: (V, 2) in [0, 1], v upwards, or None.
        tangents: (V, 4), see `representations.geometry.tangents`; None if there is no normal map.
    """

    positions: Floats
    normals: Floats
    faces: Integers
    colours: Floats | None = None
    uv: Floats | None = None
    tangents: Floats | None = None
    more_uv: tuple[Floats, ...] = ()


def vertex_buffers(asset: Asset) -> VertexBuffers:
    """The asset with as few vertices as its attributes allow."""
    mesh = asset.mesh
    if asset.uv is None and asset.normals is None and asset.corner_colours is None:
        return VertexBuffers(mesh.vertices, mesh.normals, mesh.faces, mesh.colours)
    corners = _attributes_of_corners(asset)
    _, first, numbers = np.unique(corners, axis=0, return_index=True, return_inverse=True)
    faces = numbers.reshape(-1, 3)
    old = mesh.faces.reshape(-1)[first]
    positions, normals = mesh.vertices[old], asset.corner_normals.reshape(-1, 3)[first]
    sets = [uv.reshape(-1, 2)[first] for uv in asset.uv_sets]
    tangents = None
    if sets and asset.material.normal is not None:
        number = asset.material.sampling("normal").uv_set
        tangents = vertex_tangents(positions, normals, sets[number if number < len(sets) else 0], faces)
    colours = None if mesh.colours is None else mesh.colours[old]
    if asset.corner_colours is not None:
        colours = asset.corner_colours.reshape(-1, asset.corner_colours.shape[2])[first]
    return VertexBuffers(positions, normals, faces, colours, sets[0] if sets else None, tangents, tuple(sets[1:]))


def _attributes_of_corners(asset: Asset) -> np.ndarray:
    """(3F, K) integers that are equal where corners may share a vertex: in float32, which is what files hold."""
    columns = [asset.mesh.faces.reshape(-1, 1).astype(np.int64)]
    for uv in asset.uv_sets:
        columns.append(_bits(uv.reshape(-1, 2)))
        columns.append(np.repeat(signed_uv_areas(uv) < 0, 3)[:, None].astype(np.int64))
    if asset.corner_colours is not None:
        columns.append(_bits(asset.corner_colours.reshape(-1, asset.corner_colours.shape[2])))
    if asset.normals is not None:
        columns.append(_bits(asset.normals.reshape(-1, 3)))
    return np.concatenate(columns, axis=1)


def _bits(values: Floats) -> np.ndarray:
    return (values.astype(np.float32) + np.float32(0)).view(np.int32).astype(np.int64)  # + 0 makes -0 and 0 equal
