"""Which patches of surface pass through which cubes of a grid: dual marching cubes (Nielson 2004), topology only.

Every edge of the grid whose two nodes differ in sign becomes one quadrilateral, whose corners are vertices inside the
four cubes around that edge. A cube holds one vertex for each loop that the surface makes on its faces. Two cubes that
share a face link the same pairs of edges on it, so every side of a quadrilateral has a partner, and the surface is
closed by construction.

One case needs care. On an ambiguous face (inside at two opposite corners) the two links may belong to one loop in both
cubes, and four quadrilaterals would share one side. There the two cubes link that face the other way (Wenger 2013,
"Isosurfaces", section 5.5; also used by FlexiCubes, Shen et al. 2023), which makes the surface a manifold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from representations.accelerators import WARP, WARP_SOURCE, Accelerator
from representations.compilation import Array, compiled

# Corner c of a cube lies at (c & 1, c >> 1 & 1, c >> 2); an edge joins two corners that differ in one bit.
CUBE_EDGES: tuple[tuple[int, int], ...] = tuple(
    (corner, corner | 1 << axis) for axis in range(3) for corner in range(8) if not corner >> axis & 1
)
_FACES = tuple(product(range(3), range(2)))
"""(axis, side): face number 2 * axis + side."""


@dataclass(frozen=True)
class Patches:
    """The topology of the surface between nodes that are inside and nodes that are outside.

    Attributes:
        quads: (Q, 4) vertices of each quadrilateral, counter-clockwise seen from outside.
        nodes: (Q, 2) the grid edge that each quadrilateral crosses, as flat indices of its inside and outside nodes.
        vertices: how many vertices there are; each lies in the cube around which its quadrilaterals stand.
    """

    quads: NDArray[np.int64]
    nodes: NDArray[np.int64]
    vertices: int


def trace_patches(inside: NDArray[np.bool_]) -> Patches:
    """The patches between the nodes of a grid.

    Args:
        inside: (N, N, N) indexed [z, y, x]; the outermost nodes must be outside.

    Raises:
        ValueError: the grid is no cube of at least 3 nodes, or something is inside at its border.
    """
    if inside.ndim != 3 or len(set(inside.shape)) != 1 or inside.shape[0] < 3:
        raise ValueError(f"The grid must have the shape (N, N, N) with N >= 3, not {inside.shape}.")
    for axis in range(3):
        if inside.take([0, -1], axis=axis).any():
            raise ValueError("Some outermost node of the grid is inside: the surface would not be closed.")
    inside = np.ascontiguousarray(inside)
    first, mode, vertices, crossings = _number_vertices(inside, _LOOP_COUNT, _CONFLICT)
    quads, nodes = np.empty((crossings, 4), np.int64), np.empty((crossings, 2), np.int64)
    _connect(inside, first, mode, _LOOP_OF_EDGE, quads, nodes)
    return Patches(quads, nodes, int(vertices))


def trace_patches_warp(inside: Tensor) -> tuple[Tensor, Tensor, int]:
    """`trace_patches` by NVIDIA Warp: on CUDA, or for tests on the CPU.

    Returns:
        The attributes of `Patches`, as tensors where ``inside`` is.

    Raises:
        ValueError: as `trace_patches`.
    """
    from representations import warp_arrays as warp
    from representations.surfaces import patches_warp

    if inside.dim() != 3 or len(set(inside.shape)) != 1 or inside.shape[0] < 3:
        raise ValueError(f"The grid must have the shape (N, N, N) with N >= 3, not {tuple(inside.shape)}.")
    cubes = tuple(nodes - 1 for nodes in inside.shape)
    mode = torch.zeros(cubes, dtype=torch.int32, device=inside.device)
    loops, crossings = (torch.zeros(cubes, dtype=torch.int64, device=inside.device) for _ in range(2))
    grid = warp.array(inside.contiguous())
    loop_count, loop_of_edge, conflict = (warp.array(table) for table in _tables_on(inside.device))
    counts = warp.array(mode), warp.array(loops), warp.array(crossings)
    warp.launch(patches_warp.count, cubes, grid, loop_count, conflict, *counts)
    borders = torch.stack([inside.select(axis, side).any() for axis in range(3) for side in (0, -1)]).any()
    vertices, edges, open_ = torch.stack([loops.sum(), crossings.sum(), borders.long()]).tolist()
    if open_:
        raise ValueError("Some outermost node of the grid is inside: the surface would not be closed.")
    first, starts = ((each.reshape(-1).cumsum(0) - each.reshape(-1)).reshape(cubes) for each in (loops, crossings))
    quads, nodes = loops.new_empty(edges, 4), loops.new_empty(edges, 2)
    where = warp.array(first), warp.array(mode), warp.array(starts), loop_of_edge
    warp.launch(patches_warp.connect, cubes if edges else 0, grid, *where, warp.array(quads), warp.array(nodes))
    return quads, nodes, vertices


def _try_warp() -> tuple[Tensor, Tensor]:
    inside = torch.zeros(6, 6, 6, dtype=torch.bool)
    inside[1:4, 2:4, 2:3] = inside[3, 3, 3:5] = True
    expected = trace_patches(inside.numpy())
    quads, nodes, _ = trace_patches_warp(inside.to("cuda"))
    return torch.cat([quads, nodes], dim=1), torch.cat(
        [torch.from_numpy(array) for array in (expected.quads, expected.nodes)], dim=1
    )


WARP_ISOSURFACE = Accelerator(WARP, "isosurfaces on CUDA", _try_warp, WARP_SOURCE)


def _loops(configuration: int, joined: bool) -> list[set[int]]:
    """The loops that the surface makes on a cube's faces, as sets of edges.

    Args:
        configuration: bit c is set where corner c is inside.
        joined: whether the two inside corners of an ambiguous face are joined by the surface, or else separated.
    """
    loops = [{number} for number, (a, b) in enumerate(CUBE_EDGES) if (configuration >> a ^ configuration >> b) & 1]
    for axis, side in _FACES:
        corners = [corner for corner in range(8) if corner >> axis & 1 == side]
        crossed = [n for n, edge in enumerate(CUBE_EDGES) if set(edge) <= set(corners) and any(n in x for x in loops)]
        if len(crossed) == 4:
            hubs = [corner for corner in corners if (configuration >> corner & 1) != joined]
            links = [{n for n in crossed if hub in CUBE_EDGES[n]} for hub in hubs]
        else:
            links = [set(crossed)] if crossed else []
        for link in links:
            touched = [loop for loop in loops if loop & link]
            loops = [loop for loop in loops if not loop & link] + [set().union(*touched)]
    return sorted(loops, key=min)


def _ambiguous_faces(configuration: int) -> list[int]:
    found = []
    for number, (axis, side) in enumerate(_FACES):
        inside = [c for c in range(8) if c >> axis & 1 == side and configuration >> c & 1]
        if len(inside) == 2 and inside[0] ^ inside[1] == 7 ^ 1 << axis:
            found.append(number)
    return found


def _conflict(configuration: int) -> int:
    """The ambiguous face all of whose edges are on one loop, or -1. Such a cube has no second ambiguous face."""
    loops = _loops(configuration, joined=False)
    for number in _ambiguous_faces(configuration):
        axis, side = _FACES[number]
        edges = {n for n, (a, b) in enumerate(CUBE_EDGES) if a >> axis & 1 == side and b >> axis & 1 == side}
        if any(edges <= loop for loop in loops):
            assert _ambiguous_faces(configuration) == [number]
            return number
    return -1


def _tables() -> tuple[Array, Array, Array]:
    """Loops of each [mode, configuration] (mode 1: joined), the loop of each edge, and the face in conflict."""
    count, loop_of_edge = np.zeros((2, 256), np.int32), np.full((2, 256, 12), -1, np.int32)
    for mode, configuration in product(range(2), range(256)):
        for number, loop in enumerate(_loops(configuration, bool(mode))):
            loop_of_edge[mode, configuration, list(loop)] = number
            count[mode, configuration] = number + 1
    return count, loop_of_edge, np.array([_conflict(configuration) for configuration in range(256)], np.int32)


_LOOP_COUNT, _LOOP_OF_EDGE, _CONFLICT = _tables()


@cache
def _tables_on(device: torch.device) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(table).to(device) for table in (_LOOP_COUNT, _LOOP_OF_EDGE, _CONFLICT))


@compiled
def _configuration(inside: Array, z: int, y: int, x: int) -> int:
    found = 0
    for corner in range(8):
        if inside[z + (corner >> 2), y + (corner >> 1 & 1), x + (corner & 1)]:
            found |= 1 << corner
    return found


@compiled
def _number_vertices(inside: Array, loop_count: Array, conflict: Array) -> tuple[Array, Array, int, int]:
    """The number of each cube's first vertex, its mode, how many vertices there are, and how many crossed edges."""
    cells = inside.shape[0] - 1
    first = np.full((cells, cells, cells), -1, np.int32)
    mode = np.zeros((cells, cells, cells), np.uint8)
    vertices, crossings = 0, 0
    for z in range(cells):
        for y in range(cells):
            configuration = _configuration(inside, z, y, 0)
            for x in range(cells):
                if x > 0:  # the far half of the cube before is the near half of this one
                    configuration = configuration >> 1 & 0b01010101
                    for corner in range(1, 8, 2):
                        if inside[z + (corner >> 2), y + (corner >> 1 & 1), x + 1]:
                            configuration |= 1 << corner
                if configuration == 0 or configuration == 255:
                    continue
                # Each edge of the grid belongs to the node at its lower end, here corner 0.
                here = configuration & 1
                crossings += (here != configuration >> 1 & 1) + (here != configuration >> 2 & 1)
                crossings += here != configuration >> 4 & 1
                face = conflict[configuration]
                if face >= 0:
                    # The cube beyond that face is within the grid, at whose border nothing is inside.
                    axis, step = face // 2, 2 * (face % 2) - 1
                    beyond = _configuration(
                        inside, z + step * (axis == 2), y + step * (axis == 1), x + step * (axis == 0)
                    )
                    mode[z, y, x] = conflict[beyond] == (face ^ 1)
                first[z, y, x] = vertices
                vertices += loop_count[mode[z, y, x], configuration]
    return first, mode, vertices, crossings


