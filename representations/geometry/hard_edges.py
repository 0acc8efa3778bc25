"""Normals of corners for surfaces with hard edges, where a file says nothing about them."""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from representations.geometry.mesh import Floats, Integers, Mesh
from representations.geometry.winding import edges_of

HARD = math.radians(40.0)
"""Edges that bend more than this look hard."""

MOST_FACES = 500_000
"""Larger meshes are taken for scans, whose faces are small: smooth everywhere."""


def hard_edged_normals(mesh: Mesh, angle: float = HARD) -> Floats | None:
    """Each corner's normal: the mean, by area, over the faces that are reached round its vertex across soft edges.

    An edge is soft if it belongs to exactly two faces, which wind the same way and bend by less than the angle. The
    time is in proportion to the faces, however many of them meet at one vertex.

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
    edges = edges_of(mesh.faces, len(mesh.vertices))
    bend = (unit[edges.left] * unit[edges.right]).sum(axis=1)
    soft = edges.agree & (bend > math.cos(angle))
    if soft.all() and not edges.crowded:
        return None
    corners = 3 * len(mesh.faces)
    fan = _fans(mesh.faces, edges.left[soft], edges.right[soft])
    total = np.stack(
        [np.bincount(fan, weights=np.repeat(mesh.face_normals[:, axis], 3), minlength=corners) for axis in range(3)],
        axis=-1,
    )[fan]
    length = np.linalg.norm(total, axis=1, keepdims=True)
    normals = np.where(length > 0, total / np.where(length > 0, length, 1), np.repeat(unit, 3, axis=0))
    return normals.reshape(-1, 3, 3)


def _fans(faces: Integers, left: Integers, right: Integers) -> Integers:
    """(3F,) the number of each corner's fan: corners at one vertex whose faces are joined by the pairs (P,)."""
    links = []
    for here in range(3):
        for there in range(3):
            same = faces[left, here] == faces[right, there]
            links.append(np.stack([3 * left[same] + here, 3 * right[same] + there]))
    rows, columns = np.concatenate(links, axis=1)
    size = faces.size
    graph = scipy.sparse.coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(size, size))
    return np.asarray(scipy.sparse.csgraph.connected_components(graph, directed=False)[1])
