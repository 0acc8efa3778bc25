"""Which way faces turn: consistently with their neighbours, and outwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from numpy.typing import NDArray

from representations.geometry.mesh import Floats, Integers

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Edges:
    """The edges of a mesh and how many faces meet at each.

    Attributes:
        faces: (E,) how many faces each undirected edge belongs to.
        left, right: (P,) the two faces at each edge that belongs to exactly two.
        agree: (P,) whether these two walk along their edge in opposite directions, as neighbours on one side do.
    """

    faces: Integers
    left: Integers
    right: Integers
    agree: Flags

    @property
    def open(self) -> int:
        """Edges of one face only: the rims of holes."""
        return int((self.faces == 1).sum())

    @property
    def crowded(self) -> int:
        """Edges of more than two faces, where a surface is not a surface (not a manifold)."""
        return int((self.faces > 2).sum())

    @property
    def twisted(self) -> int:
        """Edges whose two faces wind against each other."""
        return int((~self.agree).sum())


def edges_of(faces: Integers, vertex_count: int) -> Edges:
    """The edges of faces (F, 3) that name `vertex_count` vertices."""
    start, end = faces.reshape(-1).astype(np.int64), np.roll(faces, -1, axis=1).reshape(-1).astype(np.int64)
    keys = np.minimum(start, end) * vertex_count + np.maximum(start, end)
    order = np.argsort(keys, kind="stable")
    _, first, count = np.unique(keys[order], return_index=True, return_counts=True)
    pair = first[count == 2]
    left, right = order[pair], order[pair + 1]
    return Edges(count, left // 3, right // 3, start[left] != start[right])


def faces_to_flip(faces: Integers, vertices: Floats) -> Flags:
    """Which faces must be turned round so that neighbours agree and every component encloses a positive volume.

    Neighbours are faces that share an edge with no third face. Each face has two nodes, "as it is" and "turned"; an
    edge of the mesh joins the nodes that agree. The connected components of this double cover are the consistent
    windings, two for each part of the surface, and turning the part leads from one to the other. (A part that cannot
    be wound consistently, like a Moebius strip, has one component only and is left as it is.) Parts that wind inwards
    inside others are cavities, and are left as they are too; unless the whole is inside out.

    Args:
        faces: (F, 3).
        vertices: (V, 3).
    """
    count = len(faces)
    edges = edges_of(faces, len(vertices))
    swap = np.where(edges.agree, 0, count)
    rows = np.concatenate([edges.left, edges.left + count])
    columns = np.concatenate([edges.right + swap, edges.right + count - swap])
    graph = scipy.sparse.coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(2 * count, 2 * count))
    _, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
    as_is, turned = labels[:count], labels[count:]
    part = np.minimum(as_is, turned)
    flip = as_is > turned
    wound = np.where(flip[:, None], faces[:, ::-1], faces)
    volumes = _volumes(wound, vertices, part)
    if volumes.sum() < 0:  # all of it is inside out, its cavities too
        flip, wound, volumes = ~flip, wound[:, ::-1], -volumes
    inwards = volumes < 0
    for cavity in np.flatnonzero(inwards):
        inwards[cavity] = not _is_inside(vertices[faces[part == cavity][0, 0]], wound[~inwards[part]], vertices)
    return (flip ^ inwards[part]) & (as_is != turned)


def _is_inside(point: Floats, faces: Integers, vertices: Floats) -> bool:
    """Whether a point lies inside a surface, by the solid angle that it fills (Van Oosterom and Strackee 1983)."""
    corners = vertices[faces]
    low, high = corners.min(axis=(0, 1), initial=np.inf), corners.max(axis=(0, 1), initial=-np.inf)
    if not ((point > low) & (point < high)).all():
        return False
    a, b, c = (corners[:, corner] - point for corner in range(3))
    la, lb, lc = (np.linalg.norm(side, axis=1) for side in (a, b, c))
    volume = np.einsum("fi,fi->f", a, np.cross(b, c))
    cosines = (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
    return bool(np.arctan2(volume, la * lb * lc + cosines).sum() / (2 * np.pi) > 0.5)


def _volumes(faces: Integers, vertices: Floats, part: Integers) -> Floats:
    """Signed volume of each part, seen from its own middle, so that it means something for open surfaces too."""
    corners = vertices[faces].astype(np.float64)
    size = np.maximum(np.bincount(part), 1)
    centre = np.stack([np.bincount(part, corners.mean(axis=1)[:, axis]) / size for axis in range(3)], axis=-1)
    a, b, c = (corners[:, corner] - centre[part] for corner in range(3))
    return np.asarray(np.bincount(part, np.einsum("fi,fi->f", a, np.cross(b, c)) / 6), dtype=np.float64)
