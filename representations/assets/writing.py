"""Writing assets to files: checked first, and never half a file in place of a good one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from representations.assets.asset import Asset
from representations.assets.formats.gltf_writing import glb_bytes
from representations.assets.formats.obj_writing import file_stem, obj_files, obj_losses
from representations.assets.formats.ply_writing import ply_bytes, ply_losses
from representations.assets.formats.stl_writing import stl_bytes, stl_losses
from representations.assets.formats.usd_writing import usdz_bytes, usdz_losses
from representations.assets.inspection import asset_problems
from representations.geometry.mesh import Floats, Mesh, MeshError

PER_METRE = {"m": 1.0, "cm": 100.0, "mm": 1000.0}
"""Units that a file may be written in, and how many of them make a metre."""


@dataclass(frozen=True)
class Convention:
    """How a file's numbers are to be read.

    Attributes:
        units: "m", "cm" or "mm".
        up: the axis that points to the sky, "y" (the front looks along +Z) or "z" (the front looks along -Y).
    """

    units: str = "m"
    up: str = "y"


def convention_of(suffix: str) -> Convention:
    """What readers of a format assume: printing programs take STL for millimetres with +Z up; others metres, +Y up."""
    return Convention("mm", "z") if suffix.lower() == ".stl" else Convention()


def write_mesh(mesh: Mesh, path: Path | str) -> Path:
    """Writes a mesh without a material in the format that the file's suffix names; see `write_asset`."""
    return write_asset(Asset(mesh), path)[0]


def write_asset(
    asset: Asset, path: Path | str, convention: Convention | None = None, may_face_inwards: bool = False
) -> list[Path]:
    """Writes an asset in the format that the file's suffix names: .glb, .obj, .ply, .stl or .usdz.

    All files are complete under temporary names before they take their places, so existing files survive any failure.
    GLB, OBJ (with files beside it) and USDZ have the material; PLY has the colours at the vertices; STL has shape only.

    Args:
        asset: in metres, +Y up, front towards +Z.
        path: of the file.
        may_face_inwards: whether a closed surface may wind inwards all over: a room that is seen from inside.
        convention: units and axis of the file; None: see `convention_of`. GLB is in metres with +Y up by definition.

    Returns:
        The paths: the file itself first.

    Raises:
        MeshError: if the suffix is not one of these, the format does not know the convention, or the asset is unfit
            (see `representations.assets.inspection.asset_problems`).
        representations.assets.formats.usd_writing.UsdUnavailableError: for USDZ without usd-core.
        OSError: if the folder does not exist or cannot be written to.
    """
    path = Path(path)
    encode = _ENCODERS.get(path.suffix.lower())
    if encode is None:
        raise MeshError(f"Cannot write a mesh as '{path.name}': the suffix must be one of {', '.join(_ENCODERS)}.")
    convention = convention or convention_of(path.suffix)
    if path.suffix.lower() == ".glb" and convention != Convention():
        raise MeshError("GLB is in metres with +Y up by definition; other units and axes need obj, ply, stl or usdz.")
    wrong = asset_problems(asset, may_face_inwards)
    if wrong:
        raise MeshError(f"The mesh for '{path.name}' was not written: {'; '.join(wrong)}.")
    contents = encode(_in_convention(asset, convention), path.stem, convention)
    # What names others is put into place last.
    order = sorted(contents, key=lambda suffix: suffix == path.suffix.lower())
    files = {path if suffix == order[-1] else path.with_name(file_stem(path.stem) + suffix): suffix for suffix in order}
    write_all_atomically({file: contents[suffix] for file, suffix in files.items()})
    return list(files)[::-1]


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file by one with this content, or leaves it untouched; see `write_all_atomically`."""
    write_all_atomically({path: content})


def write_all_atomically(contents: dict[Path, bytes]) -> None:
    """Replaces files by ones with this content, in this order, once all of it is on the disk; or leaves them untouched.

    Raises:
        OSError: if a folder does not exist or cannot be written to.
    """
    temporaries: dict[Path, str] = {}
    try:
        for path, content in contents.items():
            if not path.parent.is_dir():
                raise FileNotFoundError(f"The folder '{path.parent}' does not exist.")
            handle, temporaries[path] = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path in contents:
            # A temporary file is private to its owner; a result has the permissions of any file the user makes.
            os.chmod(temporaries[path], 0o666 & ~_umask())
            os.replace(temporaries[path], path)
            del temporaries[path]
    finally:
        for temporary in temporaries.values():
            os.unlink(temporary)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _in_convention(asset: Asset, convention: Convention) -> Asset:
    """The asset in a file's units and axes."""
    scale = PER_METRE[convention.units]
    mesh = replace(asset.mesh, vertices=_turned(asset.mesh.vertices, convention.up) * scale)
    normals = None if asset.normals is None else _turned(asset.normals, convention.up)
    return replace(asset, mesh=mesh, normals=normals)


def _turned(vectors: Floats, up: str) -> Floats:
    """Vectors (..., 3) with +Y up, in axes with the given one up."""
    if up == "y":
        return vectors
    return np.stack([vectors[..., 0], -vectors[..., 2], vectors[..., 1]], axis=-1)


Encoder = Callable[[Asset, str, Convention], dict[str, bytes]]
"""(asset in the file's convention, stem of the file's name, convention) -> contents by the end of each file's name."""


def _glb(asset: Asset, stem: str, _: Convention) -> dict[str, bytes]:
    return {".glb": glb_bytes(asset, stem)}


def _obj(asset: Asset, stem: str, convention: Convention) -> dict[str, bytes]:
    about = "".join(f", {key}: {' '.join(str(value).split())}" for key, value in asset.about.items())
    return obj_files(asset, stem, f"units: {convention.units}, up: +{convention.up.upper()}{about}")


def _usdz(asset: Asset, stem: str, convention: Convention) -> dict[str, bytes]:
    return {".usdz": usdz_bytes(asset, stem, 1 / PER_METRE[convention.units], convention.up)}


def _ply(asset: Asset, *_: object) -> dict[str, bytes]:
    return {".ply": ply_bytes(asset)}


def _stl(asset: Asset, *_: object) -> dict[str, bytes]:
    return {".stl": stl_bytes(asset.mesh)}


def losses(asset: Asset, path: Path | str, convention: Convention | None = None) -> list[str]:
    """What of an asset a format cannot hold, in words; empty if it holds everything."""
    suffix = Path(path).suffix.lower()
    told: dict[str, Callable[[Asset], list[str]]] = {
        ".obj": obj_losses,
        ".ply": ply_losses,
        ".stl": stl_losses,
        ".usdz": usdz_losses,
    }
    cut = (
        ["quadrilaterals and other polygons are cut into triangles"]
        if _has_polygons(asset) and suffix != ".obj"
        else []
    )
    if suffix not in told:
        return cut
    return told[suffix](_in_convention(asset, convention or convention_of(suffix))) + cut


def _has_polygons(asset: Asset) -> bool:
    """Whether it was made of more than triangles."""
    return asset.polygon_of is not None and len(np.unique(asset.polygon_of)) < len(asset.mesh.faces)


_ENCODERS: dict[str, Encoder] = {".glb": _glb, ".obj": _obj, ".ply": _ply, ".stl": _stl, ".usdz": _usdz}
