"""Reading Wavefront OBJ and the materials beside it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from representations.assets.asset import Material
from representations.assets.formats.looks import Look
from representations.assets.formats.mtl_reading import MOST_MATERIALS, Library, Resolve
from representations.assets.formats.obj_text import ObjError, lines_of
from representations.assets.formats.polygons import triangulated
from representations.assets.pieces import Piece
from representations.geometry.mesh import Floats, Integers

_MOST_INDEX = 2**40
_CURVES = frozenset(("curv", "curv2", "surf", "cstype", "vp"))


@dataclass
class _Statements:
    """The statements of a file by kind; of each face its corners and its material."""

    v: list[list[str]] = field(default_factory=list)
    vt: list[list[str]] = field(default_factory=list)
    vn: list[list[str]] = field(default_factory=list)
    corners: list[tuple[int, int, int]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    material_of: list[int] = field(default_factory=list)
    materials: dict[str, int] = field(default_factory=dict)
    libraries: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)


def read_obj(content: bytes, resolve: Resolve, most_faces: int) -> tuple[list[Piece], list[str]]:
    """The triangles of a file, one piece for each material, and what of it is not kept, in words.

    Args:
        content: of the .obj file.
        resolve: reads the files that it names; decides itself what it may be asked for. Raises FileNotFoundError for
            what is not there.
        most_faces: more triangles are refused.

    Raises:
        ObjError: if the file is damaged.
        PolygonError: if it is too large.
        ImageError: if its textures are too large.
    """
    found = _statements(content)
    if not found.corners:
        return [], list(found.notes)
    v, colours = _positions(found.v)
    vt, vn = _numbers(found.vt, 1, 2), _numbers(found.vn, 3, 3)
    corners = np.asarray(found.corners, dtype=np.int64)
    for column, (kind, count) in enumerate((("vertex", len(v)), ("texture coordinate", len(vt)), ("normal", len(vn)))):
        named = corners[:, column]
        if (named >= count).any() or (named < (0 if column == 0 else -1)).any():
            raise ObjError(f"a face names a {kind} that does not exist")
    triangles, face_of = triangulated(v, corners[:, 0], np.asarray(found.sizes), most_faces)
    if not len(triangles):
        return [], list(found.notes)
    library = Library(resolve)
    for name in found.libraries:
        library.read(name)
    corners, material = corners[triangles], np.asarray(found.material_of)[face_of]
    pieces = []
    by_number = list(found.materials)
    for number, rows in _groups(material):
        here = corners[rows]
        look = library.looks.get(by_number[number], Look(Material(name=by_number[number][:200])))
        with_uv = (here[:, :, 1] >= 0).all(axis=1)
        for textured in (True, False):
            if not textured and look.material.maps and not with_uv.all():
                library.note("textures are left out where faces have no texture coordinates")
            if (with_uv == textured).any():
                which = with_uv == textured
                piece = _piece(v, vt, vn, colours, here[which], look, textured)
                pieces.append(replace(piece, polygon_of=face_of[rows][which]))
    return pieces, list(found.notes) + library.notes


def _statements(content: bytes) -> _Statements:
    lines, material = _Statements(), 0
    lines.materials[""] = 0
    rows = {"v": lines.v, "vt": lines.vt, "vn": lines.vn}
    for keyword, rest in lines_of(content):
        if keyword in rows:
            rows[keyword].append(rest.split())
        elif keyword in ("f", "fo"):
            words = rest.split()
            counts = (len(lines.v), len(lines.vt), len(lines.vn))
            lines.corners += [_corner(word, counts) for word in words]
            lines.sizes.append(len(words))
            lines.material_of.append(material)
        elif keyword == "usemtl":
            material = lines.materials.setdefault(rest, len(lines.materials))
            if len(lines.materials) > MOST_MATERIALS:
                raise ObjError(f"it has more than {MOST_MATERIALS:,} materials")
        elif keyword == "mtllib":
            lines.libraries[rest] = None
        elif keyword in ("l", "p"):
            lines.notes["points and lines are not kept"] = None
        elif keyword in _CURVES:
            lines.notes["curves and curved surfaces are not kept"] = None
    return lines


def _corner(word: str, counts: tuple[int, int, int]) -> tuple[int, int, int]:
    """Indices from 0 of vertex, texture coordinate and normal of "3/1/2", "3//2" or "3"; -1 for what is not there."""
    indices = [-1, -1, -1]
    try:
        for place, part in enumerate(word.split("/")[:3]):
            if part:
                number = int(part)
                indices[place] = number - 1 if number > 0 else counts[place] + number
                if number == 0 or not 0 <= indices[place] < _MOST_INDEX:
                    raise ValueError
        if indices[0] < 0:
            raise ValueError
    except ValueError:
        raise ObjError(f"a face has the corner '{word[:40]}'") from None
    return indices[0], indices[1], indices[2]


def _positions(rows: list[list[str]]) -> tuple[Floats, Floats | None]:
    """(V, 3) positions, and (V, 3) colours if some vertex has one: white for the others.

    "x y z", "x y z w" with a weight, "x y z r g b" or "x y z r g b a"; colours above 1 are taken for bytes.
    """
    positions = _numbers([row[:3] for row in rows], 3, 3)
    coloured = np.array([len(row) in (6, 7) for row in rows])
    if not coloured.any():
        return positions, None
    colours = np.ones((len(rows), 3))
    colours[coloured] = _numbers([row[3:6] for row in rows if len(row) in (6, 7)], 3, 3)
    if colours[coloured].max() > 1:
        colours[coloured] /= 255
    return positions, np.clip(np.nan_to_num(colours, nan=1.0), 0, 1)


def _numbers(rows: list[list[str]], least: int, width: int) -> Floats:
    """(N, width) numbers; zeros for those that a row leaves out."""
    if not rows:
        return np.zeros((0, width))
    shortest = min(map(len, rows))
    if shortest < least:
        raise ObjError(f"a coordinate has {shortest} numbers, not {width}")
    try:
        return np.array([row[:width] if len(row) >= width else row + ["0"] * (width - len(row)) for row in rows], float)
    except ValueError as error:
        raise ObjError(f"a coordinate is not a number ({str(error)[:60]})") from None


def _groups(numbers: Integers) -> list[tuple[int, Integers]]:
    """Each number that occurs, in the order of its first place, and where."""
    order = np.argsort(numbers, kind="stable")
    values, first = np.unique(numbers[order], return_index=True)
    groups = np.split(order, first[1:])
    return sorted(zip(values.tolist(), groups, strict=True), key=lambda group: int(group[1][0]))


def _piece(
    v: Floats, vt: Floats, vn: Floats, colours: Floats | None, corners: Integers, look: Look, textured: bool
) -> Piece:
    """The faces of one material; without its maps where they have no texture coordinates."""
    used, faces = np.unique(corners[:, :, 0], return_inverse=True)
    look = look if textured else look.only(set())
    uvs = tuple(place.moved(vt[corners[:, :, 1]].reshape(-1, 2)).reshape(-1, 3, 2) for place in look.places)
    normals = vn[corners[:, :, 2]] if len(vn) else None
    if normals is not None:
        normals = np.where((corners[:, :, 2] >= 0)[:, :, None], normals, 0.0)
    return Piece(
        v[used],
        faces.reshape(-1, 3),
        uvs if textured else (),
        normals if normals is not None and (corners[:, :, 2] >= 0).any() else None,
        None if colours is None else colours[corners[:, :, 0]],
        replace(look.material, two_sided=None),
    )
