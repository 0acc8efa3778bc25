"""What is right and wrong with an asset, by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from representations.assets.asset import Asset, Image, MapName, Material
from representations.assets.repair import first_of_copies
from representations.assets.unwrapping import is_inside_unit_square, overlapping_texels
from representations.geometry.mesh import Floats, Mesh, faces_inwards, problems
from representations.geometry.winding import edges_of, faces_to_flip

OVERLAP_RESOLUTION = 1024
"""Side of the grid on which overlaps of texture coordinates are looked for."""

_MOST_LOOKED_AT = 2**28
"""Texels that are looked at for that."""


_MAP_NAMES: Mapping[MapName, str] = {
    "base_colour": "base colour",
    "normal": "normal map",
    "metallic_roughness": "metallic-roughness map",
    "emission": "emission map",
    "occlusion": "occlusion map",
}


@dataclass(frozen=True)
class Finding:
    """One line of an inspection.

    Attributes:
        name: what was looked at.
        value: what was found, in words.
        fault: whether it makes the asset unfit to be used without repair.
    """

    name: str
    value: str
    fault: bool = False


def asset_problems(asset: Asset, may_face_inwards: bool = False) -> list[str]:
    """What makes an asset unfit to be written, in words; empty if nothing does.

    Args:
        asset: to be written.
        may_face_inwards: whether a closed surface may wind inwards all over: a room that is seen from inside.
    """
    found = problems(asset.mesh, may_face_inwards)
    faces, vertices = asset.mesh.faces, asset.mesh.vertices
    twisted = 0 if found else edges_of(faces, len(vertices)).twisted
    if twisted and faces_to_flip(faces, vertices).any():  # a surface with one side only cannot be mended
        found.append(f"at {twisted} edges faces wind against each other")
    return (
        found
        + _problems_of_corners(asset)
        + [wrong for material in asset.materials for wrong in _unfit(material, asset)]
    )


def _problems_of_corners(asset: Asset) -> list[str]:
    """What is wrong with the arrays beside the mesh."""
    faces, found = len(asset.mesh.faces), []
    for uv in asset.uv_sets:
        if uv.shape != (faces, 3, 2):
            found.append(f"texture coordinates must have the shape {(faces, 3, 2)}, not {uv.shape}")
        elif not np.isfinite(uv).all():
            found.append("some texture coordinates are not finite")
    if asset.normals is not None and asset.normals.shape != (faces, 3, 3):
        found.append(f"corner normals must have the shape {(faces, 3, 3)}, not {asset.normals.shape}")
    colours = asset.corner_colours
    if colours is not None and colours.shape not in ((faces, 3, 3), (faces, 3, 4)):
        found.append(f"corner colours must have the shape {(faces, 3, 3)}, not {colours.shape}")
    elif colours is not None and not ((colours >= 0) & (colours <= 1)).all():
        found.append("some corner colours are not within [0, 1]")
    of = asset.material_of
    if of is not None and (of.shape != (faces,) or (len(of) and not 0 <= of.min() <= of.max() < len(asset.materials))):
        found.append(f"faces name materials that are not among its {len(asset.materials)}")
    return found


def _unfit(material: Material, asset: Asset) -> list[str]:
    """What makes a material unfit to be written."""
    found = []
    numbers = (material.roughness, material.metallic, *material.base_factor, material.occlusion_strength)
    if not all(math.isfinite(number) and 0 <= number <= 1 for number in numbers):
        found.append("a material's roughness, metallic or colour is not within [0, 1]")
    positive = (*material.emission_factor, material.alpha_cutoff)
    if not all(math.isfinite(number) and number >= 0 for number in positive):
        found.append("a material's emission or cutoff is negative or no number")
    if not math.isfinite(material.normal_scale):
        found.append("a material's normal scale is no number")
    for name, image in material.maps.items():
        called = _MAP_NAMES[name]
        if asset.uv is None:
            found.append(f"it has a {called} but no texture coordinates")
        elif material.sampling(name).uv_set >= len(asset.uv_sets):
            found.append(f"its {called} has no texture coordinates")
        channels = (3, 4) if name == "base_colour" else (3,)
        if image.ndim != 3 or image.shape[2] not in channels or image.size == 0 or image.dtype != np.uint8:
            found.append(f"the {called} must be (height, width, 3) bytes, not {image.shape} {image.dtype}")
    return found


def is_blank(image: Image) -> bool:
    """Whether a texture shows nothing."""
    return not image.any()


def inspect_asset(asset: Asset) -> list[Finding]:
    """A table of everything that matters to somebody who is about to use an asset; faults by name."""
    malformed = problems(Mesh(asset.mesh.vertices, asset.mesh.faces))
    if any("shape" in problem or "no faces" in problem or "name vertices" in problem for problem in malformed):
        return [Finding("mesh", problem, fault=True) for problem in malformed]
    return [*_shape(asset.mesh), *_surface(asset), *_texture(asset), *_look(asset)]


def is_sound(findings: list[Finding]) -> bool:
    """Whether no finding is a fault."""
    return not any(finding.fault for finding in findings)


def _shape(mesh: Mesh) -> list[Finding]:
    finite = bool(np.isfinite(mesh.vertices).all())
    findings = [Finding("vertices", f"{len(mesh.vertices):,}"), Finding("faces", f"{len(mesh.faces):,}")]
    if not finite:
        count = int((~np.isfinite(mesh.vertices)).any(axis=1).sum())
        return [*findings, Finding("positions", f"{count:,} are not finite", fault=True)]
    size = np.ptp(mesh.vertices[np.unique(mesh.faces)], axis=0)
    low = mesh.vertices[np.unique(mesh.faces)].min(axis=0)
    return [
        *findings,
        Finding("size", f"{size[0]:.3g} m wide, {size[1]:.3g} m high, {size[2]:.3g} m deep{_doubt(float(size.max()))}"),
        Finding("lowest point", f"at height {low[1]:.3g} m"),
    ]


def _doubt(longest_side: float) -> str:
    """A guess for sizes that few things have."""
    if longest_side > 50:
        return f"; perhaps it counts in {'centimetres' if longest_side < 500 else 'millimetres'}"
    return "; very small" if longest_side < 0.005 else ""


def _surface(asset: Asset) -> list[Finding]:
    mesh = asset.mesh
    if not np.isfinite(mesh.vertices).all():
        return []
    edges = edges_of(mesh.faces, len(mesh.vertices))
    flat = int((mesh.areas <= 0).sum())
    twice = int((~first_of_copies(asset)).sum())
    findings = [
        Finding("degenerate faces", f"{flat:,}" if flat else "none", fault=flat > 0),
        Finding("duplicate faces", f"{twice:,}" if twice else "none", fault=twice > 0),
        Finding("components", f"{int(mesh.components().max()) + 1:,}"),
    ]
    if mesh.is_watertight:
        findings.append(Finding("watertight", "yes"))
    else:
        reasons = [
            f"{count:,} {what}"
            for count, what in ((edges.open, "open edges"), (edges.crowded, "edges of more than two faces"))
            if count
        ]
        findings.append(Finding("watertight", "no: " + (", ".join(reasons) or "faces wind against each other")))
    winding = "consistent" if not edges.twisted else f"{edges.twisted:,} edges between faces that wind differently"
    findings.append(Finding("winding", winding, fault=edges.twisted > 0))
    if mesh.is_watertight:
        findings += _sides(mesh)
    elif not edges.twisted and (turned := int(faces_to_flip(mesh.faces, mesh.vertices, asset.normals).sum())):
        findings.append(Finding("outwards", f"no: a part of {turned:,} faces is inside out", fault=True))
    return findings


def _sides(mesh: Mesh) -> list[Finding]:
    """Of a watertight mesh: whether it encloses its volume, and its parts theirs."""
    turned = int(faces_to_flip(mesh.faces, mesh.vertices).sum())
    if faces_inwards(mesh):
        outwards = Finding("outwards", "no: inside out", fault=True)
    elif turned:
        outwards = Finding("outwards", f"no: a part of {turned:,} faces is inside out", fault=True)
    else:
        outwards = Finding("outwards", "yes")
    return [outwards, Finding("volume", f"{mesh.volume:.4g}")]


def _texture(asset: Asset) -> list[Finding]:
    if asset.uv is None:
        return [Finding("UVs", "none")]
    if not np.isfinite(asset.uv).all():
        return [Finding("UVs", "some are not finite", fault=True)]
    if not is_inside_unit_square(asset.uv):
        return [Finding("UVs", "outside [0, 1]: the texture repeats")]
    resolution = _affordable_resolution(asset.uv)
    shared = overlapping_texels(asset.uv, resolution) / resolution**2
    return [Finding("UVs", f"inside [0, 1], {_percent(shared)} shared by several faces")]


def _affordable_resolution(uv: Floats) -> int:
    """`OVERLAP_RESOLUTION`, or less where faces cover the square so often that looking would take long."""
    cover = float(np.ptp(np.clip(uv, 0, 1), axis=1).prod(axis=1).sum())
    return int(min(OVERLAP_RESOLUTION, max(16, math.sqrt(_MOST_LOOKED_AT / max(cover, 1e-9)))))


def _percent(share: float) -> str:
    if share == 0:
        return "nothing"
    return f"{100 * share:.3g}%" if share >= 1e-4 else "less than 0.01%"


def _look(asset: Asset) -> list[Finding]:
    corners = " (several at some vertices)" if asset.corner_colours is not None else ""
    coloured = asset.colours_of_corners is not None
    findings = [Finding("vertex colours", f"yes{corners}" if coloured else "none")]
    if len(asset.materials) > 1:
        findings.append(Finding("materials", f"{len(asset.materials):,}"))
    usual = {"base_colour": "base colour", "normal": "normal map"}
    for name, called in _MAP_NAMES.items():
        images = {id(material.maps[name]): material.maps[name] for material in asset.materials if name in material.maps}
        sizes = list(dict.fromkeys(f"{image.shape[1]} x {image.shape[0]}" for image in images.values()))
        blank = sum(is_blank(image) for image in images.values())
        if images:
            words = sizes[0] if len(images) == 1 else f"{len(images)} images, {', '.join(sizes[:4])}"
            black = ", empty (black all over)" if blank == len(images) else ", some are black all over" if blank else ""
            findings.append(Finding(called, words + black, fault=bool(blank) and name in usual))
        elif name in usual:
            findings.append(Finding(called, "none"))
    numbers = {
        f"roughness {material.roughness:.2g}, metallic {material.metallic:.2g}{_extras(material)}": None
        for material in asset.materials
    }
    kinds = list(numbers)
    rest = f"; and {len(kinds) - 4} more kinds" if len(kinds) > 4 else ""
    return [*findings, Finding("material", "; ".join(kinds[:4]) + rest)]


def _extras(material: Material) -> str:
    """What else a material does, in words."""
    found = []
    if material.metallic_roughness is not None:
        found.append("times its map")
    if any(material.emission_factor):
        found.append("emits light")
    if material.alpha_mode != "opaque":
        found.append({"mask": "cut out by its opacity", "blend": "transparent"}[material.alpha_mode])
    if material.unlit:
        found.append("unlit")
    return "".join(f", {words}" for words in found)
