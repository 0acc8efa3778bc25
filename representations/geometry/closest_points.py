"""Which point of a surface is nearest? Exact, through a tree of boxes, for many points that lie near each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from representations.compilation import Array, compiled, inlined
from representations.geometry.mesh import Floats, Mesh
from representations.threads import run_parts, split

_LEAF_FACES = 4
_DEEPEST = 64
"""More nodes than a depth-first walk can have put aside: a level's depth grows with the logarithm of the faces."""

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class ClosestPoints:
    """Points of a surface.

    Attributes:
        face: (P,) index of the face on which each lies; -1 where none was found.
        barycentric: (P, 3) weights of that face's corners, which sum to 1; 0 where none was found.
        distance: (P,) from the point that was asked for; infinite where none was found.
    """

    face: NDArray[np.int64]
    barycentric: Floats
    distance: Floats

    def interpolated(self, faces: Array, values: Floats) -> Floats:
        """(P, C) values (V, C) of the surface's vertices at the points."""
        return np.einsum("pk,pkc->pc", self.barycentric, values[faces[self.face]])


class SurfaceSearch:
    """A mesh, prepared for questions.

    Faces in Morton order (Morton 1966; their centres' coordinates with interleaved bits) have near neighbours beside
    them, so that a complete binary tree over them needs no building: node n has the children 2n and 2n + 1.

    Args:
        mesh: at least one face.
    """

    def __init__(self, mesh: Mesh):
        order = np.argsort(_morton(mesh.vertices[mesh.faces].mean(axis=1)), kind="stable")
        leaves = 1 << max(0, int(np.ceil(np.log2(max(1, len(order) / _LEAF_FACES)))))
        # Every leaf holds as many faces; the last face fills up the rest.
        padded = np.concatenate([order, np.full(leaves * _LEAF_FACES - len(order), order[-1])])
        self._face = padded.astype(np.int64)
        self._corners = mesh.vertices[mesh.faces[padded]].astype(np.float64)
        self._normals = mesh.face_normals[padded].astype(np.float64)
        self._low, self._high = (
            _over_tree(reduce, self._corners.reshape(leaves, -1, 3)) for reduce in (np.minimum, np.maximum)
        )

    def closest(self, points: Floats, facing: Floats | None = None, limit: float = np.inf) -> ClosestPoints:
        """The nearest point of the surface for each point.

        Args:
            points: (P, 3); quickest when neighbours in the array are neighbours in space.
            facing: (P, 3) directions; only faces that look the same way (a positive cosine) count, so that a thin wall
                is not taken for its other side. None: all faces count.
            limit: nothing farther away is found.
        """
        points = np.ascontiguousarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 3:
            raise ValueError(f"points must have the shape (P, 3), not {points.shape}")
        if facing is not None and facing.shape != points.shape:
            raise ValueError(f"there must be a direction for each of {len(points)} points, not {facing.shape}")
        if not bool(np.isfinite(points).all()):
            raise ValueError("some points are not finite")
        directions = points if facing is None else np.ascontiguousarray(facing, dtype=np.float64)
        place = np.full(len(points), -1, dtype=np.int64)
        barycentric = np.zeros((len(points), 3))
        distance = np.full(len(points), np.inf)
        tree = (self._corners, self._normals, self._low, self._high)
        parts = split(len(points))

        def work(_: int, part: slice) -> None:
            _search(
                points[part],
                directions[part],
                facing is not None,
                limit,
                *tree,
                place[part],
                barycentric[part],
                distance[part],
            )

        run_parts(work, parts)
        return ClosestPoints(np.where(place >= 0, self._face[place], -1), barycentric, distance)


def _morton(points: Floats) -> NDArray[np.int64]:
    """(P,) 60-bit Morton codes of points within their own bounding cube."""
    low = points.min(axis=0)
    cells = ((points - low) / (np.ptp(points, axis=0).max() or 1.0) * (2**20 - 1)).astype(np.int64)
    code = np.zeros(len(points), dtype=np.int64)
    for bit in range(20):
        for axis in range(3):
            code |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return code


def _over_tree(reduce: np.ufunc, leaves: Floats) -> Floats:
    """(2L, 3) the reduction over each node's points; row 0 is unused, rows L to 2L - 1 are the leaves."""
    count = len(leaves)
    nodes = np.zeros((2 * count, 3))
    nodes[count:] = reduce.reduce(leaves, axis=1)
    level = count // 2
    while level:
        nodes[level : 2 * level] = reduce(nodes[2 * level : 4 * level : 2], nodes[2 * level + 1 : 4 * level : 2])
        level //= 2
    return nodes


