"""Visibility and silhouettes of triangle meshes for CUDA cards.

What `representations.geometry.rasterizer` and `representations.surfaces.silhouettes` do on the CPU, with threads that
share the rows of a face, and a thread for each pair of neighbouring pixels. In float32 throughout, so two faces ask the
same question of the edge between them: from its vertex of the lower number.
"""

from __future__ import annotations

import warp as wp

STRIPES = 8
"""Threads that share the rows of a face."""

CONTINUES, FOLDS, LEAVES = wp.constant(0), wp.constant(1), wp.constant(2)
LONGEST_WALK = wp.constant(256)


@wp.func
def cross(a: wp.vec2, b: wp.vec2) -> float:
    """Of two vectors in the plane."""
    return a[0] * b[1] - a[1] * b[0]


@wp.func
def side(start: wp.vec2, end: wp.vec2, in_order: bool, point: wp.vec2) -> float:
    """On which side of an edge a point lies, as twice a signed area; exactly the opposite if the edge is turned."""
    if in_order:
        return cross(end - start, point - start)
    return -cross(start - end, point - end)


@wp.func
def pixels(corner: wp.vec4, size: int) -> wp.vec2:
    """(column, row) of a vertex in clip space; pixel (row, column) has its centre half a pixel further."""
    half = 0.5 * float(size)
    return wp.vec2((corner[0] / corner[3] + 1.0) * half, (1.0 - corner[1] / corner[3]) * half)


@wp.func
def first_centre(position: float, size: int) -> int:
    """The first pixel whose centre lies beyond a position, `size` if there is none."""
    return int(wp.clamp(wp.ceil(position - 0.5), 0.0, float(size)))


@wp.func
def end_of_centres(position: float, size: int) -> int:
    """One more than the last pixel whose centre lies before a position."""
    return int(wp.clamp(wp.floor(position - 0.5) + 1.0, 0.0, float(size)))


@wp.kernel(enable_backward=False)
def rasterize(clip: wp.array2d[wp.vec4], faces: wp.array[wp.vec3i], size: int, keys: wp.array3d[wp.int64]) -> None:
    """Lowers the key of each pixel to that of the nearest face: its depth's bits, and below them its number."""
    view, face, stripe = wp.tid()
    corners = faces[face]
    a, b, c = clip[view, corners[0]], clip[view, corners[1]], clip[view, corners[2]]
    if a[3] <= 0.0 or b[3] <= 0.0 or c[3] <= 0.0:
        return
    pa, pb, pc = pixels(a, size), pixels(b, size), pixels(c, size)
    turn = side(pa, pb, corners[0] < corners[1], pc)
    if not wp.abs(turn) > 1.0e-12:
        return
    sign = wp.sign(turn)
    first_row = first_centre(wp.min(pa[1], wp.min(pb[1], pc[1])), size)
    end_row = end_of_centres(wp.max(pa[1], wp.max(pb[1], pc[1])), size)
    first_column = first_centre(wp.min(pa[0], wp.min(pb[0], pc[0])), size)
    end_column = end_of_centres(wp.max(pa[0], wp.max(pb[0], pc[0])), size)
    row = wp.int32(first_row + stripe)
    while row < end_row:
        for column in range(first_column, end_column):
            centre = wp.vec2(float(column) + 0.5, float(row) + 0.5)
            sa = sign * side(pb, pc, corners[1] < corners[2], centre)
            sb = sign * side(pc, pa, corners[2] < corners[0], centre)
            sc = sign * side(pa, pb, corners[0] < corners[1], centre)
            if sa >= 0.0 and sb >= 0.0 and sc >= 0.0:
                depth = (sa + sb + sc) / (sa / a[3] + sb / b[3] + sc / c[3])
                key = (wp.int64(wp.cast(depth, wp.int32)) << wp.int64(32)) | wp.int64(face)
                wp.atomic_min(keys, view, row, column, key)
        row += STRIPES


@wp.func
def vertex_of(faces: wp.array[wp.vec3i], face: int, corner: int) -> int:
    """A corner of a face."""
    return faces[face][corner]


@wp.func
def place_of(screen: wp.array2d[wp.vec2], view: int, vertex: int) -> wp.vec2:
    """Where a vertex is seen."""
    return screen[view, vertex]


@wp.func
def crossing(start: wp.vec2, end: wp.vec2, centre: wp.vec2, axis: int, sign: float) -> float:
    """How far along the line from a centre an edge crosses it."""
    start_u, end_u = (start[axis] - centre[axis]) * sign, (end[axis] - centre[axis]) * sign
    start_v, end_v = start[1 - axis] - centre[1 - axis], end[1 - axis] - centre[1 - axis]
    return start_u + (end_u - start_u) * start_v / (start_v - end_v)


