"""Which point of a surface is nearest? Exact, through a tree of boxes, for many points that lie near each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from representations.compilation import Array, compiled, inlined
from representations.geometry.box_tree import DEEPEST, leaf_count, morton_codes, over_tree
from representations.geometry.mesh import Floats, Mesh
from representations.geometry.vectors import Vector, dot, minus, vector
from representations.threads import run_parts, split

_LEAF_FACES = 4


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
        order = np.argsort(morton_codes(mesh.vertices[mesh.faces].mean(axis=1)), kind="stable")
        leaves = leaf_count(len(order), _LEAF_FACES)
        # Every leaf holds as many faces; the last face fills up the rest.
        padded = np.concatenate([order, np.full(leaves * _LEAF_FACES - len(order), order[-1])])
        self._face = padded.astype(np.int64)
        self._corners = mesh.vertices[mesh.faces[padded]].astype(np.float64)
        self._normals = mesh.face_normals[padded].astype(np.float64)
        self._low, self._high = (
            over_tree(reduce, self._corners.reshape(leaves, -1, 3)) for reduce in (np.minimum, np.maximum)
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
    ab, ac = minus(b, a), minus(c, a)
    to_a, to_b, to_c = minus(point, a), minus(point, b), minus(point, c)
    d1, d2 = dot(ab, to_a), dot(ac, to_a)
    if d1 <= 0.0 and d2 <= 0.0:
        return 1.0, 0.0, 0.0
    d3, d4 = dot(ab, to_b), dot(ac, to_b)
    if d3 >= 0.0 and d4 <= d3:
        return 0.0, 1.0, 0.0
    d5, d6 = dot(ab, to_c), dot(ac, to_c)
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
    stack = np.empty(DEEPEST, dtype=np.int64)
    for p in range(points.shape[0]):
        point, ahead = vector(points, p), vector(facing, p)
        best = limit * limit
        guess = place_out[p - 1] if p > 0 else -1
        stack[0], height = 1, 1
        while height > 0 or guess >= 0:
            if guess >= 0:  # the leaf of the point before
                node, guess = leaves + guess // _LEAF_FACES, -1
            else:
                height -= 1
                node = stack[height]
                if _box_distance(point, vector(low, node), vector(high, node)) >= best:
                    continue
            if node < leaves:
                near, far = 2 * node, 2 * node + 1
                to_near = _box_distance(point, vector(low, near), vector(high, near))
                to_far = _box_distance(point, vector(low, far), vector(high, far))
                if to_far < to_near:
                    near, far = far, near
                stack[height], stack[height + 1] = far, near  # the nearer one is looked at first
                height += 2
                continue
            for number in range((node - leaves) * _LEAF_FACES, (node - leaves + 1) * _LEAF_FACES):
                if must_face and dot(vector(normals, number), ahead) <= 0.0:
                    continue
                a, b, c = vector(corners[number], 0), vector(corners[number], 1), vector(corners[number], 2)
                weights = _triangle_weights(point, a, b, c)
                apart = minus(_weighted(weights, a, b, c), point)
                squared = dot(apart, apart)
                if squared < best:
                    best = squared
                    place_out[p] = number
                    barycentric_out[p, 0], barycentric_out[p, 1], barycentric_out[p, 2] = weights
                    distance_out[p] = np.sqrt(squared)
