"""The surface between inside and outside: closed, a manifold, facing outwards, for any grid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from representations.geometry.mesh import Mesh
from representations.surfaces.dual_marching_cubes import Patches, trace_patches


def inside_at(*nodes: tuple[int, int, int], size: int = 6) -> NDArray[np.bool_]:
    inside = np.zeros((size, size, size), bool)
    for x, y, z in nodes:
        inside[z, y, x] = True
    return inside


def euler_characteristic(patches: Patches) -> int:
    """Vertices - edges + faces: 2 for each sphere, 0 for each torus. Every edge lies between two quadrilaterals."""
    return patches.vertices - 2 * len(patches.quads) + len(patches.quads)


def at_middles(inside: NDArray[np.bool_], patches: Patches) -> Mesh:
    """Each vertex in the middle of its cube, in cells: the middle of the box of all nodes that its edges touch."""
    size = inside.shape[0]
    places = np.stack([patches.nodes % size, patches.nodes // size % size, patches.nodes // size**2], axis=-1)
    low, high = np.full((patches.vertices, 3), np.inf), np.full((patches.vertices, 3), -np.inf)
    for corner in range(4):
        np.minimum.at(low, patches.quads[:, corner], places.min(axis=1))
        np.maximum.at(high, patches.quads[:, corner], places.max(axis=1))
    return Mesh((low + high) / 2, np.concatenate([patches.quads[:, [0, 1, 2]], patches.quads[:, [0, 2, 3]]]))


def test_one_node_is_wrapped_in_a_cube():
    inside = inside_at((2, 3, 1))
    patches = trace_patches(inside)
    assert (patches.vertices, len(patches.quads)) == (8, 6)
    mesh = at_middles(inside, patches)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(1)
    np.testing.assert_allclose(mesh.vertices.mean(axis=0), [2, 3, 1])
    inner, outer = patches.nodes.T
    assert set(inner) == {(1 * 6 + 3) * 6 + 2}
    assert len(set(outer)) == 6


def test_shapes_have_their_euler_characteristic():
    assert euler_characteristic(trace_patches(inside_at((2, 2, 2), (3, 2, 2)))) == 2
    assert euler_characteristic(trace_patches(inside_at((1, 1, 1), (4, 4, 4)))) == 4
    # Nodes that touch at an edge or a corner of the grid only are separate.
    assert euler_characteristic(trace_patches(inside_at((2, 2, 2), (3, 3, 2)))) == 4
    assert euler_characteristic(trace_patches(inside_at((2, 2, 2), (3, 3, 3)))) == 4
    ring = [(x, y, 2) for x in (1, 2, 3) for y in (1, 2, 3) if (x, y) != (2, 2)]
    assert euler_characteristic(trace_patches(inside_at(*ring))) == 0


@settings(max_examples=60)
@given(seed=st.integers(0, 2**31), share=st.floats(0.02, 0.98))
def test_any_grid_gives_a_closed_manifold_that_faces_outwards(seed: int, share: float):
    inside = np.zeros((8, 8, 8), bool)
    inside[1:-1, 1:-1, 1:-1] = np.random.default_rng(seed).random((6, 6, 6)) < share
    patches = trace_patches(inside)
    if not inside.any():
        assert patches.vertices == 0
        return
    mesh = at_middles(inside, patches)
    assert mesh.is_watertight
    assert np.unique(patches.quads).size == patches.vertices
    assert all(len(set(quad)) == 4 for quad in patches.quads)
    # Around each vertex the quadrilaterals form one fan: a manifold, not two cones that touch.
    for vertex in range(patches.vertices):
        around = patches.quads[(patches.quads == vertex).any(axis=1)]
        after = {}
        for quad in around:
            corner = list(quad).index(vertex)
            after[quad[corner - 1]] = quad[(corner + 1) % 4]
        start = next(iter(after))
        seen, here = 1, after[start]
        while here != start:
            seen, here = seen + 1, after[here]
        assert seen == len(around)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31))
def test_each_node_inside_is_worth_one_cube(seed: int):
    """With the vertices in the middles of their cubes, the volume is the number of nodes inside, exactly.

    Grids without ambiguous faces only, where a cube's box of touched nodes is the whole cube.
    """
    rng = np.random.default_rng(seed)
    inside = np.zeros((9, 9, 9), bool)
    low = rng.integers(1, 4, 3)
    high = rng.integers(5, 8, 3)
    inside[low[2] : high[2], low[1] : high[1], low[0] : high[0]] = True
    assert at_middles(inside, trace_patches(inside)).volume == pytest.approx(np.prod(high - low))


def test_bad_grids_are_named():
    with pytest.raises(ValueError, match=r"\(N, N, N\)"):
        trace_patches(np.zeros((4, 4, 5), bool))
    with pytest.raises(ValueError, match="closed"):
        trace_patches(inside_at((0, 2, 2)))
    with pytest.raises(ValueError, match="closed"):
        trace_patches(inside_at((2, 2, 5)))