@wp.func
def is_crossed(start: wp.vec2, end: wp.vec2, centre: wp.vec2, axis: int) -> bool:
    """Whether an edge crosses the line along an axis through a centre."""
    return (start[1 - axis] < centre[1 - axis]) != (end[1 - axis] < centre[1 - axis])


@wp.func
def walk(
    screen: wp.array2d[wp.vec2],
    faces: wp.array[wp.vec3i],
    twins: wp.array[wp.int32],
    view: int,
    seen: int,
    goal: int,
    centre: wp.vec2,
    axis: int,
    sign: float,
) -> wp.vec3i:
    """What `silhouettes._walk` finds on the way to the next pixel: the outcome, and the edge that was crossed last."""
    face, leaving, farthest = wp.int32(seen), wp.int32(-1), wp.float32(-wp.inf)
    for corner in range(3):
        first, second = vertex_of(faces, face, corner), vertex_of(faces, face, (corner + 1) % 3)
        start, end = place_of(screen, view, first), place_of(screen, view, second)
        if is_crossed(start, end, centre, axis):
            distance = crossing(start, end, centre, axis, sign)
            if distance > farthest:
                leaving = corner
                farthest = distance
    if leaving < 0:
        return wp.vec3i(LEAVES, 0, 0)
    for _ in range(LONGEST_WALK):
        first, second = vertex_of(faces, face, leaving), vertex_of(faces, face, (leaving + 1) % 3)
        start, end = place_of(screen, view, first), place_of(screen, view, second)
        if crossing(start, end, centre, axis, sign) >= 1.0:
            return wp.vec3i(LEAVES, first, second)
        twin = twins[3 * face + leaving]
        if twin < 0:
            return wp.vec3i(FOLDS, first, second)
        beside, entered = twin // 3, twin % 3
        opposite = place_of(screen, view, vertex_of(faces, beside, (entered + 2) % 3))
        behind = place_of(screen, view, vertex_of(faces, face, (leaving + 2) % 3))
        if cross(end - start, behind - start) * cross(end - start, opposite - start) > 0.0:
            return wp.vec3i(FOLDS, first, second)
        if beside == goal:
            return wp.vec3i(CONTINUES, first, second)
        # The twin runs from `second` to `first`; of the two other edges the line crosses exactly one.
        face = beside
        leaving = wp.where(is_crossed(start, opposite, centre, axis), (entered + 1) % 3, (entered + 2) % 3)
    return wp.vec3i(LEAVES, 0, 0)


@wp.kernel(enable_backward=False)
def find_silhouettes(
    screen: wp.array2d[wp.vec2],
    faces: wp.array[wp.vec3i],
    twins: wp.array[wp.int32],
    face: wp.array3d[wp.int32],
    depth: wp.array3d[wp.float32],
    ends: wp.array4d[wp.vec3i],
    weights: wp.array4d[wp.float32],
) -> None:
    """For each pixel and axis: the edge (V, V, direction) between it and its neighbour at which a surface ends.

    The direction is 1 if the surface is that of the pixel, and -1 if it is that of its neighbour; 0 means that none
    ends. The weight is that of `silhouettes.Silhouettes`.
    """
    view, row, column, axis = wp.tid()
    other_row, other_column = row + axis, column + 1 - axis
    if other_row >= face.shape[1] or other_column >= face.shape[2]:
        return
    mine, others = face[view, row, column], face[view, other_row, other_column]
    if mine == others:
        return
    forward = depth[view, row, column] <= depth[view, other_row, other_column]
    ahead = forward
    for _ in range(2):  # from the nearer pixel; if the surface goes on behind the other, from there
        here, there = wp.where(ahead, mine, others), wp.where(ahead, others, mine)
        if here < 0:
            return
        x, y = wp.where(ahead, column, other_column), wp.where(ahead, row, other_row)
        centre, sign = wp.vec2(float(x) + 0.5, float(y) + 0.5), wp.where(ahead, 1.0, -1.0)
        found = walk(screen, faces, twins, view, here, there, centre, axis, sign)
        if found[0] == FOLDS:
            edge = place_of(screen, view, found[2]) - place_of(screen, view, found[1])
            weights[view, row, column, axis] = edge[1 - axis] * edge[1 - axis] / wp.dot(edge, edge)
            ends[view, row, column, axis] = wp.vec3i(found[1], found[2], int(sign))
        if found[0] != LEAVES:
            return
        ahead = not forward
