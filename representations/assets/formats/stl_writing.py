"""Assets as binary STL: shape only."""

from __future__ import annotations

import numpy as np

from representations.assets.asset import Asset
from representations.assets.baking import has_colours
from representations.geometry.mesh import Mesh

_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("spare", "<u2")])


def stl_bytes(mesh: Mesh) -> bytes:
    """A binary STL file, whose header does not begin like text."""
    facets = np.zeros(len(mesh.faces), _FACET)
    length = np.linalg.norm(mesh.face_normals, axis=1, keepdims=True)
    facets["normal"] = mesh.face_normals / np.where(length > 0, length, 1)
    facets["corners"] = mesh.vertices[mesh.faces]
    return b"scoresmith".ljust(80, b"\0") + len(facets).to_bytes(4, "little") + facets.tobytes()


def stl_losses(asset: Asset) -> list[str]:
    """What STL cannot say of an asset, in words."""
    found = []
    if has_colours(asset) or any(material.maps for material in asset.materials):
        found.append("STL has neither colours nor materials")
    vertices = asset.mesh.vertices
    moved = float(np.abs(vertices.astype(np.float32) - vertices).max())
    if moved > 1e-6 * float(np.ptp(vertices, axis=0).max()):
        found.append(
            f"STL has 32-bit numbers: so far from the origin, corners move by up to {moved:.2g}; use obj or glb"
        )
    return found
