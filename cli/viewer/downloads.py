"""The object of a run in every format that can be written, made when a browser asks for it."""

from __future__ import annotations

import io
import tempfile
import zipfile
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from cli.files import is_ordinary
from cli.scenes.run_folder import RunFolder, folder_name
from cli.viewer.server import Resource

FORMATS = (".glb", ".obj", ".ply", ".stl", ".usdz")
"""As files that somebody takes away; an OBJ comes as an archive with its materials and images."""

KEPT = 4
"""Converted files that are kept in memory: whoever asks twice asks soon."""


def download_names() -> list[str]:
    """What can be asked for of a run with a model: "as.glb", "as.obj" and so on."""
    return [f"as{suffix}" for suffix in FORMATS if suffix != ".usdz" or find_spec("pxr") is not None]


def download(folder: RunFolder, name: str) -> Resource | None:
    """One of `download_names`; None for any other name, or a run without a model.

    Raises as `representations.assets.reading.read_mesh_file` for a damaged model.
    """
    if name not in download_names() or not is_ordinary(folder.mesh):
        return None
    title = folder_name(folder.read_configuration()["prompt"])
    suffix = name.removeprefix("as")
    if suffix == ".glb":
        return Resource("model/gltf-binary", folder.mesh, f"{title}.glb")
    status = folder.mesh.stat()
    content = converted(folder.mesh, suffix, title, status.st_mtime_ns, status.st_size)
    return Resource("application/octet-stream", content, f"{title}{'.zip' if suffix == '.obj' else suffix}")


@lru_cache(maxsize=KEPT)
def converted(model: Path, suffix: str, title: str, changed: int, size: int) -> bytes:
    """The model in another format, in the units and axes that readers of that format assume.

    Args:
        model: a GLB file.
        suffix: of the other format.
        title: what the file is called inside an archive.
        changed, size: of the model; whoever changes it asks for another conversion.
    """
    from representations.assets.reading import read_mesh_file
    from representations.assets.writing import write_asset

    del changed, size
    with tempfile.TemporaryDirectory() as scratch:
        files = write_asset(read_mesh_file(model).asset, Path(scratch) / f"{title}{suffix}")
        if suffix != ".obj":
            return files[0].read_bytes()
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.name)
        return content.getvalue()
