"""What is right and wrong with an asset, by name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from representations.assets.asset import Asset, Image
from representations.assets.unwrapping import is_inside_unit_square, overlapping_texels
from representations.geometry.mesh import Mesh, problems
from representations.geometry.winding import edges_of

OVERLAP_RESOLUTION = 1024
"""Side of the grid on which overlaps of texture coordinates are looked for."""


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


def asset_problems(asset: Asset) -> list[str]:
    """What makes an asset unfit to be written, in words; empty if nothing does."""
    found = problems(asset.mesh)
    if not found and (twisted := edges_of(asset.mesh.faces, len(asset.mesh.vertices)).twisted):
        found.append(f"at {twisted} edges faces wind against each other")
    material, faces = asset.material, len(asset.mesh.faces)
    if asset.uv is not None and asset.uv.shape != (faces, 3, 2):
        found.append(f"texture coordinates must have the shape {(faces, 3, 2)}, not {asset.uv.shape}")
    elif asset.uv is not None and not np.isfinite(asset.uv).all():
        found.append("some texture coordinates are not finite")
    if asset.normals is not None and asset.normals.shape != (faces, 3, 3):
        found.append(f"corner normals must have the shape {(faces, 3, 3)}, not {asset.normals.shape}")
    for name, image in (("base colour", material.base_colour), ("normal map", material.normal)):
        if image is None:
            continue
        if asset.uv is None:
            found.append(f"it has a {name} but no texture coordinates")
        if image.ndim != 3 or image.shape[2] != 3 or image.size == 0 or image.dtype != np.uint8:
            found.append(f"the {name} must be (height, width, 3) bytes, not {image.shape} {image.dtype}")
        elif is_blank(image):
            found.append(f"the {name} is empty (black all over)")
    return found


def is_blank(image: Image) -> bool:
    """Whether a texture shows nothing."""
    return not image.any()


def inspect_asset(asset: Asset) -> list[Finding]:
    """A table of everything that matters to somebody who is about to use an asset; faults by name."""
    malformed = problems(Mesh(asset.mesh.vertices, asset.mesh.faces))
    if any("shape" in problem or "no faces" in problem or "name vertices" in problem for problem in malformed):
        return [Finding("mesh", problem, fault=True) for problem in malformed]
    return [*_shape(asset.mesh), *_surface(asset.mesh), *_texture(asset), *_look(asset)]


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


def _surface(mesh: Mesh) -> list[Finding]:
    if not np.isfinite(mesh.vertices).all():
        return []
    edges = edges_of(mesh.faces, len(mesh.vertices))
    flat = int((mesh.areas <= 0).sum())
    twice = len(mesh.faces) - len(np.unique(np.sort(mesh.faces, axis=1), axis=0))
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
        inside_out = mesh.volume <= 0
        findings.append(Finding("outwards", "no: inside out" if inside_out else "yes", fault=inside_out))
        findings.append(Finding("volume", f"{mesh.volume:.4g}"))
    return findings


def _texture(asset: Asset) -> list[Finding]:
    if asset.uv is None:
        return [Finding("UVs", "none")]
    if not np.isfinite(asset.uv).all():
        return [Finding("UVs", "some are not finite", fault=True)]
    if not is_inside_unit_square(asset.uv):
        return [Finding("UVs", "outside [0, 1]: the texture repeats")]
    shared = overlapping_texels(asset.uv, OVERLAP_RESOLUTION) / OVERLAP_RESOLUTION**2
    return [Finding("UVs", f"inside [0, 1], {_percent(shared)} shared by several faces")]


def _percent(share: float) -> str:
    return "nothing" if share == 0 else f"{100 * share:.2g}%" if share >= 1e-4 else "less than 0.01%"


def _look(asset: Asset) -> list[Finding]:
    material = asset.material
    findings = [Finding("vertex colours", "none" if asset.mesh.colours is None else "yes")]
    for name, image in (("base colour", material.base_colour), ("normal map", material.normal)):
        if image is None:
            findings.append(Finding(name, "none"))
            continue
        blank = is_blank(image)
        size = f"{image.shape[1]} x {image.shape[0]}"
        findings.append(Finding(name, f"{size}, empty (black all over)" if blank else size, fault=blank))
    findings.append(Finding("material", f"roughness {material.roughness:.2g}, metallic {material.metallic:.2g}"))
    return findings
