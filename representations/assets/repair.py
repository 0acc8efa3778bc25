"""Mending assets of other people's: every repair is reported in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from representations.assets.asset import Asset
from representations.geometry.mesh import Floats, MeshError
from representations.geometry.winding import Flags, faces_to_flip


def repaired(asset: Asset) -> tuple[Asset, list[str]]:
    """The asset without what makes it unfit, and what was done to it.

    Faces whose corners are not finite, faces without area and copies of other faces are dropped; faces that wind
    against their neighbours, and parts that are inside out, are turned round (see
    `representations.geometry.winding.faces_to_flip`). The shape is not touched otherwise.

    Raises:
        MeshError: if no sound face is left.
    """
    asset, notes = _without_bad_faces(asset)
    flip = faces_to_flip(asset.mesh.faces, asset.mesh.vertices, asset.normals, rooms=asset.tells_fronts)
    if flip.any():
        asset = flipped(asset, flip)
        notes.append(f"{int(flip.sum()):,} faces that wound the wrong way were turned round")
    if asset.mesh.colours is not None and not np.isfinite(asset.mesh.colours).all():
        asset = replace(asset, mesh=replace(asset.mesh, colours=np.nan_to_num(asset.mesh.colours, nan=1.0)))
        notes.append("colours that are not finite became white")
    if any(not np.isfinite(uv).all() for uv in asset.uv_sets):
        finite = [np.nan_to_num(uv, nan=0.0, posinf=0.0, neginf=0.0) for uv in asset.uv_sets]
        asset = replace(asset, uv=finite[0], more_uv=tuple(finite[1:]))
        notes.append("texture coordinates that are not finite became 0")
    return asset, notes


def with_faces(asset: Asset, keep: Flags) -> Asset:
    """Only the chosen faces (a mask (F,)) and the vertices that they use."""
    return replace(
        asset,
        mesh=asset.mesh.with_faces(keep),
        uv=None if asset.uv is None else asset.uv[keep],
        normals=None if asset.normals is None else asset.normals[keep],
        corner_colours=None if asset.corner_colours is None else asset.corner_colours[keep],
        material_of=None if asset.material_of is None else asset.material_of[keep],
        polygon_of=None if asset.polygon_of is None else asset.polygon_of[keep],
        more_uv=tuple(uv[keep] for uv in asset.more_uv),
    )


def whole(asset: Asset) -> Asset:
    """The asset with normals of its own at every corner, which do not change when some of its faces are taken away."""
    return replace(asset, normals=asset.corner_normals)


def flipped(asset: Asset, flip: Flags) -> Asset:
    """The chosen faces (a mask (F,)) seen from their other side; normals then point to that side too."""
    mesh = replace(asset.mesh, faces=np.where(flip[:, None], asset.mesh.faces[:, ::-1], asset.mesh.faces))
    choose = flip[:, None, None]

    def turned(values: Floats | None) -> Floats | None:
        return None if values is None else np.where(choose, values[:, ::-1], values)

    normals = turned(asset.normals)
    if normals is not None:
        backwards = (normals * mesh.face_normals[:, None]).sum(axis=-1) < 0
        normals = np.where((backwards & flip[:, None])[..., None], -normals, normals)
    more_uv = tuple(np.where(choose, uv[:, ::-1], uv) for uv in asset.more_uv)
    return replace(
        asset,
        mesh=mesh,
        uv=turned(asset.uv),
        normals=normals,
        corner_colours=turned(asset.corner_colours),
        more_uv=more_uv,
    )


def first_of_copies(asset: Asset) -> Flags:
    """(F,) False for faces with the same corners, front and material as an earlier one; backs are no copies."""
    faces = asset.mesh.faces
    start = faces.argmin(axis=1)[:, None]
    columns = [np.take_along_axis(faces, (start + np.arange(3)) % 3, axis=1)]
    if asset.material_of is not None:
        columns.append(asset.material_of[:, None])
    first = np.zeros(len(faces), dtype=bool)
    first[np.unique(np.concatenate(columns, axis=1), axis=0, return_index=True)[1]] = True
    return first


def _without_bad_faces(asset: Asset) -> tuple[Asset, list[str]]:
    notes = []
    finite = np.isfinite(asset.mesh.vertices[asset.mesh.faces]).reshape(-1, 9).all(axis=1)
    checks: list[tuple[str, Flags]] = [("with corners that are not finite", np.asarray(finite))]
    if finite.any():
        whole = replace(asset.mesh, vertices=np.nan_to_num(asset.mesh.vertices, nan=0.0, posinf=0.0, neginf=0.0))
        checks.append(("without area", whole.areas > 0))
        checks.append(("that were copies of others", first_of_copies(asset)))
    keep = np.ones(len(asset.mesh.faces), dtype=bool)
    for what, sound in checks:
        dropped = int((keep & ~sound).sum())
        keep &= sound
        if dropped:
            notes.append(f"{dropped:,} faces {what} were dropped")
    if not keep.any():
        raise MeshError("The mesh has no face with an area and finite corners.")
    return (asset if keep.all() else with_faces(asset, keep)), notes
