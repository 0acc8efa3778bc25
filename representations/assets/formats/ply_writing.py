"""Assets as binary PLY: positions to their digits, normals, and colours at the vertices."""

from __future__ import annotations

import numpy as np

from representations.assets.appearance import colours_at, corners_of
from representations.assets.asset import Asset
from representations.assets.baking import has_colours
from representations.assets.formats.digits import are_floats
from representations.geometry.mesh import Floats, Integers


def ply_bytes(asset: Asset) -> bytes:
    """A PLY file. A vertex whose faces differ in colour is written once for each of its colours.

    Args:
        asset: see `representations.assets.asset`; textures are looked up at the vertices.
    """
    colours, first, faces = _coloured_vertices(asset)
    positions, normals = asset.mesh.vertices[first], asset.mesh.normals[first]
    kind, name = ("<f4", "float") if are_floats(positions) else ("<f8", "double")
    fields = [(axis, kind) for axis in "xyz"] + [(f"n{axis}", "<f4") for axis in "xyz"]
    lines = [f"property {name} {axis}" for axis in "xyz"] + [f"property float n{axis}" for axis in "xyz"]
    if colours is not None:
        channels = ("red", "green", "blue", "alpha")[: colours.shape[1]]
        fields += [(channel, "u1") for channel in channels]
        lines += [f"property uchar {channel}" for channel in channels]
    vertices = np.zeros(len(positions), np.dtype(fields))
    for number, axis in enumerate("xyz"):
        vertices[axis], vertices[f"n{axis}"] = positions[:, number], normals[:, number]
    if colours is not None:
        for number, channel in enumerate(channels):
            vertices[channel] = np.round(colours[:, number] * 255)
    rows = np.zeros(len(faces), np.dtype([("count", "u1"), ("corners", "<i4", 3)]))
    rows["count"], rows["corners"] = 3, faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment scoresmith",
        f"element vertex {len(vertices)}",
        *lines,
        f"element face {len(rows)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    return ("\n".join(header) + "\n").encode() + vertices.tobytes() + rows.tobytes()


def _coloured_vertices(asset: Asset) -> tuple[Floats | None, Integers, Integers]:
    """Colours of the vertices to be written, which vertex of the mesh each is, and (F, 3) faces of them."""
    mesh = asset.mesh
    every = np.arange(len(mesh.vertices))
    if not has_colours(asset) and all(material.alpha_mode == "opaque" for material in asset.materials):
        return None, every, mesh.faces
    colours = np.clip(colours_at(asset, corners_of(asset)), 0, 1)
    if (colours[:, 3] == 1).all():
        colours = colours[:, :3]
    if asset.corner_colours is None and asset.material_of is None:
        # One colour a vertex: a texture's seam, where a vertex has several places, does not tear the surface open.
        of_vertices = np.ones((len(mesh.vertices), colours.shape[1]))
        of_vertices[mesh.faces.reshape(-1)] = colours
        return of_vertices, every, mesh.faces
    rows = np.concatenate([mesh.faces.reshape(-1, 1), np.round(colours * 255)], axis=1)
    _, first, number = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return colours[first], mesh.faces.reshape(-1)[first], number.reshape(-1, 3)


def ply_losses(asset: Asset) -> list[str]:
    """What PLY cannot say of an asset, in words."""
    found = []
    if asset.is_textured:
        found.append("textures became colours at the vertices of the PLY")
    usual = (0.9, 0.0), (1.0, 0.0)
    if any(
        (material.roughness, material.metallic) not in usual
        or len(material.maps) > ("base_colour" in material.maps)
        or any(material.emission_factor)
        for material in asset.materials
    ):
        found.append("roughness, metallic, emission and normal maps are not kept in PLY")
    return found
