"""Reading mesh files of other people's: nothing in them is executed, and no file outside their folder is opened."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from representations.assets.asset import Asset
from representations.assets.formats.gltf_numbers import GltfError
from representations.assets.formats.gltf_reading import read_gltf
from representations.assets.formats.obj_reading import read_obj
from representations.assets.formats.obj_text import ObjError
from representations.assets.formats.off_reading import OffError, read_off
from representations.assets.formats.ply_reading import read_ply
from representations.assets.formats.ply_table import PlyError
from representations.assets.formats.polygons import PolygonError
from representations.assets.formats.stl_reading import StlError, is_binary_stl, read_stl
from representations.assets.pieces import Piece, joined
from representations.assets.textures import ImageError
from representations.geometry.mesh import Floats, MeshError

MOST_BYTES = 2**30
"""Larger files are refused."""

MOST_FACES = 2_000_000
"""Meshes with more triangles are refused: each takes about 750 bytes while it is read and checked."""

FARTHEST = 1e18
"""Files with larger coordinates are refused: their areas are infinite to programs that count in 32 bits."""

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off")
"""What can be read."""


class MeshFileError(MeshError):
    """A file that cannot be read as a mesh; the message says why and what to do."""


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
    resolve = _beside(path, leniently=form in ("OBJ", "PLY"))
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what is beyond all numbers is refused below, or a finding
            pieces, notes = _READERS[form](content, resolve, MOST_FACES)
    except (GltfError, ObjError, ImageError, OffError, PlyError, PolygonError, StlError) as error:
        raise MeshFileError(f"{path} cannot be read as {form}: {error}.") from None
    except MemoryError:
        raise MeshFileError(f"{path} needs more memory than there is.") from None
    pieces = [piece for piece in pieces if len(piece.faces)]
    if not pieces:
        raise MeshFileError(f"{path} holds no triangles.")
    for piece in pieces:
        _require_near(path, piece.positions)
    asset, merged = joined(pieces)
    if form == "STL":
        asset = _from_printing(asset)
        merged.append("taken for millimetres with +Z up, as printing programs do")
    return MeshFile(asset, [_in_one_line(note) for note in notes] + merged, len(content))


def _require_near(path: Path, vertices: Floats) -> None:
    farthest = float(np.abs(vertices[np.isfinite(vertices)]).max(initial=0))
    if farthest > FARTHEST:
        raise MeshFileError(
            f"{path} has a coordinate of {farthest:.0e}; at most {FARTHEST:.0e} is read. Scale it down."
        )


def _in_one_line(note: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in note).split())


def _content(path: Path) -> bytes:
    try:
        status = path.stat()
        size = status.st_size
        if stat.S_ISDIR(status.st_mode):
            raise MeshFileError(f"{path} is a folder, not a mesh file.")
        if not stat.S_ISREG(status.st_mode):
            raise MeshFileError(f"{path} is no ordinary file.")
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
    if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{" and b'"asset"' in content:
        return "glTF"
    if re.match(rb"(ST)?C?N?OFF\s", start):
        return "OFF"
    if len(content) == 84 + 50 * int.from_bytes(content[80:84], "little") and len(content) >= 84:
        return "STL"
    return None


def _claimed_faces(form: str, content: bytes) -> int:
    """How many faces a file says it has, found without reading it; 0 where that cannot be told."""
    if form == "STL" and is_binary_stl(content):
        return int.from_bytes(content[80:84], "little")
    if form == "STL":
        return content.count(b"endfacet")
    if form == "OBJ":
        return len(re.findall(rb"(?m)^[ \t]*f[ \t]", content))
    if form == "PLY":
        found = re.search(rb"element\s+face\s+(\d+)", content[:65536])
        return int(found[1]) if found else 0
    if form == "OFF":
        numbers = re.findall(rb"(?m)^\s*(\d+)\s+(\d+)(?:\s+\d+)?\s*$", content[:4096])
        return int(numbers[0][1]) if numbers else 0
    return 0  # glTF is counted while it is read, and large polygons when they are cut


def _beside(path: Path, leniently: bool) -> Callable[[str], bytes]:
    """Reads files below the folder of a file, and no others: not by "..", by an absolute path, or through a link.

    Args:
        path: of the file that names others.
        leniently: whether letters may be of another case, and a file that is not where it is said may lie directly
            beside the file, as other programs look for the textures of OBJ files.

    Returns:
        A function that raises FileNotFoundError for what is not there or may not be opened.
    """
    folder = path.absolute().parent.resolve()

    def resolve(name: str) -> bytes:
        short = name if len(name) <= 80 else f"...{name[-80:]}"
        try:
            found = _found(folder, name.replace("\\", "/"), leniently)
            if found is None:
                outside = not (folder / name.replace("\\", "/")).resolve().is_relative_to(folder)
                where = "outside its folder; copy that file into it" if outside else "not beside it"
                raise FileNotFoundError(f"it names '{short}', which is {where}")
            if found.stat().st_size > MOST_BYTES:
                raise FileNotFoundError(f"'{short}' is larger than {MOST_BYTES // 2**30} GB")
            return found.read_bytes()
        except FileNotFoundError:
            raise
        except (OSError, ValueError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise FileNotFoundError(f"it names '{short}', which cannot be opened ({reason})") from None

    return resolve


def _found(folder: Path, name: str, leniently: bool) -> Path | None:
    """The file of a name within a folder; None if there is none."""
    parts = [name]
    if leniently:
        relative = PurePosixPath(name)
        parts += [
            _in_folders_case(folder, relative),
            relative.name,
            _in_folders_case(folder, PurePosixPath(relative.name)),
        ]
    for candidate in parts:
        path = (folder / candidate).resolve()
        if candidate and path.is_relative_to(folder) and path.is_file():
            return path
    return None


def _in_folders_case(folder: Path, name: PurePosixPath) -> str:
    """A relative name with each part as the folder spells it; "" if there is no such file."""
    here = folder
    for part in name.parts:
        if part in ("..", ".", "/"):
            return ""
        if not (here / part).exists():
            alike = sorted(entry.name for entry in here.iterdir() if entry.name.lower() == part.lower())
            if not alike:
                return ""
            part = alike[0]
        here = here / part
        if not here.is_dir():
            break
    return str(here.relative_to(folder))


def _from_printing(asset: Asset) -> Asset:
    """From millimetres with +Z up to metres with +Y up."""
    mesh = replace(asset.mesh, vertices=_y_up(asset.mesh.vertices) / 1000)
    return replace(asset, mesh=mesh, normals=None if asset.normals is None else _y_up(asset.normals))


def _y_up(vectors: Floats) -> Floats:
    """Vectors (..., 3) with +Z up in axes with +Y up."""
    return np.stack([vectors[..., 0], vectors[..., 2], -vectors[..., 1]], axis=-1)


Reader = Callable[[bytes, Callable[[str], bytes], int], tuple[list[Piece], list[str]]]
"""(content, what reads files beside it, most faces) -> parts, and what is not kept."""

_READERS: dict[str, Reader] = {
    "GLB": read_gltf,
    "glTF": read_gltf,
    "OBJ": read_obj,
    "PLY": read_ply,
    "STL": read_stl,
    "OFF": read_off,
}
