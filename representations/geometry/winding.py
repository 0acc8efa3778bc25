"""Which way faces turn: consistently with their neighbours, and outwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from numpy.typing import NDArray

from representations.compilation import Array, compiled
from representations.geometry.box_tree import BoxTree
from representations.geometry.mesh import Floats, Integers
from representations.geometry.vectors import cross, dot, minus, vector

Flags = NDArray[np.bool_]

_MOST_LOOKED_AT = 64
"""Parts inside the box around another one that are tried, whether they lie inside it."""

_AT_ONCE = 64
"""Boxes around a part that are asked for at once."""

_NO_VOLUME = 1e-9
"""Of the cube of a part's size: less is what rounding makes of a front and a back that lie in one another."""


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


def at_rim(faces: Integers, part: Integers, vertex_count: int) -> Flags:
    """(F,) whether a face has an edge that it shares with no other of its part (F,), whatever else meets there."""
    start, end = faces.reshape(-1).astype(np.int64), np.roll(faces, -1, axis=1).reshape(-1).astype(np.int64)
    edge = np.unique(np.minimum(start, end) * vertex_count + np.maximum(start, end), return_inverse=True)[1].reshape(-1)
    keys = edge * (int(part.max(initial=0)) + 1) + np.repeat(part, 3)
    _, number, count = np.unique(keys, return_inverse=True, return_counts=True)
    return np.asarray((count[number.reshape(-1)] == 1).reshape(-1, 3).any(axis=1))


def faces_to_flip(faces: Integers, vertices: Floats, normals: Floats | None = None, rooms: bool = True) -> Flags:
    """Which faces must be turned round so that neighbours agree, and what is inside out is not.

    Neighbours are faces that share an edge with no third face. Each face has two nodes, "as it is" and "turned"; an
    edge of the mesh joins the nodes that agree. The connected components of this double cover are the consistent
    windings, two for each part of the surface, and turning the part leads from one to the other. (A part that cannot
    be wound consistently, like a Moebius strip, has one component only and is left as it is.)

    A part whose faces agree already is left as it is if it is open, since an open surface has no outside, or if it
    encloses nothing. Open are also the faces of a sheet that has a front and a back of its own: four meet at each edge,
    so that no two of them are neighbours. If a part is closed and winds inwards it is turned, unless

    * it lies inside another closed part: a cavity;
    * it has another part inside: a room, or the sky;
    * every closed part winds inwards, and `rooms` says that this may be a room that is seen from inside;
    * the normals point inwards too, and `rooms`: it is meant so.

    A part whose faces disagree is wound as most of its area is; a closed one outwards.

    Args:
        faces: (F, 3).
        vertices: (V, 3).
        normals: (F, 3, 3) of the faces' corners if a file says so; None.
        rooms: whether the winding is known to say which side is the front.
    """
    count = len(faces)
    edges = edges_of(faces, len(vertices))
    swap = np.where(edges.agree, 0, count)
    rows = np.concatenate([edges.left, edges.left + count])
    columns = np.concatenate([edges.right + swap, edges.right + count - swap])
    graph = scipy.sparse.coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(2 * count, 2 * count))
    _, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
    as_is, turned = labels[:count], labels[count:]
    part = np.unique(np.minimum(as_is, turned), return_inverse=True)[1].reshape(-1)
    parts = _Parts(faces, vertices, part, as_is > turned)
    flip = parts.against_most & (as_is != turned)
    closed = ~np.isin(np.arange(parts.count), part[at_rim(faces, part, len(vertices))])
    agreed = ~np.isin(np.arange(parts.count), part[flip])
    wound = np.where(flip[:, None], faces[:, ::-1], faces)
    volumes = _volumes(wound, vertices, part)
    inwards = closed & (volumes < -_NO_VOLUME * (parts.high - parts.low).max(axis=1, initial=0) ** 3)
    if normals is not None:
        backed = _backing(wound, vertices, normals, part)
        meant = agreed & (backed > 0) & rooms
    else:
        backed, meant = np.zeros(parts.count), np.zeros(parts.count, dtype=bool)
    doubtful = inwards & agreed & ~meant & ~(backed < 0)
    turn = inwards & ~meant
    if rooms and not (closed & (volumes > 0)).any() and not (inwards & ~agreed).any():
        turn &= ~doubtful
    asked = np.flatnonzero(turn & agreed & ~(backed < 0))
    turn[asked] = ~parts.are_inside_or_around(asked, closed, volumes, wound)
    return flip ^ (turn[part] & (as_is != turned))


