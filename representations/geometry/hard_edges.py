"""Normals of corners for surfaces with hard edges, where a file says nothing about them."""

from __future__ import annotations

import math

import numpy as np

from representations.geometry.mesh import Floats, Mesh

HARD = math.radians(40.0)
"""Edges that bend more than this look hard."""

MOST_FACES = 500_000
"""Larger meshes are taken for scans, whose faces are small: smooth everywhere."""


def hard_edged_normals(mesh: Mesh, angle: float = HARD) -> Floats | None:
    """Each corner's normal: the mean, by area, over those faces at its vertex that bend away from its own by less.

    Args:
        mesh: finite.
        angle: in radians.

    Returns:
        (F, 3, 3) unit normals; None if every edge is soft, or the mesh is too large for hard edges to matter.
    """
    if len(mesh.faces) > MOST_FACES:
        return None
    areas = np.maximum(np.linalg.norm(mesh.face_normals, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    unit = mesh.face_normals / areas
    corner, beside = _corners_and_faces_beside(mesh)
    own = corner // 3
    soft = (unit[own] * unit[beside]).sum(axis=1) > math.cos(angle)
    if soft.all():
        return None
    total = np.stack(
        [
            np.bincount(corner[soft], weights=mesh.face_normals[beside[soft], axis], minlength=3 * len(mesh.faces))
            for axis in range(3)
        ],
        axis=-1,
    )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    normals = np.where(length > 0, total / np.where(length > 0, length, 1), np.repeat(unit, 3, axis=0))
    return normals.reshape(-1, 3, 3)


def _corners_and_faces_beside(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of a corner (3 f + c) and a face that has the same vertex, the corner's own among them."""
    vertex = mesh.faces.reshape(-1)
    order = np.argsort(vertex, kind="stable")
    count = np.bincount(vertex, minlength=len(mesh.vertices))
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    repeats = count[vertex]
    corner = np.repeat(np.arange(len(vertex)), repeats)
    within = np.arange(len(corner)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    return corner, order[first[vertex[corner]] + within] // 3
