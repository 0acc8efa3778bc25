"""From a detailed surface to what is delivered: fewer faces, texture coordinates, maps; closed if it must be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from representations.assets.appearance import Places
from representations.assets.asset import MAPS, Asset, Material
from representations.assets.baking import ColourAt, baked, colours_of, has_colours, vertex_coloured
from representations.assets.closing import closed, without_pinches
from representations.assets.quad_remeshing import quad_remeshed
from representations.assets.repair import repaired
from representations.assets.unwrapping import unwrap
from representations.geometry.closest_points import SurfaceSearch
from representations.geometry.hard_edges import hard_edged_normals
from representations.geometry.mesh import Floats, Mesh, collapsed, simplified
from representations.solid import Solid

FACES = 10_000
"""Triangles of a textured mesh: what a normal map shows needs none, and unwrapping takes half a second."""

RESOLUTION = 1024
"""Texels along one side of a texture."""

LARGEST_AGAIN = 4096
"""Texels along one side of a texture that is painted anew for an asset that had textures, if nobody says how many."""

_POINTS_AT_ONCE = 2**16


def textured(
    detailed: Asset, faces: int = FACES, resolution: int = RESOLUTION, colour_at: ColourAt | None = None
) -> Asset:
    """A mesh of about so many faces whose maps show the detailed one; see `representations.assets.baking.baked`.

    Raises:
        representations.assets.unwrapping.UnwrappingUnavailableError: if xatlas is not installed.
        representations.geometry.mesh.MeshError: if it cannot be simplified or unwrapped.
    """
    mesh = detailed.mesh
    coarse = coarser(mesh, faces) if faces < len(mesh.faces) else mesh
    return baked(coarse, unwrap(coarse, resolution).uv, detailed, resolution, colour_at)


def coarser(mesh: Mesh, faces: int) -> Mesh:
    """About so many faces; watertight if the mesh was. Where every way to simplify pinches, the pinches are cut out."""
    simple = simplified(mesh, faces)
    if simple is not mesh:
        return simple
    mended = without_pinches(collapsed(mesh, faces))
    if not mended.is_watertight or mended.volume <= 0 or (mended.areas <= 0).any():
        return mesh
    if mesh.colours is None:
        return mended
    nearest = SurfaceSearch(mesh).closest(mended.vertices)
    return replace(mended, colours=nearest.interpolated(mesh.faces, mesh.colours))


def colours_of_solid(solid: Solid, device: torch.device) -> ColourAt:
    """A solid's colours, for `textured`; ``device`` is where the solid is."""

    def colour_at(points: Floats, normals: Floats) -> Floats:
        both = torch.from_numpy(np.concatenate([points, normals], axis=1)).float()
        seen = [solid.seen_color(*part.to(device).split(3, dim=1)).cpu() for part in both.split(_POINTS_AT_ONCE)]
        return torch.cat(seen).clamp(0, 1).double().numpy()

    return colour_at


def prepared(
    asset: Asset,
    faces: int | None = None,
    resolution: int | None = None,
    watertight: bool = False,
    quads: bool = False,
) -> tuple[Asset, list[str]]:
    """Somebody's asset, mended and as it was asked for; and what was done to it, in words.

    Where it is built of quadrilaterals, `Asset.polygon_of` says which triangles are one.

    Args:
        asset: of any quality.
        faces: triangles, about; None keeps them.
        resolution: texels along one side of a new texture with a normal map, which shows the old surface; 0 for
            colours at the vertices; None keeps the texture, or paints a new one of its size where the faces change.
        watertight: whether to close the surface; see `representations.assets.closing`.
        quads: whether to build it anew of even quadrilaterals; see `representations.assets.quad_remeshing`.

    Raises:
        representations.geometry.mesh.MeshError: if nothing is left, or it cannot be closed, simplified or unwrapped.
        representations.assets.unwrapping.UnwrappingUnavailableError: if a texture needs xatlas, which is not installed.
        representations.assets.quad_remeshing.RemeshingUnavailableError: if quadrilaterals need a package that is not.
    """
    asset, notes = repaired(asset)
    mesh, shaping = _shaped(asset.mesh, faces, watertight, quads)
    polygon_of = asset.polygon_of
    if mesh is not asset.mesh:
        polygon_of = np.arange(len(mesh.faces)) // 2 if quads else None
    dressed, painting = _dressed(mesh, asset, resolution, quads)
    if dressed.polygon_of is not polygon_of:
        dressed = replace(dressed, polygon_of=polygon_of)
    return dressed, notes + shaping + painting


