"""Faces of any number of corners, cut into triangles and put together again."""

from __future__ import annotations

import itertools

import mapbox_earcut
import numpy as np

from representations.geometry.least_area import least_area_triangles, tries
from representations.geometry.mesh import Floats, Integers

_MOST_TRIES = 2e9
"""For all polygons of a file that have no ears: ten seconds. What is left then is cut into fans."""


class PolygonError(ValueError):
    """Faces that cannot be cut; the message says why."""


def triangulated(positions: Floats, corners: Integers, sizes: Integers, most_faces: int) -> tuple[Integers, Integers]:
    """Triangles of polygons: fans where these are convex, else by cutting off ears, where that gives less area.

    Where ears leave a part of a polygon, since it touches or crosses itself or has corners on one line, it is cut so
    that there is the least area in all.

    Args:
        positions: (V, 3).
        corners: (C,) the vertex of each corner, polygon after polygon.
        sizes: (P,) corners of each polygon; those with fewer than three are dropped.
        most_faces: more triangles are refused.

    Returns:
        (F, 3) places in `corners`, and (F,) the polygon of each triangle, in the polygons' order.

    Raises:
        PolygonError: if there are more than `most_faces` triangles.
    """
    count = int(np.maximum(sizes - 2, 0).sum())
    if count > most_faces:
        raise PolygonError(f"it has {count:,} triangles; at most {most_faces:,} are read")
    first = np.cumsum(sizes) - sizes
    triangles, owners, left = [], [], _MOST_TRIES
    for size in np.unique(sizes[sizes >= 3]).tolist():
        which = np.flatnonzero(sizes == size)
        places = first[which][:, None] + np.arange(size)
        fans = np.stack([np.zeros(size - 2, int), np.arange(1, size - 1), np.arange(2, size)], axis=-1)
        cut = places[:, fans]  # (polygons, size - 2, 3)
        if size > 3:
            points = positions[corners[places]]
            for polygon in np.flatnonzero(~_convex(points)):
                ears = _ears(points[polygon])
                if ears is None and tries(size) < left:
                    ears = least_area_triangles(points[polygon])
                    left -= tries(size)
                # Of a polygon that is not flat, ears in the plane may be large folds in space.
                if ears is not None and _area(points[polygon], ears) < _area(points[polygon], fans):
                    cut[polygon] = places[polygon][ears]
        triangles.append(cut.reshape(-1, 3))
        owners.append(np.repeat(which, size - 2))
    if not triangles:
        return np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return np.concatenate(triangles)[order], owner[order]


def outlines(corners: Integers, polygon_of: Integers) -> list[list[int]]:
    """The polygons that `triangulated` has cut, or the triangles themselves where these do not make one.

    Args:
        corners: (F, 3, K) numbers that say what each corner is; the same corner of two triangles has the same.
        polygon_of: (F,) the polygon of each triangle; those of one follow each other.

    Returns:
        Of each polygon the places in the F * 3 corners, counter-clockwise as its triangles.
    """
    _, number = np.unique(corners.reshape(-1, corners.shape[-1]), axis=0, return_inverse=True)
    triangles = number.reshape(-1, 3).tolist()
    starts = np.flatnonzero(np.diff(polygon_of, prepend=-1, append=-1)).tolist()
    found = []
    for start, end in itertools.pairwise(starts):
        loop = _outline(triangles[start:end])
        places = {corner: 3 * (start + face) + at for face, three in enumerate(triangles[start:end])
                  for at, corner in enumerate(three)}  # fmt: skip
        found += (
            [[places[corner] for corner in loop]]
            if loop
            else [[3 * face, 3 * face + 1, 3 * face + 2] for face in range(start, end)]
        )
    return found


def _outline(triangles: list[list[int]]) -> list[int]:
    """The corners round some triangles that are one polygon without holes, else nothing."""
    edges = {(three[at], three[(at + 1) % 3]) for three in triangles for at in range(3)}
    following = {a: b for a, b in edges if (b, a) not in edges}
    loop = [triangles[0][0]]
    while following and len(loop) <= len(following):
        ahead = following.get(loop[-1])
        if ahead is None or ahead == loop[0]:
            break
        loop.append(ahead)
    is_whole = len(edges) == 3 * len(triangles) and len(loop) == len(following) == len(triangles) + 2
    return loop if is_whole and following.get(loop[-1]) == loop[0] else []


def _convex(points: Floats) -> np.ndarray:
    """(P,) whether polygons (P, N, 3) bend the same way at all corners, and go round once."""
    with np.errstate(all="ignore"):
        ahead, back = np.roll(points, -1, axis=1) - points, points - np.roll(points, 1, axis=1)
        bends = np.cross(back, ahead)
        normal = np.cross(points[:, 1:-1] - points[:, :1], points[:, 2:] - points[:, :1])
        total = normal.sum(axis=1, keepdims=True)
        size = np.abs(points - points[:, :1]).max(axis=(1, 2))[:, None] ** 2
        unit = total / np.linalg.norm(total, axis=2, keepdims=True)
        flat = 1e-9 * size
        bend = (bends * unit).sum(axis=2)
        return ~np.isfinite(unit).all(axis=(1, 2)) | (
            (bend >= -flat).all(axis=1) & ((normal * unit).sum(axis=2) >= -flat).all(axis=1)
        )


def _area(points: Floats, triangles: Integers) -> float:
    """The area of triangles (T, 3) of points (N, 3)."""
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())


def _ears(points: Floats) -> Integers | None:
    """(N - 2, 3) triangles of one polygon (N, 3); None if they would leave some of its corners out."""
    if not np.isfinite(points).all():
        return None
    centred = points - points.mean(axis=0)
    normal = np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0)
    axis = int(np.abs(normal).argmax())
    across, up = [(1, 2), (2, 0), (0, 1)][axis]
    extent = np.abs(centred).max() or 1.0
    flat = np.ascontiguousarray(centred[:, [across, up]] / extent)
    ears = np.asarray(mapbox_earcut.triangulate_float64(flat, np.array([len(flat)], np.uint32)), np.int64).reshape(
        -1, 3
    )
    if len(ears) != len(points) - 2:
        return None
    a, b, c = (flat[ears[:, corner]] for corner in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    backwards = area * np.sign(normal[axis]) < 0
    return np.where(backwards[:, None], ears[:, ::-1], ears)
