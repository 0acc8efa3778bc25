"""Which faces lie beside each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from representations.compilation import Array, compiled


def require_faces(faces: NDArray[np.integer], vertex_count: int) -> None:
    """Raises ValueError unless these are triangles (F, 3) of whole numbers below ``vertex_count``.

    Compiled loops follow them without a look: a vertex beyond the last one is somebody else's memory.
    """
    faces = np.asarray(faces)
    if faces.ndim != 2 or faces.shape[1] != 3 or not np.issubdtype(faces.dtype, np.integer):
        raise ValueError(f"faces must be whole numbers of the shape (F, 3), not {faces.dtype} {faces.shape}")
    if len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < vertex_count:
        raise ValueError(f"faces name vertices {faces.min()}..{faces.max()}, but there are {vertex_count} vertices")


def twin_edges(faces: NDArray[np.int32], vertex_count: int) -> NDArray[np.int32]:
    """For each directed edge of each face, the one that runs the other way on the face beside it.

    Args:
        faces: (F, 3) indices of vertices, each below
        vertex_count.

    Returns:
        (3F,): edge 3 f + c runs from corner c of face f to the next corner; -1 where no face is beside it. Where
        several faces run the other way it is the last of them.

    Raises:
        ValueError: if the faces are no triangles, or name vertices that do not exist.
    """
    require_faces(faces, vertex_count)
    faces = np.ascontiguousarray(faces, dtype=np.int32)
    twins = np.full(3 * len(faces), -1, np.int32)
    _find_twins(faces.reshape(-1), vertex_count, twins)
    return twins


def undirected_edges(twins: NDArray[np.int32]) -> NDArray[np.int32]:
    """(E,) numbers (as of `twin_edges`) of directed edges, one for each undirected edge; its twin may be -1."""
    number = np.arange(len(twins), dtype=np.int32)
    return number[(twins < 0) | (number < twins) | (twins[twins] != number)]


@compiled
def _find_twins(starts: Array, vertex_count: int, twins: Array) -> None:
    """`starts[3 f + c]` is corner c of face f. Edges are sorted by their first vertex, by counting."""
    begin = np.zeros(vertex_count + 1, np.int32)
    for vertex in starts:
        begin[vertex + 1] += 1
    for vertex in range(vertex_count):
        begin[vertex + 1] += begin[vertex]
    leaving, filled = np.empty(len(starts), np.int32), begin[:-1].copy()
    for edge in range(len(starts)):
        leaving[filled[starts[edge]]] = edge
        filled[starts[edge]] += 1
    for edge in range(len(starts)):
        start, end = starts[edge], starts[edge - 2 if edge % 3 == 2 else edge + 1]
        for position in range(begin[end], begin[end + 1]):
            other = leaving[position]
            if starts[other - 2 if other % 3 == 2 else other + 1] == start:
                twins[edge] = other
