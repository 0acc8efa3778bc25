"""Reading OFF (Geomview's object file format), with colours."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from representations.assets.formats.polygons import triangulated
from representations.assets.pieces import Piece
from representations.geometry.mesh import Floats


class OffError(ValueError):
    """An OFF file that cannot be read; the message says why."""


def read_off(content: bytes, _: Callable[[str], bytes], most_faces: int) -> tuple[list[Piece], list[str]]:
    """The triangles of a file.

    Args:
        content: of the file, whose rows are lines.
        most_faces: more triangles are refused.

    Raises:
        OffError: if the file is damaged.
        PolygonError: if it is too large.
    """
    try:
        return _read(content, most_faces)
    except (ValueError, IndexError, OverflowError) as error:
        if type(error) is ValueError or isinstance(error, IndexError | OverflowError):
            raise OffError(f"it is damaged ({str(error)[:80]})") from None
        raise


def _read(content: bytes, most_faces: int) -> tuple[list[Piece], list[str]]:
    lines = [line.split("#")[0] for line in content.decode("latin-1").replace("\r", "\n").split("\n")]
    rows = [words for line in lines if (words := line.split())]
    found = re.fullmatch(r"(ST)?(C)?(N)?(4)?(n)?OFF", rows[0][0]) if rows else None
    if found is None or "BINARY" in rows[0]:
        raise OffError("it does not begin with OFF and text")
    if found[4] or found[5]:
        raise OffError("its space has not three dimensions")
    counts = rows[0][1:] or rows[1]
    start = 1 if rows[0][1:] else 2
    vertex_count, face_count = int(counts[0]), int(counts[1])
    if vertex_count < 0 or face_count < 0 or start + vertex_count + face_count > len(rows):
        raise OffError("it ends before its vertices and faces do; it was cut off")
    vertices, faces = rows[start : start + vertex_count], rows[start + vertex_count :][:face_count]
    if not vertices or not faces:
        return [], []
    positions = np.array([row[:3] for row in vertices], dtype=np.float64)
    sizes = np.array([int(row[0]) for row in faces])
    if (sizes < 0).any() or any(len(row) < 1 + size for row, size in zip(faces, sizes.tolist(), strict=True)):
        raise OffError("a face has fewer corners than it says")
    corners = np.array(
        [int(word) for row, size in zip(faces, sizes.tolist(), strict=True) for word in row[1 : 1 + size]]
    )
    if len(corners) and (corners.min() < 0 or corners.max() >= vertex_count):
        raise OffError(f"a face names vertex {int(corners.max())}, but there are {vertex_count}")
    triangles, polygon = triangulated(positions, corners, sizes, most_faces)
    if not len(triangles):
        return [], []
    columns = 6 if found[3] else 3
    normals = np.array([row[3:6] for row in vertices], dtype=np.float64) if found[3] else None
    of_vertices = _colours([row[columns : columns + 4] for row in vertices]) if found[2] else None
    of_faces = _colours([row[1 + size :][:4] for row, size in zip(faces, sizes.tolist(), strict=True)])
    colours = None
    if of_faces is not None:
        colours = np.repeat(of_faces[polygon][:, None], 3, axis=1)
    elif of_vertices is not None:
        colours = of_vertices[corners[triangles]]
    used, local = np.unique(corners[triangles], return_inverse=True)
    corner_normals = None if normals is None else normals[corners[triangles]]
    notes = ["texture coordinates of OFF are not kept"] if found[1] else []
    piece = Piece(positions[used], local.reshape(-1, 3), (), corner_normals, colours, polygon_of=polygon)
    return [piece], notes


def _colours(rows: list[list[str]]) -> Floats | None:
    """(N, 3 or 4) sRGB and opacity: white for rows without; None if no row has a colour.

    Three or four numbers are a colour, in bytes if they are all whole, else in [0, 1]; one is an index into a map of
    colours that the file does not hold.
    """
    coloured = [len(row) >= 3 for row in rows]
    if not any(coloured):
        return None
    colours = np.ones((len(rows), 4))
    values = [[*row[:4], "nan"][:4] for row in rows if len(row) >= 3]
    whole = all(word.lstrip("+-").isdigit() for row in rows if len(row) >= 3 for word in row[:4])
    numbers = np.array(values, dtype=np.float64)
    in_bytes = (whole and numbers[np.isfinite(numbers)].max(initial=0) > 1) or np.nanmax(numbers, initial=0) > 1
    numbers = np.where(np.isnan(numbers), 1.0, numbers / (255 if in_bytes else 1))
    colours[coloured] = np.clip(numbers, 0, 1)
    return colours[:, :3] if (colours[:, 3] == 1).all() else colours