def coarser_levels(asset: Asset, count: int) -> list[Asset]:
    """The asset for the eye from farther and farther away: each with half the faces of the one before it.

    Maps are painted anew, with half the texels along each side, and show the asset itself.

    Args:
        asset: a sound one, see `prepared`.
        count: of levels, at most; fewer where the mesh cannot be simplified any more.

    Raises as `prepared`.
    """
    sides = [max(image.shape[:2]) for material in asset.materials for image in material.maps.values()]
    side = min(max(sides), LARGEST_AGAIN) if sides and asset.uv is not None else 0
    levels: list[Asset] = []
    for level in range(1, count + 1):
        faces = max(len(asset.mesh.faces) >> level, FEWEST_FACES)
        before = len(levels[-1].mesh.faces) if levels else len(asset.mesh.faces)
        coarse, _ = prepared(asset, faces, max(side >> level, SMALLEST_LEVEL) if side else None)
        if len(coarse.mesh.faces) > 0.8 * before:
            break
        levels.append(replace(coarse, name=asset.name, about=asset.about))
    return levels


FEWEST_FACES = 12
"""Of a level: a box."""

SMALLEST_LEVEL = 64
"""Texels along one side of a level's texture."""


def _shaped(mesh: Mesh, faces: int | None, watertight: bool, quads: bool) -> tuple[Mesh, list[str]]:
    """The mesh closed, of quadrilaterals or of so many faces, as `prepared` is asked for; and what was done."""
    notes = []
    if watertight and not mesh.is_watertight:
        mesh, how = closed(mesh)
        notes.append(f"made watertight: {how}")
    if quads:
        mesh = quad_remeshed(mesh, faces or min(FACES, len(mesh.faces)))
        notes.append(f"built anew of {len(mesh.faces) // 2:,} quadrilaterals")
    elif faces is not None and faces < len(mesh.faces):
        before = len(mesh.faces)
        mesh = coarser(mesh, faces)
        notes.append(f"simplified from {before:,} to {len(mesh.faces):,} faces")
    if watertight and mesh.volume < 0:
        mesh = replace(mesh, faces=mesh.faces[:, ::-1])
        notes.append("turned inside out, so that it encloses something")
    return mesh, notes


def _dressed(mesh: Mesh, asset: Asset, resolution: int | None, quads: bool) -> tuple[Asset, list[str]]:
    """A mesh of the asset's shape with its looks, as `prepared` is asked for; and what was done."""
    notes: list[str] = []
    if resolution is None and mesh is not asset.mesh:
        sides = [max(image.shape[:2]) for material in asset.materials for image in material.maps.values()]
        resolution = min(max(sides), LARGEST_AGAIN) if sides and asset.uv is not None else 0 if quads else None
    if resolution:
        notes.append(f"unwrapped and painted anew at {resolution} x {resolution} texels")
        return baked(mesh, unwrap(mesh, resolution).uv, asset, resolution), notes
    if resolution == 0:
        if asset.uv is not None and any(material.maps for material in asset.materials):
            notes.append("textures became colours at the vertices")
        plain = replace(_dressed_like(mesh, asset), corner_colours=None, mesh=_coloured_like(mesh, asset))
        white = [_without_images(material, base_factor=(1.0, 1.0, 1.0, 1.0)) for material in asset.materials]
        return replace(plain, material=white[0], more_materials=tuple(white[1:])), notes
    if mesh is asset.mesh:
        return asset, notes
    if asset.corner_colours is not None:
        notes.append("colours of faces' corners became colours of vertices")
    return _dressed_like(mesh, asset), notes


def _coloured_like(mesh: Mesh, asset: Asset) -> Mesh:
    """The mesh with the asset's colours at its vertices, if the asset has any."""
    if not has_colours(asset):
        return mesh
    if mesh is asset.mesh:
        return vertex_coloured(asset)
    return replace(mesh, colours=colours_of(asset, SurfaceSearch(asset.mesh).closest(mesh.vertices)))


def _dressed_like(mesh: Mesh, asset: Asset) -> Asset:
    """A mesh of the same shape with the materials, without images, that are nearest to its faces."""
    materials = [_without_images(material) for material in asset.materials]
    search = SurfaceSearch(asset.mesh)
    material_of = None
    if asset.material_of is not None:
        material_of = asset.material_of[search.closest(mesh.vertices[mesh.faces].mean(axis=1)).face]
    if asset.corner_colours is not None and mesh is not asset.mesh:
        nearest = search.closest(mesh.vertices)
        colours = Places(nearest.face, nearest.barycentric).of_corners(asset.corner_colours[:, :, :3])
        mesh = replace(mesh, colours=np.clip(colours, 0, 1))
    normals = None if asset.normals is None else hard_edged_normals(mesh)
    if mesh is asset.mesh:
        normals = asset.normals
    return Asset(mesh, None, materials[0], normals, None, tuple(materials[1:]), material_of)


def _without_images(material: Material, **changes: Any) -> Material:
    images: dict[str, Any] = dict.fromkeys(MAPS)
    return replace(material, **images, samplings={}, **changes)
