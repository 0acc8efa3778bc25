"""Triangle meshes: what they are, what is wrong with one, and how it is cleaned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import fast_simplification
import numpy as np
import numpy.typing as npt
import scipy.sparse
import scipy.sparse.csgraph
import scipy.spatial
import trimesh

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]

_COINCIDENT = 1e-6
"""Vertices closer than this share of the mesh's extent are one vertex."""


class MeshError(ValueError):
    """A mesh that must not be written or cannot be worked on; the message lists everything that is wrong with it."""


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh. Faces wind counter-clockwise seen from outside. Its arrays must not be changed in place.

    Attributes:
        vertices: (V, 3) positions.
        faces: (F, 3) indices of vertices.
        colours: (V, 3) sRGB in [0, 1], or None.
    """

    vertices: Floats
    faces: Integers
    colours: Floats | None = None

    @cached_property
    def face_normals(self) -> Floats:
        """(F, 3) normals whose length is twice the face's area."""
        a, b, c = (self.vertices[self.faces[:, corner]] for corner in range(3))
        return np.cross(b - a, c - a)

    @property
    def areas(self) -> Floats:
        """(F,) areas of the faces."""
        return np.linalg.norm(self.face_normals, axis=1) / 2

    @cached_property
    def normals(self) -> Floats:
        """(V, 3) unit normals, averaged over the faces around each vertex by area; +Y where they cancel."""
        total = np.zeros_like(self.vertices)
        for corner in range(3):
            np.add.at(total, self.faces[:, corner], self.face_normals)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        return np.where(length > 0, total / np.maximum(length, np.finfo(total.dtype).tiny), np.array([0.0, 1.0, 0.0]))

    @property
    def volume(self) -> float:
        """Enclosed volume; negative if the faces wind inwards. Meaningful for closed meshes only."""
        return float(self._tetrahedra.sum())

    @cached_property
    def is_watertight(self) -> bool:
        """Whether every edge belongs to exactly two faces that wind consistently."""
        forward = _edge_keys(self.faces, len(self.vertices), reverse=False)
        backward = _edge_keys(self.faces, len(self.vertices), reverse=True)
        return len(np.unique(forward)) == len(forward) and np.array_equal(np.sort(forward), np.sort(backward))

    @property
    def _tetrahedra(self) -> Floats:
        """(F,) signed volumes between each face and the origin."""
        a, b, c = (self.vertices[self.faces[:, corner]].astype(np.float64) for corner in range(3))
        return np.einsum("fi,fi->f", a, np.cross(b, c)) / 6

    def components(self) -> Integers:
        """(F,) number of each face's connected component (by shared vertices), from 0 without gaps."""
        edges = self.faces[:, [0, 1, 1, 2]].reshape(-1, 2)
        shape = (len(self.vertices), len(self.vertices))
        graph = scipy.sparse.coo_array((np.ones(len(edges), dtype=bool), (edges[:, 0], edges[:, 1])), shape=shape)
        _, of_vertex = scipy.sparse.csgraph.connected_components(graph, directed=False)
        return np.unique(of_vertex[self.faces[:, 0]], return_inverse=True)[1]

    def component_volumes(self) -> Floats:
        """(C,) enclosed volume of each component; negative for one that winds inwards (a cavity)."""
        return np.asarray(np.bincount(self.components(), weights=self._tetrahedra), dtype=np.float64)

    def with_faces(self, keep: npt.NDArray[np.bool_]) -> Mesh:
        """Only the chosen faces (a mask (F,)) and the vertices that they use."""
        used, faces = np.unique(self.faces[keep], return_inverse=True)
        colours = None if self.colours is None else self.colours[used]
        return Mesh(self.vertices[used], faces.reshape(-1, 3), colours)


