"""Reading Wavefront OBJ and the materials beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from representations.assets.asset import Image, Material
from representations.assets.colour_space import srgb_to_linear
from representations.assets.pieces import Piece
from representations.assets.textures import decoded_image
from representations.geometry.mesh import Floats, Integers


class ObjError(ValueError):
    """An OBJ file that cannot be read; the message says why."""


@dataclass
class _Lines:
    """The statements of a file by kind; of each face its corners and its material."""

    v: list[list[str]] = field(default_factory=list)
    vt: list[list[str]] = field(default_factory=list)
    vn: list[list[str]] = field(default_factory=list)
    corners: list[tuple[int, int, int]] = field(default_factory=list)
    material_of: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)


def read_obj(content: bytes, resolve: Callable[[str], bytes]) -> list[Piece]:
    """The triangles of a file, one piece for each material; polygons are cut into fans.

    Args:
        content: of the .obj file.
        resolve: reads the files that it names; decides itself what it may be asked for.

    Raises:
        ObjError: if the file is damaged.
        ImageError: if a texture cannot be read.
    """
    lines = _statements(content)
    if not lines.corners:
        return []
    try:
        v, vt, vn = _numbers(lines.v, 3), _numbers(lines.vt, 2), _numbers(lines.vn, 3)
    except ValueError as error:
        raise ObjError(f"a coordinate is not a number ({error})") from None
    corners = np.asarray(lines.corners, dtype=np.int64).reshape(-1, 3, 3)
    for column, (kind, count) in enumerate((("vertex", len(v)), ("texture coordinate", len(vt)), ("normal", len(vn)))):
        named = corners[:, :, column]
        if (named >= count).any() or (named < (0 if column == 0 else -1)).any():
            raise ObjError(f"a face names a {kind} that does not exist")
    materials = _materials(lines.libraries, resolve)
    names = np.asarray(lines.material_of)
    return [
        _piece(v, vt, vn, corners[names == name], materials.get(name, (Material(), (1.0, 1.0, 1.0))))
        for name in dict.fromkeys(lines.material_of)
    ]


def _statements(content: bytes) -> _Lines:
    lines, material = _Lines(), ""
    text = content.decode("utf-8", errors="replace").replace("\\\n", " ")
    for line in text.splitlines():
        kind, _, rest = line.strip().partition(" ")
        if kind in ("v", "vt", "vn"):
            getattr(lines, kind).append(rest.split())
        elif kind == "f":
            here = [_corner(word, lines) for word in rest.split()]
            for second, third in pairwise(here[1:]):
                lines.corners += (here[0], second, third)
                lines.material_of.append(material)
        elif kind == "usemtl":
            material = rest.strip()
        elif kind == "mtllib":
            lines.libraries.append(rest.strip())
    return lines


def _corner(word: str, lines: _Lines) -> tuple[int, int, int]:
    """Indices from 0 of vertex, texture coordinate and normal of "3/1/2", "3//2" or "3"; -1 for what is not there."""
    counts = (len(lines.v), len(lines.vt), len(lines.vn))
    indices = [-1, -1, -1]
    try:
        for place, (part, count) in enumerate(zip(word.split("/"), counts, strict=False)):
            if part:
                number = int(part)
                indices[place] = number - 1 if number > 0 else count + number
                if number == 0 or indices[place] < 0:
                    raise ValueError
    except ValueError:
        raise ObjError(f"a face has the corner '{word[:40]}'") from None
    return indices[0], indices[1], indices[2]


def _numbers(rows: list[list[str]], width: int) -> Floats:
    """(N, width or more) numbers; rows of different lengths are cut to the shortest."""
    if not rows:
        return np.zeros((0, width))
    shortest = min(map(len, rows))
    if shortest < width:
        raise ObjError(f"a coordinate has {shortest} numbers, not {width}")
    return np.asarray([row[:shortest] for row in rows], dtype=np.float64)


def _piece(
    v: Floats, vt: Floats, vn: Floats, corners: Integers, look: tuple[Material, tuple[float, float, float]]
) -> Piece:
    used, faces = np.unique(corners[:, :, 0], return_inverse=True)
    uv = vt[corners[:, :, 1], :2] if (corners[:, :, 1] >= 0).all() else None
    normals = vn[corners[:, :, 2], :3] if (corners[:, :, 2] >= 0).all() else None
    colours = np.clip(v[used, 3:6], 0, 1) if v.shape[1] >= 6 else None
    return Piece(v[used, :3], faces.reshape(-1, 3), uv, normals, colours, *look)


def _materials(
    libraries: list[str], resolve: Callable[[str], bytes]
) -> dict[str, tuple[Material, tuple[float, float, float]]]:
    """Materials and linear tints by name."""
    found: dict[str, tuple[Material, tuple[float, float, float]]] = {}
    images: dict[str, Image] = {}
    for library in libraries:
        entries: dict[str, dict[str, Any]] = {}
        entry: dict[str, Any] = {}
        for line in resolve(library).decode("utf-8", errors="replace").splitlines():
            kind, _, rest = line.strip().partition(" ")
            if kind == "newmtl":
                entry = entries.setdefault(rest.strip(), {})
            else:
                entry[kind] = rest.strip()
        for name, entry in entries.items():
            found[name] = _material(entry, images, resolve)
    return found


def _material(
    entry: dict[str, str], images: dict[str, Image], resolve: Callable[[str], bytes]
) -> tuple[Material, tuple[float, float, float]]:
    def image(*kinds: str) -> Image | None:
        for kind in kinds:
            if kind in entry:
                name = entry[kind]
                if name not in images:
                    images[name] = decoded_image(resolve(name))
                return images[name]
        return None

    try:
        roughness, metallic = (min(max(float(entry.get(k, d)), 0.0), 1.0) for k, d in (("Pr", "0.9"), ("Pm", "0")))
        red, green, blue = (min(max(float(part), 0.0), 1.0) for part in entry.get("Kd", "1 1 1").split()[:3])
    except ValueError:
        raise ObjError("a material's colour or roughness is not a number") from None
    tint = srgb_to_linear(np.array([red, green, blue]))
    material = Material(image("map_Kd"), image("norm"), roughness, metallic)
    return material, (float(tint[0]), float(tint[1]), float(tint[2]))
