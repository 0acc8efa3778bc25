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
        colours: (V, 3) sRGB in [0, 1], or None.
        uv: (V, 2) in [0, 1], v upwards, or None.
        tangents: (V, 4), see `representations.geometry.tangents`; None if there is no normal map.
    """

    positions: Floats
    normals: Floats
    faces: Integers
    colours: Floats | None = None
    uv: Floats | None = None
    tangents: Floats | None = None


def vertex_buffers(asset: Asset) -> VertexBuffers:
    """The asset with as few vertices as its attributes allow."""
    mesh = asset.mesh
    if asset.uv is None and asset.normals is None:
        return VertexBuffers(mesh.vertices, mesh.normals, mesh.faces, mesh.colours)
    corners = _attributes_of_corners(asset)
    _, first, numbers = np.unique(corners, axis=0, return_index=True, return_inverse=True)
    faces = numbers.reshape(-1, 3)
    old = mesh.faces.reshape(-1)[first]
    positions, normals = mesh.vertices[old], asset.corner_normals.reshape(-1, 3)[first]
    uv = None if asset.uv is None else asset.uv.reshape(-1, 2)[first]
    tangents = None
    if uv is not None and asset.material.normal is not None:
        tangents = vertex_tangents(positions, normals, uv, faces)
    return VertexBuffers(positions, normals, faces, None if mesh.colours is None else mesh.colours[old], uv, tangents)


def _attributes_of_corners(asset: Asset) -> np.ndarray:
    """(3F, K) integers that are equal where corners may share a vertex: in float32, which is what files hold."""
    columns = [asset.mesh.faces.reshape(-1, 1).astype(np.int64)]
    if asset.uv is not None:
        columns.append(_bits(asset.uv.reshape(-1, 2)))
        columns.append(np.repeat(signed_uv_areas(asset.uv) < 0, 3)[:, None].astype(np.int64))
    if asset.normals is not None:
        columns.append(_bits(asset.normals.reshape(-1, 3)))
    return np.concatenate(columns, axis=1)


def _bits(values: Floats) -> np.ndarray:
    return (values.astype(np.float32) + np.float32(0)).view(np.int32).astype(np.int64)  # + 0 makes -0 and 0 equal