def problems(mesh: Mesh, may_face_inwards: bool = False) -> list[str]:
    """What makes a mesh unfit to be written, in words; empty if nothing does."""
    if mesh.vertices.ndim != 2 or mesh.vertices.shape[1] != 3 or mesh.faces.ndim != 2 or mesh.faces.shape[1] != 3:
        return [f"vertices and faces must have shape (n, 3), not {mesh.vertices.shape} and {mesh.faces.shape}"]
    if len(mesh.faces) == 0:
        return ["it has no faces"]
    if mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
        return [f"faces name vertices up to {mesh.faces.max()}, but there are {len(mesh.vertices)}"]
    found = []
    if not np.isfinite(mesh.vertices).all():
        return ["some vertices are not finite"]
    degenerate = int((mesh.areas <= 0).sum())
    if degenerate:
        found.append(f"{degenerate} of {len(mesh.faces)} faces have no area")
    if faces_inwards(mesh) and not may_face_inwards:
        found.append("the faces wind inwards")
    if mesh.colours is not None and mesh.colours.shape != mesh.vertices.shape:
        found.append(f"colours must have shape {mesh.vertices.shape}, not {mesh.colours.shape}")
    elif mesh.colours is not None and not ((mesh.colours >= 0) & (mesh.colours <= 1)).all():
        found.append("some colours are not within [0, 1]")
    return found


def faces_inwards(mesh: Mesh) -> bool:
    """Whether a closed mesh encloses a negative volume; one without volume, as a card with two sides, does not."""
    extent = float(np.ptp(mesh.vertices, axis=0).max())
    return mesh.is_watertight and mesh.volume < -1e-12 * extent**3


@dataclass(frozen=True)
class Cleaning:
    """What `clean` does beside repairs.

    Attributes:
        smallest_component: components with less than this share of the largest one's area are dropped (floaters).
        target_faces: simplify to about so many faces; None keeps them all.
        smoothing_steps: passes of Taubin's smoothing, which does not shrink the mesh.
    """

    smallest_component: float = 0.01
    target_faces: int | None = None
    smoothing_steps: int = 0


def clean(mesh: Mesh, cleaning: Cleaning | None = None) -> Mesh:
    """Merges coincident vertices; drops degenerate and duplicate faces and floaters; turns every component outwards.

    Smoothing comes before simplification, so that noise does not use up the faces.

    Raises:
        MeshError: if the mesh is malformed or nothing would be left.
    """
    cleaning = cleaning or Cleaning()
    _require_sound_indices(mesh)
    mesh = _without_bad_faces(_merged(mesh))
    if len(mesh.faces) == 0:
        raise MeshError("The mesh has no face with an area.")
    mesh = _facing_outwards(_without_floaters(mesh, cleaning.smallest_component))
    if cleaning.smoothing_steps:
        mesh = smoothed(mesh, cleaning.smoothing_steps)
    if cleaning.target_faces is not None and cleaning.target_faces < len(mesh.faces):
        mesh = simplified(mesh, cleaning.target_faces)
    return mesh


def smoothed(mesh: Mesh, steps: int, shrink: float = 0.5, swell: float = 0.53) -> Mesh:
    """Taubin (1995), "A signal processing approach to fair surface design": each step shrinks, then swells back."""
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    edges = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    count = len(mesh.vertices)
    neighbours = scipy.sparse.csr_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    degree = np.maximum(neighbours.sum(axis=1), 1)[:, None]
    vertices = mesh.vertices.astype(np.float64)
    for _ in range(steps):
        for factor in (shrink, -swell):
            vertices = vertices + factor * (neighbours @ vertices / degree - vertices)
    return replace(mesh, vertices=vertices)


def simplified(mesh: Mesh, target_faces: int) -> Mesh:
    """About `target_faces` faces, by quadric edge collapse; colours are taken from the nearest old vertex.

    A watertight mesh stays watertight. The collapse sometimes pinches two sheets together, at other places for every
    aggressiveness; so several are tried, and if all of them pinch, the mesh is returned as it was.
    """
    if target_faces < 4:
        raise MeshError(f"A closed mesh has at least 4 faces; {target_faces} were asked for.")
    must_be_watertight = mesh.is_watertight
    for aggressiveness in (5, 3, 7, 9, 4, 6, 8):
        simple = collapsed(mesh, target_faces, aggressiveness)
        if len(simple.faces) and (simple.is_watertight or not must_be_watertight):
            break
    else:
        return mesh
    colours = mesh.colours
    if colours is not None:
        colours = colours[scipy.spatial.cKDTree(mesh.vertices).query(simple.vertices)[1]]
    simple = replace(simple, colours=colours)
    # A sliver may turn inside out; but cavities, which wind inwards, stay what they are.
    return simple if (mesh.component_volumes() < 0).any() else _facing_outwards(simple)


