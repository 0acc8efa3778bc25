"""Reading mesh files of other people's: nothing in them is executed, and no file outside their folder is opened."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import trimesh

from representations.assets.asset import Asset
from representations.assets.formats.gltf_document import GltfError
from representations.assets.formats.gltf_reading import read_gltf
from representations.assets.formats.obj_reading import ObjError, read_obj
from representations.assets.pieces import Piece, joined
from representations.assets.textures import ImageError
from representations.geometry.mesh import MeshError

MOST_BYTES = 2**30
"""Larger files are refused."""

MOST_FACES = 2_000_000
"""Meshes with more triangles are refused: each takes about 750 bytes while it is read and checked."""

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off")
"""What can be read."""


class MeshFileError(MeshError):
    """A file that cannot be read as a mesh; the message says why and what to do."""


class _DamagedError(ValueError):
    """A parser of trimesh's gave up."""


@dataclass(frozen=True)
class MeshFile:
    """What was in a file.

    Attributes:
        asset: in metres, +Y up.
        notes: what was done to it on the way, in words.
        bytes: size of the file itself.
    """

    asset: Asset
    notes: list[str]
    bytes: int


def load_mesh(path: Path | str) -> Asset:
    """The mesh of a file with its material; see `read_mesh_file`."""
    return read_mesh_file(path).asset


def read_mesh_file(path: Path | str) -> MeshFile:
    """Reads a mesh: GLB, glTF, OBJ, PLY, STL or OFF.

    STL says neither units nor axes; it is taken for millimetres with +Z up, as printing programs do. Everything else
    is taken for metres with +Y up.

    Raises:
        MeshFileError: if the file is missing, empty, damaged, too large, no mesh, or not what its name says, or if it
            names files outside its own folder.
    """
    path = Path(path)
    content = _content(path)
    form = _checked_format(path, content)
    claimed = _claimed_faces(form, content)
    if claimed > MOST_FACES:
        raise MeshFileError(
            f"{path} has {claimed:,} faces; at most {MOST_FACES:,} are read. Simplify it first, for example with "
            "Blender's Decimate."
        )
    resolve = _confined_to(path.absolute().parent, path)
    try:
        pieces = [piece for piece in _READERS[form](content, resolve) if len(piece.faces)]
    except MeshFileError:
        raise
    except (GltfError, ObjError, ImageError, _DamagedError) as error:
        raise MeshFileError(f"{path} cannot be read as {form}: {error}.") from None
    except MemoryError:
        raise MeshFileError(f"{path} needs more memory than there is.") from None
    if not pieces:
        raise MeshFileError(f"{path} holds no triangles.")
    asset, notes = joined(pieces)
    if form == "STL":
        asset = _from_printing(asset)
        notes.append("taken for millimetres with +Z up, as printing programs do")
    return MeshFile(asset, notes, len(content))


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise MeshFileError(f"{path} is a folder, not a mesh file.")
        if size > MOST_BYTES:
            raise MeshFileError(
                f"{path} has {size / 2**30:.1f} GB; at most {MOST_BYTES // 2**30} GB are read. Simplify it first."
            )
        content = path.read_bytes()
    except OSError as error:
        raise MeshFileError(f"{path} cannot be opened: {error.strerror or error}.") from None
    if not content.strip():
        raise MeshFileError(f"{path} is empty.")
    return content


def _checked_format(path: Path, content: bytes) -> str:
    """The format of a file, about which its name and its first bytes agree."""
    suffix = path.suffix.lower()
    if content[:4] == b"PK\x03\x04" or content[:2] == b"\x1f\x8b" or content[:6] == b"7z\xbc\xaf\x27\x1c":
        raise MeshFileError(f"{path} is an archive; archives are not opened. Unpack it and give the mesh file in it.")
    if suffix not in SUFFIXES:
        raise MeshFileError(f"{path} is of no format that can be read: {', '.join(SUFFIXES)}.")
    named = {".glb": "GLB", ".gltf": "glTF"}.get(suffix, suffix[1:].upper())
    found = _format_of(content)
    if found is not None and found != named:
        raise MeshFileError(f"{path} is named like {named} but its content is {found}; rename it.")
    if found is None and named in ("GLB", "PLY", "glTF"):
        raise MeshFileError(f"{path} is named like {named} but does not begin like one.")
    return named


