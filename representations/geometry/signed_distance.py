"""The signed distance to a mesh at the nodes of a grid: negative inside, zero on the surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from representations.compilation import Array, compiled
from representations.geometry.closest_points import SurfaceSearch
from representations.geometry.mesh import Mesh
from representations.geometry.voxels import node_positions


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
    cell = 2 / (nodes - 1)
    points = node_positions(nodes).reshape(-1, 3).double().numpy()
    distance = SurfaceSearch(mesh).closest(points, limit=band * cell).distance.reshape(nodes, nodes, nodes)
    distance = np.minimum(distance, band * cell)
    corners = (mesh.vertices.astype(np.float64)[mesh.faces] + 1) / cell  # in cells, from 0 to N - 1
    votes = np.zeros((nodes, nodes, nodes), np.int8)
    for axis in range(3):
        # The coordinates are turned round, so that the lines always run along the first of them.
        order = [axis, (axis + 1) % 3, (axis + 2) % 3]
        steps = np.zeros((nodes, nodes, nodes), np.int32)
        _count_entries(np.ascontiguousarray(corners[:, :, order]), steps)
        turned = np.cumsum(steps, axis=2, dtype=np.int32) > 0  # [third, second, first]
        votes += np.moveaxis(turned, [2, 1, 0], [2 - order[0], 2 - order[1], 2 - order[2]])
    return np.where(votes >= 2, -distance, distance).astype(np.float32)


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
