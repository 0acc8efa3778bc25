import math

import numpy as np

from representations.geometry.hard_edges import hard_edged_normals
from representations.geometry.mesh import Mesh
from tests.representations.shapes import ball, box, torus


def test_a_box_has_flat_sides():
    mesh = box()
    flat = mesh.face_normals / np.linalg.norm(mesh.face_normals, axis=1, keepdims=True)
    np.testing.assert_allclose(hard_edged_normals(mesh), np.repeat(flat[:, None], 3, axis=1), atol=1e-12)


def test_round_things_are_smooth():
    assert hard_edged_normals(ball(3)) is None
    assert hard_edged_normals(torus()) is None


def test_an_angle_decides():
    fold = math.radians(30)  # two squares that share an edge along x
    far = [0.0, math.cos(fold), -math.sin(fold)]
    vertices = np.array([[0.0, -1, 0], [1, -1, 0], [0, 0, 0], [1, 0, 0], far, [1, *far[1:]]])
    mesh = Mesh(vertices, np.array([[0, 1, 3], [0, 3, 2], [2, 3, 5], [2, 5, 4]]))
    assert hard_edged_normals(mesh, math.radians(31)) is None
    hard = hard_edged_normals(mesh, math.radians(29))
    np.testing.assert_allclose(hard[:2], np.tile([0.0, 0, 1], (2, 3, 1)), atol=1e-12)
    np.testing.assert_allclose(hard[2:], np.tile([0, math.sin(fold), math.cos(fold)], (2, 3, 1)), atol=1e-12)


def test_a_cone_is_smooth_around_and_hard_at_its_base():
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    rim = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], axis=-1)
    here, there = np.arange(48), np.roll(np.arange(48), -1)
    side = np.stack([there, here, np.full(48, 48)], axis=-1)
    base = np.stack([here, there, np.full(48, 49)], axis=-1)
    mesh = Mesh(np.concatenate([rim, [[0, 1, 0], [0, 0, 0]]]), np.concatenate([side, base]))
    assert mesh.volume > 0
    normals = hard_edged_normals(mesh)
    np.testing.assert_allclose(normals[48:], np.tile([0.0, -1, 0], (48, 3, 1)), atol=1e-12)
    outward = np.sqrt(0.5) * (rim + np.array([0, 1, 0]))
    np.testing.assert_allclose(normals[:48, 1], outward, atol=0.01)
