import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from representations.geometry.closest_points import SurfaceSearch
from representations.geometry.mesh import Mesh
from tests.representations.shapes import ball, joined_meshes, torus


def nearest_by_force(mesh: Mesh, points: np.ndarray) -> np.ndarray:
    """(P,) distances: of each point to each triangle, by minimising the quadratic over a fine barycentric grid."""
    steps = np.linspace(0, 1, 41)
    u, v = (axis.reshape(-1) for axis in np.meshgrid(steps, steps))
    keep = u + v <= 1 + 1e-12
    weights = np.stack([1 - u - v, u, v], axis=-1)[keep]
    samples = np.einsum("sk,fkc->fsc", weights, mesh.vertices[mesh.faces]).reshape(-1, 3)
    return np.linalg.norm(points[:, None] - samples[None], axis=-1).min(axis=1)


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_random_triangles(seed: int):
    rng = np.random.default_rng(seed)
    faces = rng.integers(1, 30)
    mesh = Mesh(rng.normal(size=(3 * faces, 3)), np.arange(3 * faces).reshape(-1, 3))
    points = rng.normal(size=(20, 3)) * 2
    found = SurfaceSearch(mesh).closest(points)
    places = found.interpolated(mesh.faces, mesh.vertices)
    np.testing.assert_allclose(np.linalg.norm(places - points, axis=1), found.distance, atol=1e-12)
    np.testing.assert_allclose(found.barycentric.sum(axis=1), 1)
    assert (found.barycentric >= 0).all()
    expected = nearest_by_force(mesh, points)
    assert (found.distance <= expected + 1e-9).all()
    np.testing.assert_allclose(found.distance, expected, atol=0.15)  # no farther than the samples lie apart


def test_written_out():
    triangle = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]]))
    points = np.array([[0.25, 0.25, 2], [-1, -1, 0], [0.5, -3, 0], [1, 1, 0], [5, 0, 0]])
    found = SurfaceSearch(triangle).closest(points)
    np.testing.assert_allclose(found.distance, [2, np.sqrt(2), 3, np.sqrt(0.5), 4])
    np.testing.assert_allclose(
        found.barycentric, [[0.5, 0.25, 0.25], [1, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0.5], [0, 1, 0]], atol=1e-12
    )


def test_points_of_a_surface_find_themselves():
    mesh = torus()
    rng = np.random.default_rng(0)
    weights = rng.dirichlet([1, 1, 1], size=len(mesh.faces))
    found = SurfaceSearch(mesh).closest(np.einsum("fk,fkc->fc", weights, mesh.vertices[mesh.faces]))
    assert found.distance.max() < 1e-12
    assert (found.face == np.arange(len(mesh.faces))).mean() > 0.99


def test_thin_walls_are_not_taken_for_their_other_side():
    wall = joined_meshes(ball(3, 1.0), Mesh(ball(3, 0.98).vertices, ball(3, 0.98).faces[:, ::-1]))
    inner = ball(3, 0.98)
    points = inner.vertices * 1.019  # nearer to the outer side
    search = SurfaceSearch(wall)
    facing_in = search.closest(points, -inner.normals)
    assert (facing_in.face >= len(inner.faces)).all()
    assert (search.closest(points, inner.normals).face < len(inner.faces)).all()
    assert (search.closest(points).face < len(inner.faces)).all()


def test_nothing_within_the_limit():
    found = SurfaceSearch(ball()).closest(np.array([[3.0, 0, 0], [1.05, 0, 0]]), limit=0.5)
    assert found.face.tolist()[0] == -1
    assert np.isinf(found.distance[0])
    assert found.distance[1] == pytest.approx(0.05, abs=0.01)
