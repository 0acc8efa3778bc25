"""What the page of a file with a model shows: the model, and what an inspection says about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh

from cli.viewer.markup import element, joined
from cli.viewer.page import Page, definitions, page_header, viewer
from cli.viewer.server import MEDIA_TYPES, Resource
from cli.viewer.words import file_size, lengths_in_words
from representations.asset import Asset
from representations.gltf import glb_bytes
from representations.inspection import inspect_asset
from representations.mesh import Mesh

MODEL = "model.glb"


def load_asset(path: Path) -> Asset:
    """Stand-in."""
    mesh = trimesh.load(path, force="mesh")
    colours = None
    if mesh.visual.kind == "vertex":
        colours = np.asarray(mesh.visual.vertex_colors)[:, :3] / 255.0
    return Asset(Mesh(np.asarray(mesh.vertices), np.asarray(mesh.faces), colours))


def file_page(path: Path) -> tuple[Page, Resource]:
    """The page of a file, and the model in the form that the page can show.

    A GLB file is shown as it is; everything else as what our own reader makes of it.

    Raises:
        representations.mesh_files.MeshFileError: if the file cannot be read.
    """
    asset = load_asset(path)
    model = path.read_bytes() if path.suffix.lower() == ".glb" else glb_bytes(asset, path.stem)
    vertices = asset.mesh.vertices
    size = lengths_in_words([float(length) for length in np.ptp(vertices, axis=0)])
    findings = inspect_asset(asset)
    faults = [finding for finding in findings if finding.fault]
    verdict = "Nothing stands in the way of using it." if not faults else "It needs repair before it is used elsewhere."
    body = joined(
        page_header(path.name, f"{file_size(path.stat().st_size)}. {verdict}"),
        element(
            "main",
            element(
                "div",
                viewer(None, size, path.name),
                element("aside", definitions({heading(finding.name): finding.value for finding in findings})),
                class_="hero",
            ),
        ),
    )
    return Page(f"{path.name} · scoresmith", body, MODEL), Resource(MEDIA_TYPES[".glb"], model)


def heading(name: str) -> str:
    """A name with a capital, "UVs" as it is."""
    return name[:1].upper() + name[1:]