@inlined
def _vector(array: Array, row: int) -> Vector:
    return array[row, 0], array[row, 1], array[row, 2]


@inlined
def _minus(a: Vector, b: Vector) -> Vector:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@inlined
def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inlined
def _weighted(weights: Vector, a: Vector, b: Vector, c: Vector) -> Vector:
    return (
        weights[0] * a[0] + weights[1] * b[0] + weights[2] * c[0],
        weights[0] * a[1] + weights[1] * b[1] + weights[2] * c[1],
        weights[0] * a[2] + weights[1] * b[2] + weights[2] * c[2],
    )


@inlined
def _box_distance(point: Vector, low: Vector, high: Vector) -> float:
    """Squared distance from a point to a box."""
    x = max(low[0] - point[0], point[0] - high[0], 0.0)
    y = max(low[1] - point[1], point[1] - high[1], 0.0)
    z = max(low[2] - point[2], point[2] - high[2], 0.0)
    return x * x + y * y + z * z


@inlined
def _triangle_weights(point: Vector, a: Vector, b: Vector, c: Vector) -> Vector:
    """Barycentric coordinates of a triangle's nearest point (Ericson, "Real-Time Collision Detection", 5.1.5)."""
    ab, ac = _minus(b, a), _minus(c, a)
    to_a, to_b, to_c = _minus(point, a), _minus(point, b), _minus(point, c)
    d1, d2 = _dot(ab, to_a), _dot(ac, to_a)
    if d1 <= 0.0 and d2 <= 0.0:
        return 1.0, 0.0, 0.0
    d3, d4 = _dot(ab, to_b), _dot(ac, to_b)
    if d3 >= 0.0 and d4 <= d3:
        return 0.0, 1.0, 0.0
    d5, d6 = _dot(ab, to_c), _dot(ac, to_c)
    if d6 >= 0.0 and d5 <= d6:
        return 0.0, 0.0, 1.0
    vc = d1 * d4 - d3 * d2
    if vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        return 1.0 - d1 / (d1 - d3), d1 / (d1 - d3), 0.0
    vb = d5 * d2 - d1 * d6
    if vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        return 1.0 - d2 / (d2 - d6), 0.0, d2 / (d2 - d6)
    va = d3 * d6 - d5 * d4
    if va <= 0.0 and d4 - d3 >= 0.0 and d5 - d6 >= 0.0:
        along = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        return 0.0, 1.0 - along, along
    total = va + vb + vc
    return va / total, vb / total, vc / total


@compiled
def _search(
    points: Array,
    facing: Array,
    must_face: bool,
    limit: float,
    corners: Array,
    normals: Array,
    low: Array,
    high: Array,
    place_out: Array,
    barycentric_out: Array,
    distance_out: Array,
) -> None:
    """Nearest faces; each search begins with the bound that the answer for the point before gives."""
    leaves = low.shape[0] // 2
    stack = np.empty(_DEEPEST, dtype=np.int64)
    for p in range(points.shape[0]):
        point, ahead = _vector(points, p), _vector(facing, p)
        best = limit * limit
        guess = place_out[p - 1] if p > 0 else -1
        stack[0], height = 1, 1
        while height > 0 or guess >= 0:
            if guess >= 0:  # the leaf of the point before
                node, guess = leaves + guess // _LEAF_FACES, -1
            else:
                height -= 1
                node = stack[height]
                if _box_distance(point, _vector(low, node), _vector(high, node)) >= best:
                    continue
            if node < leaves:
                near, far = 2 * node, 2 * node + 1
                to_near = _box_distance(point, _vector(low, near), _vector(high, near))
                to_far = _box_distance(point, _vector(low, far), _vector(high, far))
                if to_far < to_near:
                    near, far = far, near
                stack[height], stack[height + 1] = far, near  # the nearer one is looked at first
                height += 2
                continue
            for number in range((node - leaves) * _LEAF_FACES, (node - leaves + 1) * _LEAF_FACES):
                if must_face and _dot(_vector(normals, number), ahead) <= 0.0:
                    continue
                a, b, c = _vector(corners[number], 0), _vector(corners[number], 1), _vector(corners[number], 2)
                weights = _triangle_weights(point, a, b, c)
                apart = _minus(_weighted(weights, a, b, c), point)
                squared = _dot(apart, apart)
                if squared < best:
                    best = squared
                    place_out[p] = number
                    barycentric_out[p, 0], barycentric_out[p, 1], barycentric_out[p, 2] = weights
                    distance_out[p] = np.sqrt(squared)