class _Parts:
    """The parts of a surface, and how they lie in each other."""

    def __init__(self, faces: Integers, vertices: Floats, part: Integers, second: Flags) -> None:
        self.vertices, self.part = vertices, part
        self.count = int(part.max(initial=-1)) + 1
        corners = vertices[faces]
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        shares = [np.bincount(part, np.where(chosen, area, 0), self.count) for chosen in (~second, second)]
        self.against_most = second != (shares[1] > shares[0])[part]
        self.low, self.high = np.full((self.count, 3), np.inf), np.full((self.count, 3), -np.inf)
        np.minimum.at(self.low, part, corners.min(axis=1))
        np.maximum.at(self.high, part, corners.max(axis=1))
        self.order = np.argsort(part, kind="stable")
        self.start = np.concatenate([[0], np.cumsum(np.bincount(part, minlength=self.count))])

    def of(self, number: int) -> Integers:
        """The faces of a part."""
        return self.order[self.start[number] : self.start[number + 1]]

    def are_inside_or_around(self, numbers: Integers, closed: Flags, volumes: Floats, wound: Integers) -> Flags:
        """Whether each of some parts lies inside a closed one that winds outwards, or has any part inside."""
        shells = np.flatnonzero(closed & (volumes > 0))
        around, every = BoxTree(self.low[shells], self.high[shells]), BoxTree(self.low, self.high)
        firsts = wound[self.order[self.start[:-1]], 0]
        return np.array(
            [
                self._is_inside(number, shells, around, firsts, wound) or self._is_around(number, every, firsts, wound)
                for number in numbers.tolist()
            ],
            dtype=bool,
        )

    def _is_inside(self, number: int, shells: Integers, tree: BoxTree, firsts: Integers, wound: Integers) -> bool:
        """Whether a part lies inside one of the shells, of which ``tree`` holds the boxes."""
        last = -1
        while True:
            found = tree.around(self.low[number], self.high[number], _AT_ONCE, after=last)
            for shell in shells[found].tolist():
                if is_inside(self.vertices[firsts[number]], wound, self.of(shell), self.vertices):
                    return True
            if len(found) < _AT_ONCE:
                return False
            last = int(found[-1])

    def _is_around(self, number: int, tree: BoxTree, firsts: Integers, wound: Integers) -> bool:
        """Whether a part that winds inwards has another inside."""
        found = tree.inside(self.low[number], self.high[number], _MOST_LOOKED_AT)
        own = self.of(number)
        points = self.vertices[firsts[found]]
        return any(is_inside(point, wound, own, self.vertices, inwards=True) for point in points)


def _backing(faces: Integers, vertices: Floats, normals: Floats, part: Integers) -> Floats:
    """(parts,) the area of faces whose normals point to their front, less that of those that point to their back."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    front = np.cross(b - a, c - a)
    facing = (front * normals.mean(axis=1)).sum(axis=1)
    return np.asarray(np.bincount(part, np.nan_to_num(np.sign(facing) * np.linalg.norm(front, axis=1))))


def is_inside(point: Floats, faces: Integers, chosen: Integers, vertices: Floats, inwards: bool = False) -> bool:
    """Whether a point (3,) lies inside the surface of some faces, by the solid angle that it fills.

    Args:
        point: to look from.
        faces: (F, 3).
        chosen: (S,) the faces of the surface.
        vertices: (V, 3).
        inwards: whether it winds inwards.
    """
    angle = _solid_angle(np.asarray(point, np.float64), faces, chosen, vertices)
    return bool((-angle if inwards else angle) > 2 * np.pi)


@compiled
def _solid_angle(point: Array, faces: Array, chosen: Array, vertices: Array) -> float:
    """That of some faces, 4 pi for a closed surface around the point (Van Oosterom and Strackee 1983)."""
    eye, angle = (point[0], point[1], point[2]), 0.0
    for face in chosen:
        a, b, c = (
            minus(vector(vertices, faces[face, 0]), eye),
            minus(vector(vertices, faces[face, 1]), eye),
            minus(vector(vertices, faces[face, 2]), eye),
        )
        la, lb, lc = np.sqrt(dot(a, a)), np.sqrt(dot(b, b)), np.sqrt(dot(c, c))
        cosines = dot(a, b) * lc + dot(b, c) * la + dot(c, a) * lb
        angle += 2 * np.arctan2(dot(a, cross(b, c)), la * lb * lc + cosines)
    return angle


def _volumes(faces: Integers, vertices: Floats, part: Integers) -> Floats:
    """Signed volume of each part, seen from its own middle, so that it means something for open surfaces too."""
    corners = vertices[faces].astype(np.float64)
    size = np.maximum(np.bincount(part), 1)
    centre = np.stack([np.bincount(part, corners.mean(axis=1)[:, axis]) / size for axis in range(3)], axis=-1)
    a, b, c = (corners[:, corner] - centre[part] for corner in range(3))
    return np.asarray(np.bincount(part, np.einsum("fi,fi->f", a, np.cross(b, c)) / 6), dtype=np.float64)
