"""The topology of an isosurface for CUDA cards: what `dual_marching_cubes` does on the CPU, with a thread a cube.

Where the vertices and quadrilaterals of a cube begin is known from the numbers of all cubes before it, so their order
is that of the CPU.
"""

from __future__ import annotations

import warp as wp


@wp.func
def configuration(inside: wp.array3d[wp.bool], z: int, y: int, x: int) -> int:
    """Bit c is set where corner c of a cube is inside."""
    found = wp.int32(0)
    for corner in range(8):
        if inside[z + (corner >> 2), y + ((corner >> 1) & 1), x + (corner & 1)]:
            found = found | (1 << corner)
    return found


@wp.kernel(enable_backward=False)
def count(
    inside: wp.array3d[wp.bool],
    loop_count: wp.array2d[wp.int32],
    conflict: wp.array[wp.int32],
    mode: wp.array3d[wp.int32],
    loops: wp.array3d[wp.int64],
    crossings: wp.array3d[wp.int64],
) -> None:
    """How many vertices each cube holds, in which mode, and how many of the edges at its first corner are crossed."""
    z, y, x = wp.tid()
    mine = configuration(inside, z, y, x)
    if mine == 0 or mine == 255:
        return
    here = mine & 1
    crossed = (here ^ ((mine >> 1) & 1)) + (here ^ ((mine >> 2) & 1)) + (here ^ ((mine >> 4) & 1))
    way = wp.int32(0)
    face = conflict[mine]
    if face >= 0:
        # The cube beyond that face is within the grid, at whose border nothing is inside.
        axis, step = face // 2, 2 * (face % 2) - 1
        dz, dy, dx = wp.where(axis == 2, step, 0), wp.where(axis == 1, step, 0), wp.where(axis == 0, step, 0)
        if conflict[configuration(inside, z + dz, y + dy, x + dx)] == (face ^ 1):
            way = 1
    mode[z, y, x] = way
    loops[z, y, x] = wp.int64(loop_count[way, mine])
    crossings[z, y, x] = wp.int64(crossed)


@wp.kernel(enable_backward=False)
def connect(
    inside: wp.array3d[wp.bool],
    first: wp.array3d[wp.int64],
    mode: wp.array3d[wp.int32],
    starts: wp.array3d[wp.int64],
    loop_of_edge: wp.array3d[wp.int32],
    quads: wp.array2d[wp.int64],
    nodes: wp.array2d[wp.int64],
) -> None:
    """Writes the quadrilateral of each crossed edge at a cube's first corner, and the edge's nodes."""
    z, y, x = wp.tid()
    size = inside.shape[0]
    here = inside[z, y, x]
    row = int(starts[z, y, x])
    for axis in range(3):
        dz, dy, dx = wp.where(axis == 2, 1, 0), wp.where(axis == 1, 1, 0), wp.where(axis == 0, 1, 0)
        if here != inside[z + dz, y + dy, x + dx]:
            for turn in range(4):
                # The cubes around the edge, counter-clockwise about its axis; (u, v) are the next two axes.
                back_u, back_v = wp.where(turn == 0 or turn == 3, 1, 0), wp.where(turn < 2, 1, 0)
                cz = z - wp.where(axis == 0, back_v, wp.where(axis == 1, back_u, 0))
                cy = y - wp.where(axis == 0, back_u, wp.where(axis == 2, back_v, 0))
                cx = x - wp.where(axis == 1, back_v, wp.where(axis == 2, back_u, 0))
                # Which of that cube's twelve edges it is: four along each axis, by their lower corner.
                low, high = wp.where(axis == 1, back_v, back_u), wp.where(axis == 1, back_u, back_v)
                edge = 4 * axis + low + 2 * high
                loop = loop_of_edge[mode[cz, cy, cx], configuration(inside, cz, cy, cx), edge]
                # Seen from the outside node the quadrilateral runs counter-clockwise.
                quads[row, wp.where(here, turn, 3 - turn)] = first[cz, cy, cx] + wp.int64(loop)
            start = (z * size + y) * size + x
            end = ((z + dz) * size + y + dy) * size + x + dx
            nodes[row, 0] = wp.int64(wp.where(here, start, end))
            nodes[row, 1] = wp.int64(wp.where(here, end, start))
            row += 1
