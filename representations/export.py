"""Writing meshes to files: checked first, and never half a file in place of a good one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import trimesh

from representations.asset import Asset
from representations.gltf import glb_bytes
from representations.mesh import Mesh, MeshError, problems


def write_mesh(mesh: Mesh, path: Path | str) -> Path:
    """Writes a mesh in the format that the file's suffix names: .glb, .obj, .ply or .stl.

    The file is complete under a temporary name before it takes its place, so an existing file survives any failure.
    GLB has normals and linear vertex colours, OBJ and PLY sRGB vertex colours; STL has shape only. +Y stays up.

    Returns:
        The path.

    Raises:
        MeshError: if the suffix is not one of these or the mesh is unfit (see `representations.mesh.problems`).
        OSError: if the folder does not exist or cannot be written to.
    """
    path = Path(path)
    encode = _ENCODERS.get(path.suffix.lower())
    if encode is None:
        raise MeshError(f"Cannot write a mesh as '{path.name}': the suffix must be one of {', '.join(_ENCODERS)}.")
    wrong = problems(mesh)
    if wrong:
        raise MeshError(f"The mesh for '{path.name}' was not written: {'; '.join(wrong)}.")
    write_atomically(path, encode(mesh))
    return path


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file by one with this content, or leaves it untouched.

    Raises:
        OSError: if the folder does not exist or cannot be written to.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder '{path.parent}' does not exist.")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A temporary file is private to its owner; a result has the permissions of any file the user makes.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _through_trimesh(file_type: str) -> Callable[[Mesh], bytes]:
    def encode(mesh: Mesh) -> bytes:
        colours = None
        if mesh.colours is not None and file_type != "stl":
            colours = np.round(mesh.colours * 255).astype(np.uint8)
        full = trimesh.Trimesh(
            mesh.vertices, mesh.faces, vertex_normals=mesh.normals, vertex_colors=colours, process=False
        )
        content = full.export(file_type=file_type)
        return content.encode() if isinstance(content, str) else bytes(content)

    return encode


_ENCODERS: dict[str, Callable[[Mesh], bytes]] = {
    ".glb": lambda mesh: glb_bytes(Asset(mesh)),
    ".obj": _through_trimesh("obj"),
    ".ply": _through_trimesh("ply"),
    ".stl": _through_trimesh("stl"),
}
