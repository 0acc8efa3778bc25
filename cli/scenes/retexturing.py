"""A mesh of the user's with new colours, and everything else as it was."""

from __future__ import annotations

import numpy as np

from cli.output import LOG
from representations.assets.asset import Asset
from representations.assets.baking import painted
from representations.assets.finishing import FACES, RESOLUTION, colours_of_solid
from representations.assets.repair import flipped, repaired
from representations.assets.unwrapping import can_be_painted, unwrap
from representations.geometry.mesh import Mesh, faces_inwards
from representations.surfaces.fixed_shape import FixedShape
from representations.surfaces.mesh_field import MeshField

MOST_UNWRAPPED = 3 * FACES
"""Faces of a mesh without usable texture coordinates that keeps its faces: more would take long to unwrap."""


def keep_shape(shape: FixedShape, asset: Asset) -> None:
    """Begin with the asset as it is; only faces that cannot be are dropped, and what is inside out is turned."""
    asset = repaired(asset)[0]
    if faces_inwards(asset.mesh):
        asset = flipped(asset, np.ones(len(asset.mesh.faces), dtype=bool))
    if asset.uv is not None and not can_be_painted(asset.uv, RESOLUTION):
        LOG.warning(
            "the mesh's texture coordinates lie outside of the unit square or on each other, so that it cannot be "
            "painted in them: it gets new ones"
        )
        asset = Asset(asset.mesh, normals=asset.normals, polygon_of=asset.polygon_of)
    if asset.uv is None and len(asset.mesh.faces) > MOST_UNWRAPPED:
        LOG.warning(
            "the mesh has %d faces and no texture coordinates to paint it in: what is written has %d faces",
            len(asset.mesh.faces),
            FACES,
        )
    shape.begin_with_mesh(asset.mesh, asset.uv, asset.normals, asset.polygon_of)


def repainted(field: MeshField, resolution: int) -> Asset | None:
    """The mesh that `keep_shape` kept, with the field's colours, within the unit sphere.

    None if it has no texture coordinates and too many faces to be given some.

    Raises as `representations.assets.unwrapping.unwrap`.
    """
    shape = field.shape
    assert isinstance(shape, FixedShape)
    mesh = Mesh(shape.vertices.cpu().double().numpy(), shape.faces.cpu().numpy().astype(np.int64))
    uv = shape.of_faces("uv")
    if uv is None and len(mesh.faces) > MOST_UNWRAPPED:
        return None
    uv = unwrap(mesh, resolution).uv if uv is None else uv
    asset = Asset(mesh, uv, normals=shape.of_faces("normals"), polygon_of=shape.of_faces("polygon_of"))
    return painted(asset, resolution, colours_of_solid(field, shape.vertices.device))
