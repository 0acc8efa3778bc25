"""Closed forms of the penalties, and their gradients against finite differences."""

import math

import numpy as np
import pytest
import torch
import trimesh

from representations.geometry.topology import twin_edges, undirected_edges
from representations.surfaces.penalties import edge_variation, edge_vertices, laplacian_energy, normal_deviation


def prepared(mesh: trimesh.Trimesh) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Vertices, faces, edges (E, 2) and pairs of faces side by side (K, 2)."""
    faces = np.asarray(mesh.faces, np.int32)
    twins = twin_edges(faces, len(mesh.vertices))
    edges = undirected_edges(twins)
    beside = np.stack([edges // 3, twins[edges] // 3], axis=1)[twins[edges] >= 0]
    corners = torch.from_numpy(faces).long()
    ends = edge_vertices(torch.from_numpy(edges).long(), corners)
    return torch.tensor(mesh.vertices, dtype=torch.float64), corners, ends, torch.from_numpy(beside).long()


def test_an_octahedron():
    """Each vertex e has the middle of its neighbours at 0: energy 1. Edges sqrt(2). Dihedral normals: cos = 1/3."""
    vertices, faces, edges, beside = prepared(octahedron())
    assert len(edges) == 12
    assert float(laplacian_energy(vertices, edges, 1.0)) == pytest.approx(1)
    assert float(laplacian_energy(vertices, edges, 0.1)) == pytest.approx(100)
    assert float(normal_deviation(vertices, faces, beside)) == pytest.approx(1 - 1 / 3)
    assert float(edge_variation(vertices, edges)) == pytest.approx(0, abs=1e-12)


def octahedron() -> trimesh.Trimesh:
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    return trimesh.convex.convex_hull(axes)


def test_a_box():
    """Faces are flat along their diagonals and at right angles along the twelve edges."""
    vertices, faces, edges, beside = prepared(trimesh.creation.box((1, 1, 1)))
    assert len(beside) == 18
    assert float(normal_deviation(vertices, faces, beside)) == pytest.approx(12 / 18)
    mean = (12 + 6 * math.sqrt(2)) / 18
    variance = (12 * (1 - mean) ** 2 + 6 * (math.sqrt(2) - mean) ** 2) / 18
    assert float(edge_variation(vertices, edges)) == pytest.approx(variance / mean**2)


def test_a_flat_even_sheet_costs_nothing_inside():
    """Inside a regular grid each vertex is the middle of its neighbours; only the border is curved."""
    x, y = np.meshgrid(np.arange(5), np.arange(5))
    quads = [(r * 5 + c, r * 5 + c + 1, r * 5 + c + 6, r * 5 + c + 5) for r in range(4) for c in range(4)]
    faces = [face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))]
    sheet = trimesh.Trimesh(np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], axis=1), faces, process=False)
    vertices, corners, edges, beside = prepared(sheet)
    assert float(normal_deviation(vertices, corners, beside)) == pytest.approx(0, abs=1e-12)
    inner = vertices.clone().requires_grad_()
    laplacian_energy(inner, edges, 1.0).backward()
    assert float(inner.grad[12].norm()) == pytest.approx(0, abs=1e-12)  # the very middle
    assert float(inner.grad[0].norm()) > 0.01


def test_penalties_do_not_depend_on_where_and_how_large():
    vertices, faces, edges, beside = prepared(trimesh.creation.torus(1.0, 0.4))
    moved = 3 * vertices + torch.tensor([1.0, -2.0, 0.5])
    torch.testing.assert_close(laplacian_energy(moved, edges, 3.0), laplacian_energy(vertices, edges, 1.0))
    torch.testing.assert_close(normal_deviation(moved, faces, beside), normal_deviation(vertices, faces, beside))
    torch.testing.assert_close(edge_variation(moved, edges), edge_variation(vertices, edges))


def test_gradients():
    vertices, faces, edges, beside = prepared(trimesh.creation.icosphere(0, 1.0))
    start = (vertices + 0.1 * torch.randn(vertices.shape, generator=torch.Generator().manual_seed(0))).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: laplacian_energy(v, edges, 0.5), start)
    assert torch.autograd.gradcheck(lambda v: normal_deviation(v, faces, beside), start)
    assert torch.autograd.gradcheck(lambda v: edge_variation(v, edges), start)