def collapsed(mesh: Mesh, target_faces: int, aggressiveness: int = 5) -> Mesh:
    """Quadric edge collapse (Garland and Heckbert 1997), without colours; it may pinch two sheets together."""
    vertices, faces = fast_simplification.simplify(
        np.ascontiguousarray(mesh.vertices, dtype=np.float32),
        np.ascontiguousarray(mesh.faces, dtype=np.int32),
        target_count=target_faces,
        agg=aggressiveness,
    )[:2]
    return _without_bad_faces(Mesh(vertices.astype(np.float64), faces.astype(np.int64)))


def standing(mesh: Mesh, longest_side: float | None = None) -> Mesh:
    """Puts the mesh on the floor (lowest point at y = 0), centred over the origin; optionally scaled.

    Args:
        mesh: +Y up.
        longest_side: metres that the longest side of its bounding box is given; None keeps the size.
    """
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    scale = 1.0 if longest_side is None else longest_side / float((high - low).max())
    foot = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    return replace(mesh, vertices=(mesh.vertices - foot) * scale)


def _require_sound_indices(mesh: Mesh) -> None:
    wrong = [problem for problem in problems(replace(mesh, colours=None)) if "area" not in problem]
    wrong = [problem for problem in wrong if "wind" not in problem]
    if wrong:
        raise MeshError(f"The mesh cannot be cleaned: {'; '.join(wrong)}.")


def _merged(mesh: Mesh) -> Mesh:
    """Coincident vertices become one, which turns the faces between them into ones with a repeated corner."""
    extent = float(np.ptp(mesh.vertices, axis=0).max()) or 1.0
    keys = np.round((mesh.vertices - mesh.vertices.min(axis=0)) / (extent * _COINCIDENT)).astype(np.int64)
    _, first, renumbered = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    colours = None if mesh.colours is None else mesh.colours[first]
    return Mesh(mesh.vertices[first], renumbered.reshape(-1)[mesh.faces], colours)


def _without_bad_faces(mesh: Mesh) -> Mesh:
    """Drops faces with a repeated corner or without area, and all but one of faces with the same corners."""
    ordered = np.sort(mesh.faces, axis=1)
    sound = (ordered[:, 0] != ordered[:, 1]) & (ordered[:, 1] != ordered[:, 2]) & (mesh.areas > 0)
    first = np.zeros(len(mesh.faces), dtype=bool)
    first[np.unique(ordered, axis=0, return_index=True)[1]] = True
    return mesh.with_faces(sound & first)


def _without_floaters(mesh: Mesh, smallest: float) -> Mesh:
    components = mesh.components()
    area = np.bincount(components, weights=mesh.areas)
    return mesh.with_faces((area >= smallest * area.max())[components])


def _facing_outwards(mesh: Mesh) -> Mesh:
    """Consistent winding within each component, with positive enclosed volume."""
    forward = _edge_keys(mesh.faces, len(mesh.vertices), reverse=False)
    if len(np.unique(forward)) < len(forward):  # some edge is walked twice in the same direction
        repaired = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        trimesh.repair.fix_winding(repaired)
        mesh = replace(mesh, faces=np.asarray(repaired.faces))
    inwards = (mesh.component_volumes() < 0)[mesh.components()]
    return replace(mesh, faces=np.where(inwards[:, None], mesh.faces[:, ::-1], mesh.faces))


def _edge_keys(faces: Integers, vertex_count: int, reverse: bool) -> Integers:
    """(3F,) one number for each directed edge of each face."""
    start, end = faces, np.roll(faces, -1, axis=1)
    if reverse:
        start, end = end, start
    return (start.astype(np.int64) * vertex_count + end).reshape(-1)
