import numpy as np
import pytest

from representations.assets.asset import Asset, Material
from representations.assets.unwrapping import unwrap
from representations.assets.vertex_buffers import vertex_buffers
from representations.geometry.tangents import vertex_tangents
from tests.representations.shapes import box, coloured, torus, unit_square

FLAT = np.full((4, 4, 3), (128, 128, 255), dtype=np.uint8)
UP = np.tile([0.0, 0.0, 1.0], (4, 1))


def test_a_square_written_out():
    square = unit_square().mesh
    uv = square.vertices[:, :2]
    tangents = vertex_tangents(square.vertices, UP, uv, square.faces)
    np.testing.assert_allclose(tangents, np.tile([1.0, 0, 0, 1], (4, 1)), atol=1e-12)
    turned = np.stack([uv[:, 1], -uv[:, 0]], axis=-1)  # u grows along +y, v along -x
    np.testing.assert_allclose(
        vertex_tangents(square.vertices, UP, turned, square.faces), np.tile([0.0, 1, 0, 1], (4, 1)), atol=1e-12
    )
    mirrored = uv * [-1, 1]
    np.testing.assert_allclose(
        vertex_tangents(square.vertices, UP, mirrored, square.faces), np.tile([-1.0, 0, 0, -1], (4, 1)), atol=1e-12
    )


def test_angles_are_the_weights():
    # Two faces at a vertex: u grows along x on the first (a right angle), along y on the second (half of one).
    positions = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 1, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    uv = np.array([[0.0, 0], [1, 0], [0, 1], [0, 0]])
    second = uv[faces[1]]
    ds, dt = second[1] - second[0], second[2] - second[0]
    direction = np.linalg.solve(np.stack([ds, dt]), positions[[2, 3]]) if np.linalg.det([ds, dt]) else None
    assert direction is None  # without area in the texture the second face has no say
    np.testing.assert_allclose(vertex_tangents(positions, UP, uv, faces)[0], [1, 0, 0, 1], atol=1e-12)
    uv[3] = [-1, 2]  # u grows along (1, 1, 0) / 2 on the second face: d position = (1, 0) du + ...
    a, b = uv[2] - uv[0], uv[3] - uv[0]
    along_u = np.linalg.inv(np.stack([a, b])) @ positions[[2, 3]]
    expected = np.pi / 2 * np.array([1.0, 0, 0]) + np.pi / 4 * along_u[0] / np.linalg.norm(along_u[0])
    np.testing.assert_allclose(
        vertex_tangents(positions, UP, uv, faces)[0, :3], expected / np.linalg.norm(expected), atol=1e-12
    )


def test_tangents_are_unit_and_perpendicular_to_normals():
    mesh = torus()
    buffers = vertex_buffers(Asset(mesh, unwrap(mesh, 128).uv, Material(FLAT, FLAT)))
    np.testing.assert_allclose(np.linalg.norm(buffers.tangents[:, :3], axis=1), 1)
    np.testing.assert_allclose((buffers.tangents[:, :3] * buffers.normals).sum(axis=1), 0, atol=1e-12)
    assert set(buffers.tangents[:, 3]) <= {1.0, -1.0}


def test_vertices_are_split_only_where_something_differs():
    mesh = coloured(box())
    plain = vertex_buffers(Asset(mesh))
    assert len(plain.positions) == 8
    assert plain.uv is None
    assert plain.tangents is None
    hard = np.repeat((mesh.face_normals / np.linalg.norm(mesh.face_normals, axis=1, keepdims=True))[:, None], 3, axis=1)
    faceted = vertex_buffers(Asset(mesh, normals=hard))
    assert len(faceted.positions) == 24  # three sides meet at each corner of a box
    np.testing.assert_allclose(faceted.normals[faceted.faces], hard)
    np.testing.assert_allclose(faceted.positions[faceted.faces], mesh.vertices[mesh.faces])
    np.testing.assert_allclose(faceted.colours[faceted.faces], mesh.colours[mesh.faces])


def test_seams_split_and_mirrored_faces_do_not_share():
    square = unit_square()
    assert len(vertex_buffers(square).positions) == 4
    moved = square.uv.copy()
    moved[1] += 0.25
    assert len(vertex_buffers(Asset(square.mesh, moved)).positions) == 6
    folded = np.array([[[0.0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [1, 0]]])  # the second face lies mirrored
    buffers = vertex_buffers(Asset(square.mesh, folded, Material(FLAT, FLAT)))
    assert len(buffers.positions) == 6
    assert sorted(buffers.tangents[:, 3].tolist()) == [-1, -1, -1, 1, 1, 1]


def test_no_direction_is_known_without_texture_area():
    square = unit_square().mesh
    tangents = vertex_tangents(square.vertices, UP, np.zeros((4, 2)), square.faces)
    np.testing.assert_allclose(np.linalg.norm(tangents[:, :3], axis=1), 1)
    np.testing.assert_allclose(tangents[:, 2], 0, atol=1e-12)


def test_normals_of_corners_default_to_the_smooth_ones():
    mesh = torus()
    np.testing.assert_allclose(Asset(mesh).corner_normals, mesh.normals[mesh.faces])
    assert vertex_buffers(Asset(mesh)).normals == pytest.approx(mesh.normals)
