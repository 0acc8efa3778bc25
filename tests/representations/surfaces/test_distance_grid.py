"""Surfaces from signed distances: closed forms, and gradients against finite differences."""

import math

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from representations.geometry.isosurface import EmptySurfaceError
from representations.geometry.mesh import Mesh
from representations.geometry.signed_distance import signed_distances
from representations.geometry.voxels import node_positions
from representations.surfaces.distance_grid import DistanceGrid, dual_surface


def sphere(radius: float, nodes: int = 33, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return node_positions(nodes).to(dtype).norm(dim=-1) - radius


def torus(nodes: int = 49, major: float = 0.55, minor: float = 0.22) -> torch.Tensor:
    """About the y axis."""
    x, y, z = node_positions(nodes).double().unbind(dim=-1)
    return torch.stack([(x.square() + z.square()).sqrt() - major, y]).norm(dim=0) - minor


def mesh_of(distance: torch.Tensor) -> Mesh:
    surface = dual_surface(distance)
    return Mesh(surface.vertices.detach().numpy(), surface.triangles().astype(np.int64))


def test_a_sphere():
    mesh = mesh_of(sphere(0.6))
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), 0.6, atol=0.004)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * math.pi * 0.6**3, rel=0.015)
    assert len(mesh.vertices) - len(mesh.faces) // 2 == 2  # Euler: V - F / 2 for a closed triangle mesh


def test_the_error_falls_with_the_square_of_the_cell():
    errors = [abs(mesh_of(sphere(0.6, nodes)).volume - 4 / 3 * math.pi * 0.6**3) for nodes in (17, 33)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.35)


def test_a_torus():
    mesh = mesh_of(torus())
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(2 * math.pi**2 * 0.55 * 0.22**2, rel=0.02)
    assert len(mesh.vertices) - len(mesh.faces) // 2 == 0
    assert np.ptp(mesh.vertices, axis=0)[1] == pytest.approx(0.44, abs=0.01)


def test_a_plane_is_met_exactly():
    """Linear interpolation of a linear function, and means of points of a plane, have no error."""
    positions = node_positions(17).double()
    normal = torch.tensor([0.6, -0.48, 0.64], dtype=torch.float64)
    plane = positions @ normal - 0.137
    edge = positions.abs().amax(dim=-1) > 0.99
    vertices = dual_surface(torch.where(edge, plane.abs() + 1, plane)).vertices
    inner = vertices.abs().amax(dim=1) < 0.8
    torch.testing.assert_close((vertices @ normal)[inner], torch.full_like(vertices[inner, 0], 0.137))
    assert inner.sum() > 100


def test_growing_by_a_little_adds_the_area():
    """d volume / d radius is the surface's area: the gradient with respect to all distances at once."""
    distance = sphere(0.6).requires_grad_()
    surface = dual_surface(distance)
    a, b, c = (surface.vertices[torch.from_numpy(surface.triangles()[:, corner]).long()] for corner in range(3))
    volume = (a * torch.linalg.cross(b, c)).sum() / 6
    (gradient,) = torch.autograd.grad(volume, distance)
    area = Mesh(surface.vertices.detach().numpy(), surface.triangles()).areas.sum()
    assert -float(gradient.sum()) == pytest.approx(area, rel=0.02)
    touched = gradient != 0
    assert bool((sphere(0.6)[touched].abs() < math.sqrt(3) * 2 / 32).all())


def test_gradients_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    distance = torch.ones(5, 5, 5, dtype=torch.float64)
    distance[1:-1, 1:-1, 1:-1] = 0.2 + torch.rand(3, 3, 3, generator=generator, dtype=torch.float64)
    distance[1:-1, 1:-1, 1:-1] *= torch.randint(0, 2, (3, 3, 3), generator=generator) * 2 - 1
    assert torch.autograd.gradcheck(lambda d: dual_surface(d).vertices, distance.requires_grad_())


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31))
def test_random_distances_give_closed_meshes(seed: int):
    distance = torch.ones(9, 9, 9, dtype=torch.float64)
    distance[1:-1, 1:-1, 1:-1] = torch.from_numpy(np.random.default_rng(seed).normal(0.2, 1, (7, 7, 7)))
    mesh = mesh_of(distance)
    assert mesh.is_watertight
    assert mesh.volume > 0
    assert np.isfinite(mesh.vertices).all()


def test_quadrilaterals_are_cut_along_their_shorter_diagonal():
    surface = dual_surface(sphere(0.55, 17))
    corner = surface.vertices.numpy()[surface.quads]
    shorter = np.minimum(
        np.linalg.norm(corner[:, 0] - corner[:, 2], axis=1), np.linalg.norm(corner[:, 1] - corner[:, 3], axis=1)
    )
    triangle = surface.vertices.numpy()[surface.triangles()]
    diagonal = np.linalg.norm(triangle[::2, 0] - triangle[::2, 2], axis=1)
    np.testing.assert_allclose(diagonal, shorter)


def test_gradients_stay_finite_where_distances_vanish():
    distance = torch.ones(5, 5, 5)
    distance[2, 2, 2], distance[2, 2, 3] = -1e-30, 0.0
    vertices = dual_surface(distance.requires_grad_()).vertices
    vertices.square().sum().backward()
    assert bool(torch.isfinite(vertices).all())
    assert distance.grad.norm().item() < 1e7


def test_nothing_inside_says_so():
    with pytest.raises(EmptySurfaceError, match="vanished"):
        dual_surface(torch.ones(5, 5, 5))


def test_a_grid_begins_as_a_ball_and_takes_any_shape():
    grid = DistanceGrid((8, 16, 32))
    radii = grid().vertices.norm(dim=1)
    torch.testing.assert_close(radii, torch.full_like(radii, 0.5), atol=0.01, rtol=0)
    shape = trimesh.creation.torus(0.5, 0.2)
    grid.begin_with(torch.from_numpy(signed_distances(Mesh(shape.vertices, shape.faces), grid.nodes)))
    surface = grid()
    assert Mesh(surface.vertices.detach().numpy(), surface.triangles()).volume == pytest.approx(shape.volume, rel=0.04)


def test_the_coarsest_level_moves_the_whole_surface():
    """One cell of the finest grid, added everywhere by any level, moves the surface inwards by one cell."""
    for level in range(3):
        grid = DistanceGrid((8, 16, 32))
        with torch.no_grad():
            grid.levels[level].fill_(1.0)
        radii = grid().vertices.norm(dim=1)
        assert radii.mean().item() == pytest.approx(0.5 - 2 / 32, abs=0.005)


def test_the_surface_never_leaves_the_sphere():
    grid = DistanceGrid((16, 32))
    with torch.no_grad():
        grid.levels[0].fill_(-100.0)
    surface = grid()
    assert Mesh(surface.vertices.detach().numpy(), surface.triangles()).is_watertight
    assert 0.95 < surface.vertices.norm(dim=1).max().item() < 1


def test_resolutions_must_double():
    with pytest.raises(ValueError, match="twice"):
        DistanceGrid((16, 48))
