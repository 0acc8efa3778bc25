import numpy as np
import pytest
import trimesh

from representations.geometry.mesh import Cleaning, Mesh, MeshError, clean, problems, simplified, smoothed, standing


def ball(subdivisions: int = 2, radius: float = 1.0, centre: tuple[float, float, float] = (0, 0, 0)) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return Mesh(np.asarray(sphere.vertices) + np.array(centre), np.asarray(sphere.faces))


def joined(*meshes: Mesh) -> Mesh:
    offsets = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    faces = [mesh.faces + offset for mesh, offset in zip(meshes, offsets[:-1], strict=True)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces))


TETRAHEDRON = Mesh(
    np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]), np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
)


def test_tetrahedron_written_out():
    assert TETRAHEDRON.volume == pytest.approx(1 / 6)
    np.testing.assert_allclose(TETRAHEDRON.areas, [0.5, 0.5, 0.5, np.sqrt(3) / 2])
    np.testing.assert_allclose(TETRAHEDRON.normals[0], -np.ones(3) / np.sqrt(3))
    assert TETRAHEDRON.is_watertight
    assert problems(TETRAHEDRON) == []


def test_inside_out_and_open_meshes_are_told_apart():
    inside_out = Mesh(TETRAHEDRON.vertices, TETRAHEDRON.faces[:, ::-1])
    assert inside_out.is_watertight
    assert "inwards" in problems(inside_out)[0]
    assert not TETRAHEDRON.with_faces(np.array([True, True, True, False])).is_watertight
    twisted = TETRAHEDRON.faces.copy()
    twisted[0] = twisted[0, ::-1]
    assert not Mesh(TETRAHEDRON.vertices, twisted).is_watertight


def test_components_and_their_volumes():
    two = joined(ball(radius=0.5), ball(radius=0.1, centre=(2, 0, 0)))
    assert np.bincount(two.components()).tolist() == [320, 320]
    np.testing.assert_allclose(two.component_volumes(), 4 / 3 * np.pi * np.array([0.125, 0.001]), rtol=0.05)


def test_clean_drops_floaters_and_keeps_parts():
    mesh = joined(ball(), ball(radius=0.05, centre=(3, 0, 0)), ball(radius=0.3, centre=(-3, 0, 0)))
    cleaned = clean(mesh, Cleaning(smallest_component=0.01))
    assert cleaned.component_volumes().shape == (2,)
    assert cleaned.vertices[:, 0].max() == pytest.approx(1.0, abs=1e-6)
    assert len(clean(mesh, Cleaning(smallest_component=0.0)).component_volumes()) == 3


def test_clean_repairs_winding_duplicates_and_seams():
    mesh = ball()
    faces = mesh.faces.copy()
    faces[::3] = faces[::3, ::-1]
    faces = np.concatenate([faces, faces[:5], faces[5:9, [1, 2, 0]], [[0, 0, 1]]])
    soup = Mesh(mesh.vertices[faces].reshape(-1, 3), np.arange(faces.size).reshape(-1, 3))
    assert not soup.is_watertight
    cleaned = clean(soup)
    assert cleaned.is_watertight
    assert problems(cleaned) == []
    assert len(cleaned.faces) == len(mesh.faces)
    assert cleaned.volume == pytest.approx(mesh.volume)


def test_clean_keeps_colours_with_their_vertices():
    mesh = joined(ball(radius=0.01, centre=(3, 0, 0)), ball())
    mesh = Mesh(mesh.vertices, mesh.faces, (mesh.vertices + 4) / 8)
    for cleaning, tolerance in [(Cleaning(), 1e-12), (Cleaning(target_faces=100), 0.05)]:
        cleaned = clean(mesh, cleaning)
        np.testing.assert_allclose(cleaned.colours, (cleaned.vertices + 4) / 8, atol=tolerance)


def test_simplified_stays_closed_and_in_shape():
    mesh = ball(subdivisions=4)
    simple = simplified(mesh, 500)
    assert 400 < len(simple.faces) <= 520
    assert simple.is_watertight
    assert simple.volume == pytest.approx(mesh.volume, rel=0.02)
    with pytest.raises(MeshError, match="4 faces"):
        simplified(mesh, 3)


def test_smoothing_removes_noise_but_not_volume():
    mesh = ball(subdivisions=4)
    noise = np.random.default_rng(0).normal(scale=0.02, size=mesh.vertices.shape)
    smooth = smoothed(Mesh(mesh.vertices + noise, mesh.faces), steps=10)
    roughness = np.std(np.linalg.norm(smooth.vertices, axis=1))
    assert roughness < 0.4 * np.std(np.linalg.norm(mesh.vertices + noise, axis=1))
    assert smooth.volume == pytest.approx(mesh.volume, rel=0.02)


def test_standing_on_the_floor():
    stood = standing(Mesh(TETRAHEDRON.vertices * [1, 4, 2] + 7, TETRAHEDRON.faces), longest_side=0.8)
    np.testing.assert_allclose(stood.vertices.min(axis=0), [-0.1, 0, -0.2], atol=1e-12)
    np.testing.assert_allclose(stood.vertices.max(axis=0), [0.1, 0.8, 0.2], atol=1e-12)
    np.testing.assert_allclose(np.ptp(standing(TETRAHEDRON).vertices, axis=0), 1.0)


@pytest.mark.parametrize(
    ("mesh", "complaint"),
    [
        (Mesh(np.zeros((3, 2)), np.zeros((1, 3), dtype=int)), "shape"),
        (Mesh(np.zeros((3, 3)), np.zeros((0, 3), dtype=int)), "no faces"),
        (Mesh(np.zeros((3, 3)), np.array([[0, 1, 3]])), "up to 3"),
        (Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]])), "finite"),
        (Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])), "area"),
    ],
)
def test_unfit_meshes_are_refused_by_name(mesh, complaint):
    assert any(complaint in problem for problem in problems(mesh))
    with pytest.raises(MeshError, match=complaint):
        clean(mesh)


def test_bad_colours_are_named():
    assert "within" in problems(Mesh(TETRAHEDRON.vertices, TETRAHEDRON.faces, np.full((4, 3), 1.5)))[0]
    assert "within" in problems(Mesh(TETRAHEDRON.vertices, TETRAHEDRON.faces, np.full((4, 3), np.nan)))[0]
    assert "shape" in problems(Mesh(TETRAHEDRON.vertices, TETRAHEDRON.faces, np.zeros((3, 3))))[0]
