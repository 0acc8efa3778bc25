import numpy as np
import pytest
import torch

from representations.cameras import turntable
from representations.fields.field import Blob, DenseGrid
from representations.fields.nerf import NeRF
from representations.fields.surface import COVERED, extract_mesh, silhouette_threshold
from representations.geometry.isosurface import EmptySurfaceError, trace_surface
from representations.geometry.mesh import Cleaning, problems
from representations.geometry.voxels import node_positions
from representations.rays import Marching


def ball_nerf(radius: float = 0.5, **blob) -> NeRF:
    return NeRF(DenseGrid((16, 32), Blob(radius=radius, **({"sharpness": 40.0, "surface": 0.0} | blob))))


def test_ball_has_the_volume_of_a_ball():
    positions = node_positions(65)
    density = torch.exp(20 * (0.5 - positions.norm(dim=-1)))
    mesh = trace_surface(density, threshold=1.0)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.125, rel=0.01)


def test_axes_are_not_mixed_up():
    positions = node_positions(33)
    distance = (positions - torch.tensor([0.2, 0.4, -0.3])).norm(dim=-1)
    mesh = trace_surface(torch.exp(20 * (0.3 - distance)), threshold=1.0)
    np.testing.assert_allclose(mesh.vertices.mean(axis=0), [0.2, 0.4, -0.3], atol=0.02)
    assert mesh.volume > 0


def test_a_cavity_is_filled_and_the_scene_boundary_closed():
    radius = node_positions(65).norm(dim=-1)
    shell = torch.exp(40 * (0.2 - (radius - 0.6).abs()))
    assert trace_surface(shell, 1.0).volume == pytest.approx(4 / 3 * np.pi * 0.8**3, rel=0.01)
    everything = trace_surface(torch.full((33, 33, 33), 50.0), 1.0)
    assert everything.is_watertight
    assert everything.volume == pytest.approx(4 / 3 * np.pi, rel=0.02)


def test_threshold_reproduces_the_outline():
    nerf = ball_nerf(sharpness=8.0, surface=-2.0)
    cameras = turntable(3, size=32)
    with torch.no_grad():
        opacity = nerf(cameras).opacity[:, 0]
    density = nerf.density_grid(65)
    threshold = silhouette_threshold(density, cameras, opacity)
    # By symmetry the outline is a circle: the mesh must be as wide as the ray that just counts as covered is far out.
    origins, directions = cameras.rays()
    miss_distance = torch.linalg.cross(origins, directions).norm(dim=-1)
    outline_radius = miss_distance[opacity > COVERED].max().item()
    mesh = trace_surface(density, threshold)
    assert np.linalg.norm(mesh.vertices, axis=1).mean() == pytest.approx(outline_radius, abs=0.04)


def test_extracted_mesh_is_clean_and_has_the_colours_that_are_seen():
    nerf = ball_nerf()
    with torch.no_grad():
        positions = node_positions(33)
        nerf.field.levels[1][..., 1] = torch.where(positions[..., 0] > 0, 4.0, -4.0)  # red on the right
    mesh = extract_mesh(nerf, resolution=33, cleaning=Cleaning(target_faces=2000))
    assert problems(mesh) == []
    assert mesh.is_watertight
    assert len(mesh.faces) <= 2000
    right, left = mesh.vertices[:, 0] > 0.1, mesh.vertices[:, 0] < -0.1
    assert (mesh.colours[right, 0] > 0.9).all()
    assert (mesh.colours[left, 0] < 0.1).all()
    np.testing.assert_allclose(mesh.colours[:, 1:], 0.5, atol=0.01)


def test_thin_parts_survive():
    nerf = NeRF(DenseGrid((32,), Blob(radius=0.3, sharpness=40.0, surface=5.0)), marching=Marching(0.02))
    with torch.no_grad():  # a rod one node thick, much less dense than the ball
        nerf.field.levels[0][16, 16, 16:28, 0] = -0.5
    mesh = extract_mesh(nerf, resolution=65)
    assert mesh.vertices[:, 0].max() > 0.6


def test_empty_and_broken_fields_say_so():
    with pytest.raises(EmptySurfaceError, match="vanished"):
        extract_mesh(NeRF(DenseGrid((16,), Blob(radius=-5.0))), resolution=17)
    broken = ball_nerf()
    with torch.no_grad():
        broken.field.levels[0][3, 3, 3, 0] = torch.nan
    with pytest.raises(EmptySurfaceError, match="not finite"):
        extract_mesh(broken, resolution=17)
    with pytest.raises(EmptySurfaceError, match="densest place"):
        trace_surface(torch.full((9, 9, 9), 2.0), threshold=3.0)
