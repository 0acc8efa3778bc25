"""Tangent spaces as MikkTSpace defines them, which glTF, Blender and game engines agree on.

Mikkelsen (2008), "Simulation of wrinkled surfaces revisited". A normal map means the same surface to two programs only
if both build the same frame (tangent, bitangent, normal) at every point; so the frames that a map was baked with are
written into the file.
"""

from __future__ import annotations

import numpy as np

from representations.geometry.mesh import Floats, Integers


def vertex_tangents(positions: Floats, normals: Floats, uv: Floats, faces: Integers) -> Floats:
    """Unit tangents, perpendicular to the normals, of vertices that are already split where anything differs.

    At each corner the direction in which u grows on the face, made perpendicular to the normal, counts by the corner's
    angle, which is measured in the normal's plane too.

    Args:
        positions: (V, 3).
        normals: (V, 3) of unit length.
        uv: (V, 2), v upwards.
        faces: (F, 3). The faces around a vertex must agree on whether the texture is mirrored.

    Returns:
        (V, 4): the tangent and the sign w, -1 where the texture is mirrored; the bitangent is w (normal x tangent).
    """
    along_u, mirrored = _directions_of_u(positions, uv, faces)
    total = np.zeros_like(positions)
    sign = np.ones(len(positions))
    for corner in range(3):
        here = faces[:, corner]
        normal = normals[here]
        tangent = _unit(_in_plane(along_u, normal))
        back, ahead = (
            _unit(_in_plane(positions[faces[:, (corner + step) % 3]] - positions[here], normal)) for step in (2, 1)
        )
        angle = np.arccos(np.clip((back * ahead).sum(axis=1), -1, 1))
        np.add.at(total, here, angle[:, None] * tangent)
        sign[here[mirrored]] = -1
    # Where nothing is known (no area in the texture), any direction in the plane does.
    lost = np.linalg.norm(total, axis=1) < 1e-12
    axis = np.eye(3)[np.abs(normals).argmin(axis=1)]
    total[lost] = _in_plane(axis, normals)[lost]
    return np.concatenate([_unit(total), sign[:, None]], axis=1)


def _directions_of_u(positions: Floats, uv: Floats, faces: Integers) -> tuple[Floats, np.ndarray]:
    """(F, 3) unit directions in which u grows on each face, 0 where the face has no area in the texture; mirrored."""
    a, b, c = (positions[faces[:, corner]] for corner in range(3))
    st, su = uv[faces[:, 1]] - uv[faces[:, 0]], uv[faces[:, 2]] - uv[faces[:, 0]]
    area = st[:, 0] * su[:, 1] - st[:, 1] * su[:, 0]
    # d position / d u, by Cramer's rule; dividing by the area leaves only its sign after normalising.
    direction = su[:, 1:] * (b - a) - st[:, 1:] * (c - a)
    return _unit(direction * np.sign(area)[:, None]), area < 0


def _in_plane(vectors: Floats, normals: Floats) -> Floats:
    return vectors - (vectors * normals).sum(axis=1, keepdims=True) * normals


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
