"""The signed distance to a mesh at the nodes of a grid: negative inside, zero on the surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from representations.compilation import Array, compiled, inlined
from representations.mesh import Mesh


def signed_distances(mesh: Mesh, nodes: int, band: int = 3) -> NDArray[np.float32]:
    """The distance to the nearest face, with the sign of a majority.

    What is inside is counted along grid lines in all three directions: a node is inside if at least two of the lines
    through it have entered the mesh more often than left it before they get there. So a closed mesh, also of
    overlapping parts, is answered exactly, and one with small holes is mended.

    Args:
        mesh: within [-1, 1]^3; its faces wind counter-clockwise seen from outside.
        nodes: N along each side of the grid over [-1, 1]^3.
        band: cells around the surface in which distances are exact; farther away they are cut off at the band's width.

    Returns:
        (N, N, N) indexed [z, y, x].
    """
    vertices, faces = mesh.vertices.astype(np.float64), mesh.faces.astype(np.int64)
    # In units of cells, from 0 to N - 1.
    corners = np.ascontiguousarray(((vertices + 1) * (nodes - 1) / 2)[faces])
    squared = np.full((nodes, nodes, nodes), float(band) ** 2)
    _splat_distances(corners, band, squared)
    votes = np.zeros((nodes, nodes, nodes), np.int8)
    for axis in range(3):
        # The coordinates are turned round, so that the lines always run along the first of them.
        order = [axis, (axis + 1) % 3, (axis + 2) % 3]
        steps = np.zeros((nodes, nodes, nodes), np.int32)
        _count_entries(np.ascontiguousarray(corners[:, :, order]), steps)
        turned = np.cumsum(steps, axis=2, dtype=np.int32) > 0  # [third, second, first]
        votes += np.moveaxis(turned, [2, 1, 0], [2 - order[0], 2 - order[1], 2 - order[2]])
    distance = np.sqrt(squared) * (2 / (nodes - 1))
    return np.where(votes >= 2, -distance, distance).astype(np.float32)


@compiled
def _splat_distances(corners: Array, band: int, squared: Array) -> None:
    """Each face (F, 3, 3) lowers the squared distances (N, N, N) of the nodes around it, in units of cells."""
    nodes = squared.shape[0]
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for f in range(corners.shape[0]):
        a, b, c = corners[f, 0], corners[f, 1], corners[f, 2]
        for axis in range(3):
            low[axis] = max(0, int(np.ceil(min(a[axis], b[axis], c[axis]) - band)))
            high[axis] = min(nodes - 1, int(np.floor(max(a[axis], b[axis], c[axis]) + band)))
        for z in range(low[2], high[2] + 1):
            for y in range(low[1], high[1] + 1):
                for x in range(low[0], high[0] + 1):
                    found = _squared_distance(float(x), float(y), float(z), a, b, c)
                    if found < squared[z, y, x]:
                        squared[z, y, x] = found


@inlined
def _dot(ux: float, uy: float, uz: float, vx: float, vy: float, vz: float) -> float:
    return ux * vx + uy * vy + uz * vz


@compiled
def _squared_distance(x: float, y: float, z: float, a: Array, b: Array, c: Array) -> float:
    """From a point to a triangle, by the region of the triangle's plane that it lies over (Ericson 2005, 5.1.5)."""
    abx, aby, abz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    acx, acy, acz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    apx, apy, apz = x - a[0], y - a[1], z - a[2]
    d1, d2 = _dot(abx, aby, abz, apx, apy, apz), _dot(acx, acy, acz, apx, apy, apz)
    bpx, bpy, bpz = x - b[0], y - b[1], z - b[2]
    d3, d4 = _dot(abx, aby, abz, bpx, bpy, bpz), _dot(acx, acy, acz, bpx, bpy, bpz)
    cpx, cpy, cpz = x - c[0], y - c[1], z - c[2]
    d5, d6 = _dot(abx, aby, abz, cpx, cpy, cpz), _dot(acx, acy, acz, cpx, cpy, cpz)
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    v, w = 0.0, 0.0  # the nearest point is a + v ab + w ac
    if d1 <= 0 and d2 <= 0:
        pass
    elif d3 >= 0 and d4 <= d3:
        v = 1.0
    elif d6 >= 0 and d5 <= d6:
        w = 1.0
    elif vc <= 0 and d1 >= 0 and d3 <= 0:
        v = d1 / (d1 - d3)
    elif vb <= 0 and d2 >= 0 and d6 <= 0:
        w = d2 / (d2 - d6)
    elif va <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        w = (d4 - d3) / (d4 - d3 + d5 - d6)
        v = 1 - w
    else:
        v, w = vb / (va + vb + vc), vc / (va + vb + vc)
    dx, dy, dz = apx - v * abx - w * acx, apy - v * aby - w * acy, apz - v * abz - w * acz
    return _dot(dx, dy, dz, dx, dy, dz)


@compiled
def _count_entries(corners: Array, steps: Array) -> None:
    """Where lines along the first coordinate cross faces: +1 at the first node after they enter, -1 after they leave.

    `steps` is indexed [third, second, first]. Lines are moved aside by a tiny irrational amount, so that they never
    meet a vertex or an edge.
    """
    nodes = steps.shape[0]
    aside_v, aside_w = 1.234567891e-6, 2.718281828e-6
    for f in range(corners.shape[0]):
        a, b, c = corners[f, 0], corners[f, 1], corners[f, 2]
        area = (b[1] - a[1]) * (c[2] - a[2]) - (b[2] - a[2]) * (c[1] - a[1])
        if area == 0:
            continue
        for w in range(max(0, int(np.ceil(min(a[2], b[2], c[2]) - 1))), min(nodes - 1, int(max(a[2], b[2], c[2]))) + 1):
            for v in range(
                max(0, int(np.ceil(min(a[1], b[1], c[1]) - 1))), min(nodes - 1, int(max(a[1], b[1], c[1]))) + 1
            ):
                p, q = v + aside_v, w + aside_w
                share_a = ((b[1] - p) * (c[2] - q) - (b[2] - q) * (c[1] - p)) / area
                share_b = ((c[1] - p) * (a[2] - q) - (c[2] - q) * (a[1] - p)) / area
                share_c = ((a[1] - p) * (b[2] - q) - (a[2] - q) * (b[1] - p)) / area
                if share_a < 0 or share_b < 0 or share_c < 0:
                    continue
                u = share_a * a[0] + share_b * b[0] + share_c * c[0]
                first = max(0, int(np.ceil(u)))
                if first < nodes:
                    # A face that looks towards smaller u (negative area) is where the line enters.
                    steps[w, v, first] += 1 if area < 0 else -1