def _format_of(content: bytes) -> str | None:
    """What the first bytes say; None if they say nothing, as those of OBJ and most STL files."""
    start = content[:512].lstrip()
    if content[:4] == b"glTF":
        return "GLB"
    if content[:4] in (b"ply\n", b"ply\r"):
        return "PLY"
    if start[:1] == b"{" and b'"asset"' in content:
        return "glTF"
    if re.match(rb"(ST)?C?N?OFF\s", start):
        return "OFF"
    if len(content) >= 84 and len(content) == 84 + 50 * int.from_bytes(content[80:84], "little"):
        return "STL"
    return None


def _claimed_faces(form: str, content: bytes) -> int:
    """How many faces a file says it has, found without reading it; 0 where that cannot be told."""
    if form == "STL" and _format_of(content) == "STL":
        return (len(content) - 84) // 50
    if form == "STL":
        return content.count(b"endfacet")
    if form == "OBJ":
        return content.count(b"\nf ")
    if form == "PLY":
        found = re.search(rb"element\s+face\s+(\d+)", content[:65536])
        return int(found[1]) if found else 0
    if form == "OFF":
        numbers = re.findall(rb"(?m)^\s*(\d+)\s+(\d+)(?:\s+\d+)?\s*$", content[:4096])
        return int(numbers[0][1]) if numbers else 0
    return 0  # glTF is counted while it is read


def _confined_to(folder: Path, of: Path) -> Callable[[str], bytes]:
    """Reads files below a folder, and no others: neither by "..", nor by an absolute path, nor through a link."""
    folder = folder.resolve()

    def resolve(name: str) -> bytes:
        try:
            path = (folder / name.replace("\\", "/")).resolve()
            if not path.is_relative_to(folder):
                raise MeshFileError(f"{of} names '{name}', which is outside its folder; copy that file into it.")
            if not path.is_file():
                raise MeshFileError(f"{of} needs the file '{name}', which is not beside it.")
            if path.stat().st_size > MOST_BYTES:
                raise MeshFileError(f"{of} needs '{name}', which is larger than {MOST_BYTES // 2**30} GB.")
            return path.read_bytes()
        except (OSError, ValueError, RuntimeError) as error:
            if isinstance(error, MeshFileError):
                raise
            raise MeshFileError(f"{of} names '{name[:80]}', which cannot be opened: {error}.") from None

    return resolve


def _gltf(content: bytes, resolve: Callable[[str], bytes]) -> list[Piece]:
    return read_gltf(content, resolve, MOST_FACES)


def _through_trimesh(file_type: str) -> Callable[[bytes, Callable[[str], bytes]], list[Piece]]:
    """PLY, STL and OFF name no other files."""

    def read(content: bytes, _: Callable[[str], bytes]) -> list[Piece]:
        try:
            loaded = trimesh.load_mesh(io.BytesIO(content), file_type=file_type, process=False)
            parts = loaded.geometry.values() if isinstance(loaded, trimesh.Scene) else [loaded]
            return [_piece(part) for part in parts if isinstance(part, trimesh.Trimesh)]
        except MemoryError:
            raise
        except Exception as error:  # these parsers fail in every way on damaged files
            reason = " ".join(str(error).split())[:120]
            raise _DamagedError(f"it is damaged ({type(error).__name__}: {reason})") from None

    return read


def _piece(part: trimesh.Trimesh) -> Piece:
    positions, faces = np.asarray(part.vertices, dtype=np.float64), np.asarray(part.faces, dtype=np.int64)
    if len(faces) and (faces.min() < 0 or faces.max() >= len(positions)):
        raise ValueError(f"a face names vertex {faces.max()}, but there are {len(positions)}")
    colours = None
    if part.visual.defined and part.visual.kind == "vertex":
        colours = np.asarray(part.visual.vertex_colors)[:, :3] / 255
    return Piece(positions, faces, colours=colours)


def _from_printing(asset: Asset) -> Asset:
    """From millimetres with +Z up to metres with +Y up."""
    x, y, z = asset.mesh.vertices.T
    return replace(asset, mesh=replace(asset.mesh, vertices=np.stack([x, z, -y], axis=-1) / 1000))


_READERS: dict[str, Callable[[bytes, Callable[[str], bytes]], list[Piece]]] = {
    "GLB": _gltf,
    "glTF": _gltf,
    "OBJ": read_obj,
    "PLY": _through_trimesh("ply"),
    "STL": _through_trimesh("stl"),
    "OFF": _through_trimesh("off"),
}
