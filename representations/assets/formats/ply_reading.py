"""Reading PLY: polygons and strips with colours, normals and texture coordinates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from representations.assets.asset import Image, Material
from representations.assets.formats.ply_table import Columns, Lists, PlyError, read_table
from representations.assets.formats.polygons import triangulated
from representations.assets.pieces import Piece
from representations.assets.textures import ImageError, Images, ImageSizeError
from representations.geometry.mesh import Floats, Integers

_COLOURS = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
_UVS = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"))
_INDICES = ("vertex_indices", "vertex_index")


def read_ply(content: bytes, resolve: Callable[[str], bytes], most_faces: int) -> tuple[list[Piece], list[str]]:
    """The triangles of a file, one piece for each texture, and what of it is not kept, in words.

    Args:
        content: of the file.
        resolve: reads the textures that it names. Raises FileNotFoundError for what is not there.
        most_faces: more triangles are refused.

    Raises:
        PlyError: if the file is damaged.
        PolygonError: if it is too large.
        ImageError: if its textures are too large.
    """
    header, table = read_table(content)
    vertices = table.get("vertex", {})
    corners, sizes, faces = _polygons(table)
    if not len(corners):
        return [], []
    positions = _together(vertices, ("x", "y", "z"))
    if positions is None:
        raise PlyError("its vertices have no places")
    if corners.min() < 0 or corners.max() >= len(positions):
        raise PlyError(f"a face names vertex {int(corners.max())}, but there are {len(positions)}")
    triangles, polygon = triangulated(positions, corners, sizes, most_faces)
    if not len(triangles):
        return [], []
    notes: list[str] = []
    uv = _texture_coordinates(vertices, faces, corners, sizes)
    images = _images(header.textures, resolve, notes) if uv is not None else []
    colours = _corner_colours(vertices, faces, corners, sizes)
    normals = _together(vertices, ("nx", "ny", "nz"))
    numbers = _texture_numbers(faces, polygon, len(images))
    pieces = []
    for number in np.unique(numbers).tolist():
        here = triangles[numbers == number]
        used, local = np.unique(corners[here], return_inverse=True)
        material = Material(base_colour=images[number]) if images else Material()
        pieces.append(
            Piece(
                positions[used],
                local.reshape(-1, 3),
                () if uv is None else (uv[here],),
                None if normals is None else normals[corners[here]],
                None if colours is None else colours[here],
                material,
                polygon[numbers == number],
            )
        )
    return pieces, notes


def _together(columns: Columns, names: tuple[str, ...]) -> Floats | None:
    """(N, len(names)) columns side by side; None if one of them is missing or a list."""
    found = [columns.get(name) for name in names]
    arrays = [values for values in found if isinstance(values, np.ndarray)]
    return np.stack(arrays, axis=-1).astype(np.float64) if len(arrays) == len(names) else None


def _polygons(table: dict[str, Columns]) -> tuple[Integers, Integers, Columns]:
    """(C,) vertices of all corners, (P,) corners of each polygon, and the columns of the faces; strips are cut."""
    faces = table.get("face", {})
    lists = [faces[name] for name in _INDICES if isinstance(faces.get(name), Lists)]
    if lists:
        (first, *_) = lists
        assert isinstance(first, Lists)
        return _whole(first.values), first.sizes, faces
    strips = [table.get("tristrips", {}).get(name) for name in _INDICES]
    for strip in strips:
        if isinstance(strip, Lists):
            triangles = _strips(_whole(strip.values), strip.sizes)
            return triangles.reshape(-1), np.full(len(triangles), 3), {}
    return np.zeros(0, np.int64), np.zeros(0, np.int64), {}


def _whole(values: np.ndarray) -> Integers:
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int64)
    if (whole != values).any():
        raise PlyError("a face names a vertex that is no whole number")
    return whole


def _strips(values: Integers, sizes: Integers) -> Integers:
    """(F, 3) of strips, each list being several that -1 keeps apart."""
    first = np.zeros(len(values), bool)
    ends = np.cumsum(sizes)
    first[np.concatenate([[0], ends[:-1]])[sizes > 0]] = True
    first[1:] |= values[:-1] < 0  # after a break
    start = np.maximum.accumulate(np.where(first, np.arange(len(values)), 0))
    place = np.arange(len(values)) - start
    last = np.arange(2, len(values))
    last = last[(place[last] >= 2) & (values[last] >= 0)]
    odd = place[last] % 2
    return np.stack([values[last - 2], values[last - 1 + odd], values[last - odd]], axis=-1)


def _corner_colours(vertices: Columns, faces: Columns, corners: Integers, sizes: Integers) -> Floats | None:
    """(C, 3 or 4) sRGB and opacity of corners: those of the faces, else those of the vertices."""
    of_faces = _colours(faces)
    if of_faces is not None:
        return np.repeat(of_faces, sizes, axis=0)
    of_vertices = _colours(vertices)
    return None if of_vertices is None else of_vertices[corners]


def _colours(columns: Columns) -> Floats | None:
    for names in _COLOURS:
        stored = [columns[name] for name in names if isinstance(columns.get(name), np.ndarray)]
        found = _together(columns, names)
        if found is not None:
            opacity = _together(columns, ("alpha",)) if isinstance(columns.get("alpha"), np.ndarray) else None
            parts = [found] if opacity is None else [found, opacity]
            kind = np.asarray(stored[0]).dtype
            values = np.concatenate(parts, axis=1)
            # Text has no types: whole numbers up to 255 are bytes.
            largest = 65535.0 if kind == np.uint16 else 255.0 if kind.kind in "iu" or values.max(initial=0) > 1 else 1.0
            values = np.clip(np.nan_to_num(values / largest, nan=1.0), 0, 1)
            return values[:, :3] if values.shape[1] == 4 and (values[:, 3] == 1).all() else values
    return None


def _texture_coordinates(vertices: Columns, faces: Columns, corners: Integers, sizes: Integers) -> Floats | None:
    """(C, 2) of corners: those of the faces, else those of the vertices; None if there are none that fit."""
    wedges = faces.get("texcoord")
    if isinstance(wedges, Lists) and np.array_equal(wedges.sizes, 2 * sizes):
        return wedges.values.astype(np.float64).reshape(-1, 2)
    if isinstance(wedges, Lists) and wedges.sizes.any():
        return _some_wedges(wedges, sizes)
    for names in _UVS:
        found = _together(vertices, names)
        if found is not None:
            return found[corners]
    return None


def _some_wedges(wedges: Lists, sizes: Integers) -> Floats:
    """Texture coordinates where a face has as many as corners, zeros elsewhere."""
    uv = np.zeros((int(sizes.sum()), 2))
    fits = wedges.sizes == 2 * sizes
    start = np.cumsum(wedges.sizes) - wedges.sizes
    values = wedges.values.astype(np.float64)
    chosen = np.repeat(fits, sizes)
    picked = [values[start[face] : start[face] + wedges.sizes[face]] for face in np.flatnonzero(fits)]
    uv[chosen] = np.concatenate(picked).reshape(-1, 2) if picked else 0
    return uv


def _texture_numbers(faces: Columns, polygon: Integers, count: int) -> Integers:
    """(F,) which image each triangle has."""
    numbers = faces.get("texnumber")
    if not isinstance(numbers, np.ndarray) or count < 2:
        return np.zeros(len(polygon), np.int64)
    return np.clip(np.nan_to_num(numbers), 0, count - 1).astype(np.int64)[polygon]


def _images(names: list[str], resolve: Callable[[str], bytes], notes: list[str]) -> list[Image]:
    images, found = Images(), []
    for name in names:
        try:
            found.append(np.ascontiguousarray(images.decoded(resolve(name))[:, :, :3]))
        except ImageSizeError:
            raise
        except (FileNotFoundError, ImageError) as error:
            notes.append(f"a texture was left out: {error}")
            return []
    return found
