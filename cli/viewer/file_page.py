"""What the page of a file with a model shows: the model, and what an inspection says about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cli.commands.inspect import size_in_words
from cli.errors import UserError
from cli.viewer.markup import Markup, element, joined
from cli.viewer.page import Page, definitions, page_header, viewer
from cli.viewer.server import MEDIA_TYPES, Resource
from cli.viewer.words import lengths_in_words
from representations.assets.formats.gltf_writing import glb_bytes
from representations.assets.inspection import Finding, inspect_asset
from representations.assets.reading import MeshFile, read_mesh_file

MODEL = "model.glb"
"""The model's name on the page's server."""


def file_page(path: Path) -> tuple[Page, Resource]:
    """The page of a file, and the model in a form that the page can show.

    Raises:
        representations.assets.reading.MeshFileError: if the file cannot be read.
        UserError: if it holds positions that are nowhere.
    """
    file = read_mesh_file(path)
    vertices = file.asset.mesh.vertices
    if not np.isfinite(vertices).all():
        raise UserError(f"{path} cannot be shown: some of its positions are not finite; scoresmith inspect says more")
    model = glb_of(file, path)
    findings = inspect_asset(file.asset)
    size = lengths_in_words([float(length) for length in np.ptp(vertices, axis=0)])
    body = joined(
        page_header(path.name, f"{path.suffix[1:].upper()}, {size_in_words(file.bytes)}"),
        element(
            "main",
            element(
                "div",
                viewer(None, size, path.name),
                element("aside", verdict(findings), findings_list(findings), *(element("p", n) for n in file.notes)),
                class_="hero",
            ),
        ),
    )
    return Page(f"{path.name} · scoresmith", body, MODEL), Resource(MEDIA_TYPES[".glb"], model)


def glb_of(file: MeshFile, path: Path) -> bytes:
    """A GLB file that is complete in itself, as it is; of everything else, what our reader has made of it."""
    if path.suffix.lower() == ".glb":
        content = path.read_bytes()
        if b'"uri"' not in content:  # by which it would ask for files that the page's server does not have
            return content
    return glb_bytes(file.asset, path.stem)


def verdict(findings: list[Finding]) -> Markup:
    """Whether the mesh can be used as it is."""
    faults = [finding.name for finding in findings if finding.fault]
    headline, sentence = ("Sound", "ready to be used") if not faults else ("Faults", ", ".join(faults))
    return element("p", element("strong", headline), " ", sentence, class_="verdict")


def findings_list(findings: list[Finding]) -> Markup:
    """The lines of `scoresmith inspect`."""
    return definitions({finding.name[:1].upper() + finding.name[1:]: finding.value for finding in findings})
