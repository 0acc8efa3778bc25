"""Reading STL, binary or text, with the colours that some programs put into its spare bytes."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from representations.assets.formats.polygons import PolygonError
from representations.assets.pieces import Piece
from representations.geometry.mesh import Floats

_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("spare", "<u2")])
_HEADER = 84
_VERTEX = re.compile(rb"vertex\s+(\S+)\s+(\S+)\s+(\S+)", re.IGNORECASE)


class StlError(ValueError):
    """An STL file that cannot be read; the message says why."""


def read_stl(content: bytes, _: Callable[[str], bytes], most_faces: int) -> tuple[list[Piece], list[str]]:
    """The triangles of a file.

    Args:
        content: of the file.
        most_faces: more triangles are refused.

    Raises:
        StlError: if the file is damaged.
        PolygonError: if it is too large.
    """
    if is_binary_stl(content):
        return _binary(content, most_faces)
    if b"facet" not in content[: 2**20].lower():
        raise StlError("it is neither text nor as long as it says; it was cut off")
    found = _VERTEX.findall(content)
    if len(found) > 3 * most_faces:
        raise PolygonError(f"it has {len(found) // 3:,} triangles; at most {most_faces:,} are read")
    if len(found) % 3:
        raise StlError("its last facet has fewer than three corners; it was cut off")
    try:
        corners = np.array(found, dtype="S").astype(np.float64).reshape(-1, 3)
    except ValueError as error:
        raise StlError(f"a coordinate is not a number ({str(error)[:60]})") from None
    return ([Piece(corners, np.arange(len(corners)).reshape(-1, 3))] if len(corners) else []), []


def is_binary_stl(content: bytes) -> bool:
    """Whether the length is what the number of facets in the header makes it; text never happens to have it."""
    if len(content) < _HEADER:
        return False
    expected = _HEADER + _FACET.itemsize * int.from_bytes(content[80:84], "little")
    return len(content) == expected or (len(content) > expected and b"facet" not in content[: 2**20].lower())


def _binary(content: bytes, most_faces: int) -> tuple[list[Piece], list[str]]:
    count = int.from_bytes(content[80:84], "little")
    if count > most_faces:
        raise PolygonError(f"it has {count:,} triangles; at most {most_faces:,} are read")
    facets = np.frombuffer(content, _FACET, count, _HEADER)
    if not count:
        return [], []
    corners = facets["corners"].reshape(-1, 3).astype(np.float64)
    colours = _colours(content[:80], facets["spare"])
    return [Piece(corners, np.arange(3 * count).reshape(-1, 3), colours=colours)], []


def _colours(header: bytes, spare: np.ndarray) -> Floats | None:
    """(F, 3, 3) sRGB of corners; None if the file has no colours.

    Five bits for each of red, green and blue. Where the header names a colour (Materialise Magics), red is lowest and
    a set highest bit stands for that colour; elsewhere (VisCAM, SolidView) blue is lowest and it marks a colour.
    """
    low, middle, high = ((spare >> shift & 31) / 31 for shift in (0, 5, 10))
    own = spare >> 15 == 1
    place = header.find(b"COLOR=")
    if place >= 0 and place + 9 <= len(header):
        usual = np.frombuffer(header, np.uint8, 3, place + 6) / 255
        colour = np.where(own[:, None], usual, np.stack([low, middle, high], axis=-1))
    elif own.any():
        colour = np.where(own[:, None], np.stack([high, middle, low], axis=-1), 1.0)
    else:
        return None
    return np.repeat(colour[:, None], 3, axis=1)
