"""Signed distances to meshes, against shapes whose distance is known."""

import numpy as np
import pytest
import trimesh

from representations.geometry.mesh import Mesh
from representations.geometry.signed_distance import signed_distances
from representations.geometry.voxels import node_positions

NODES = 33
CELL = 2 / (NODES - 1)


def mesh_of(shape: trimesh.Trimesh, keep: slice = slice(None)) -> Mesh:
    return Mesh(np.asarray(shape.vertices), np.asarray(shape.faces)[keep])


def box_distance(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """To a box: outside the length of what sticks out along each axis, inside the nearest wall."""
    points = node_positions(NODES).numpy()
    beyond = np.maximum(low - points, points - high)
    return np.linalg.norm(np.maximum(beyond, 0), axis=-1) + np.minimum(beyond.max(axis=-1), 0)


def box(low: np.ndarray, high: np.ndarray) -> trimesh.Trimesh:
    return trimesh.creation.box(bounds=[low, high])


def test_a_box_to_the_last_digit():
    """Different along all axes, so that none can be mixed up with another; far away it is cut off."""
    low, high = np.array([-0.71, -0.32, -0.13]), np.array([0.44, 0.83, 0.24])
    exact = box_distance(low, high)
    found = signed_distances(mesh_of(box(low, high)), NODES, band=4)
    np.testing.assert_allclose(found, np.clip(exact, -4 * CELL, 4 * CELL), atol=1e-6)
    assert found.dtype == np.float32


def test_faces_through_nodes_belong_to_one_side():
    """A box whose walls lie exactly on nodes: no node may be counted twice or not at all."""
    low, high = np.array([-0.5, -0.25, -0.75]), np.array([0.5, 0.25, 0.0])
    found = signed_distances(mesh_of(box(low, high)), NODES)
    exact = box_distance(low, high)
    far = np.abs(exact) > 1e-6
    assert (np.sign(found) == np.sign(exact))[far].all()
    np.testing.assert_allclose(np.abs(found[~far]), 0, atol=1e-6)


def test_parts_that_overlap_are_one_solid():
    parts = [box(np.array([-0.6, -0.3, -0.3]), np.array([0.2, 0.31, 0.3])), box(np.full(3, -0.21), np.full(3, 0.57))]
    found = signed_distances(mesh_of(trimesh.util.concatenate(parts)), NODES)
    union = np.minimum(
        box_distance(np.array([-0.6, -0.3, -0.3]), np.array([0.2, 0.31, 0.3])),
        box_distance(np.full(3, -0.21), np.full(3, 0.57)),
    )
    away = np.abs(union) > 1e-4
    assert ((found < 0) == (union < 0))[away].all()


def test_a_cavity_stays_empty():
    outer, inner = box(np.full(3, -0.7), np.full(3, 0.71)), box(np.full(3, -0.33), np.full(3, 0.34))
    inner.invert()
    found = signed_distances(mesh_of(trimesh.util.concatenate([outer, inner])), NODES)
    centre = NODES // 2
    assert found[centre, centre, centre] > 0
    assert found[centre, centre, centre + 8] < 0


def test_a_hole_in_one_wall_is_outvoted():
    ball = trimesh.creation.icosphere(3, 0.6)
    whole = signed_distances(mesh_of(ball), NODES)
    top = np.argmax(ball.triangles_center[:, 1])
    holed = signed_distances(mesh_of(ball, np.arange(len(ball.faces)) != top), NODES)
    assert ((whole < 0) == (holed < 0)).mean() > 0.999
    assert (whole < 0).sum() * CELL**3 == pytest.approx(ball.volume, rel=0.03)


def test_nothing_is_inside_a_sheet():
    sheet = Mesh(np.array([[-0.5, 0, -0.5], [0.5, 0, -0.5], [0, 0.1, 0.5]]), np.array([[0, 1, 2]]))
    assert (signed_distances(sheet, NODES) >= 0).all()
