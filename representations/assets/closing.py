"""Making a surface watertight, as printing programs and physics need it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from skimage.measure import marching_cubes

from representations.geometry.closest_points import SurfaceSearch
from representations.geometry.mesh import Cleaning, Integers, Mesh, MeshError, clean
from representations.geometry.signed_distance import signed_distances

WRAPPING_NODES = 192
"""Nodes along one side of the grid on which a surface is wrapped when its holes cannot be filled one by one."""

_LEAST_VOLUME = 1e-9
"""Share of the cube around it that a closed mesh must enclose: loose triangles that were filled enclose nothing."""

WALL = 0.75
"""What has no inside becomes a wall: everything nearer to the surface than so many cells."""


def closed(mesh: Mesh, nodes: int = WRAPPING_NODES) -> tuple[Mesh, str]:
    """A watertight mesh of the same shape, and how it was closed, in words.

    Holes are filled with a fan around the middle of their rim, which leaves everything else as it was. Where that does
    not help (edges of more than two faces, sheets without an inside) the surface is wrapped instead: the points that
    lie inside, or nearer than a thin wall, are traced anew on a grid.

    Args:
        mesh: at least one face; without bad faces (see `representations.assets.repair`).
        nodes: of the grid for wrapping.

    Raises:
        MeshError: if not even that gives a watertight mesh.
    """
    if mesh.is_watertight:
        return mesh, "it was watertight already"
    filled, holes = _with_holes_filled(mesh)
    least = _LEAST_VOLUME * float(np.ptp(mesh.vertices, axis=0).max()) ** 3
    if filled.is_watertight and filled.volume > least:
        return filled, f"{holes} {'hole was' if holes == 1 else 'holes were'} filled"
    wrapped = _wrapped(mesh, nodes)
    if not wrapped.is_watertight:
        raise MeshError("The mesh could not be made watertight; mend it in a 3D program first.")
    return wrapped, f"the surface was wrapped anew on a grid of {nodes} nodes: details smaller than a cell are lost"


def without_pinches(mesh: Mesh) -> Mesh:
    """The mesh with the surroundings of edges that more than two faces share cut out, and the holes filled."""
    start, end = mesh.faces.reshape(-1).astype(np.int64), np.roll(mesh.faces, -1, axis=1).reshape(-1).astype(np.int64)
    keys = np.minimum(start, end) * len(mesh.vertices) + np.maximum(start, end)
    edges, count = np.unique(keys, return_counts=True)
    crowded = edges[count > 2]
    pinched = np.isin(mesh.faces, np.concatenate([crowded // len(mesh.vertices), crowded % len(mesh.vertices)]))
    return _with_holes_filled(mesh.with_faces(np.logical_not(pinched.any(axis=1))))[0]


def _with_holes_filled(mesh: Mesh) -> tuple[Mesh, int]:
    """Each loop of open edges gets a fan of faces around a new vertex in its middle; the number of loops."""
    loops = _open_loops(mesh.faces, len(mesh.vertices))
    vertices, faces = [mesh.vertices], [mesh.faces]
    colours = None if mesh.colours is None else [mesh.colours]
    for number, loop in enumerate(loops):
        middle = len(mesh.vertices) + number
        vertices.append(mesh.vertices[loop].mean(axis=0, keepdims=True))
        if colours is not None and mesh.colours is not None:
            colours.append(mesh.colours[loop].mean(axis=0, keepdims=True))
        # The new faces walk the rim the other way round than the faces beside it.
        faces.append(np.stack([np.roll(loop, -1), loop, np.full(len(loop), middle)], axis=-1))
    whole = None if colours is None else np.concatenate(colours)
    return Mesh(np.concatenate(vertices), np.concatenate(faces), whole), len(loops)


def _open_loops(faces: Integers, vertex_count: int) -> list[Integers]:
    """The rims of holes, as vertices in the order of the faces' winding.

    A walk along open edges that comes back to a vertex which it has passed has gone round a loop, which is cut off;
    so rims that touch at a vertex come apart.
    """
    start, end = faces.reshape(-1).astype(np.int64), np.roll(faces, -1, axis=1).reshape(-1).astype(np.int64)
    is_open = ~np.isin(start * vertex_count + end, end * vertex_count + start)
    ahead: dict[int, list[int]] = {}
    for here, there in zip(start[is_open].tolist(), end[is_open].tolist(), strict=True):
        ahead.setdefault(here, []).append(there)
    loops = []
    for first in list(ahead):
        walk, place = [first], {first: 0}
        while ahead.get(walk[-1]):
            there = ahead[walk[-1]].pop()
            if there in place:
                loop = walk[place[there] :]
                walk = walk[: place[there] + 1]
                for passed in loop[1:]:
                    del place[passed]
                if len(loop) >= 3:
                    loops.append(np.asarray(loop))
            else:
                place[there] = len(walk)
                walk.append(there)
    return loops


def _wrapped(mesh: Mesh, nodes: int) -> Mesh:
    """The boundary of what is inside or close by, with the colours of the nearest places."""
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    centre, scale = (low + high) / 2, float((high - low).max()) / 2 or 1.0
    margin = 1 - 6 / nodes  # cells that stay free around the mesh
    inside = Mesh((mesh.vertices - centre) / scale * margin, mesh.faces)
    distance = signed_distances(inside, nodes)
    cell = 2 / (nodes - 1)
    level = np.minimum(distance, np.abs(distance) - WALL * cell)
    vertices, faces, _, _ = marching_cubes(level, level=0.0, gradient_direction="descent")
    vertices = (vertices[:, ::-1].astype(np.float64) * cell - 1) / margin * scale + centre
    wrapped = clean(Mesh(vertices, faces[:, ::-1].astype(np.int64)), Cleaning(smallest_component=0.0))
    if mesh.colours is None:
        return wrapped
    nearest = SurfaceSearch(mesh).closest(wrapped.vertices)
    return replace(wrapped, colours=nearest.interpolated(mesh.faces, mesh.colours))