@compiled
def _connect(inside: Array, first: Array, mode: Array, loop_of_edge: Array, quads: Array, nodes: Array) -> None:
    """Fills in the quadrilateral of each crossed edge and the edge's nodes."""
    size = inside.shape[0]
    found = 0
    for z in range(size - 1):
        for y in range(size - 1):
            for x in range(size - 1):
                if first[z, y, x] < 0:  # no edge of this cube is crossed
                    continue
                here = inside[z, y, x]
                for axis in range(3):
                    dz, dy, dx = int(axis == 2), int(axis == 1), int(axis == 0)
                    if here == inside[z + dz, y + dy, x + dx]:
                        continue
                    for turn in range(4):
                        # The cubes around the edge, counter-clockwise about its axis; (u, v) are the next two axes.
                        back_u, back_v = int(turn == 0 or turn == 3), int(turn == 0 or turn == 1)
                        cz, cy, cx = z, y, x
                        if axis == 0:
                            cy, cz = y - back_u, z - back_v
                        elif axis == 1:
                            cz, cx = z - back_u, x - back_v
                        else:
                            cx, cy = x - back_u, y - back_v
                        # Which of that cube's twelve edges it is: four along each axis, by their lower corner.
                        low, high = back_u, back_v
                        if axis == 1:
                            low, high = back_v, back_u
                        loop = loop_of_edge[
                            mode[cz, cy, cx], _configuration(inside, cz, cy, cx), 4 * axis + low + 2 * high
                        ]
                        # Seen from the outside node the quadrilateral runs counter-clockwise.
                        quads[found, turn if here else 3 - turn] = first[cz, cy, cx] + loop
                    start = (z * size + y) * size + x
                    end = ((z + dz) * size + y + dy) * size + x + dx
                    nodes[found, 0], nodes[found, 1] = (start, end) if here else (end, start)
                    found += 1
