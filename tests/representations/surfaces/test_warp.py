"""Warp's rasteriser, on the CPU by its own compiler, draws what the compiled loops draw: pictures and gradients."""

import numpy as np
import pytest
import torch
import trimesh

from representations.cameras import turntable
from representations.surfaces.differentiable_rasterizer import _with_compiled_loops, _with_warp
from representations.surfaces.dual_marching_cubes import trace_patches, trace_patches_warp
from representations.surfaces.mesh_field import projected

pytest.importorskip("warp", reason="pip install warp-lang")

SIZE = 48


def test_patches_are_those_of_the_cpu() -> None:
    """Noise holds every configuration of a cube, the ambiguous ones among them."""
    inside = torch.rand(14, 14, 14, generator=torch.Generator().manual_seed(0)) < 0.4
    for axis in range(3):
        inside.select(axis, 0)[:] = inside.select(axis, -1)[:] = False
    expected = trace_patches(inside.numpy())
    quads, nodes, vertices = trace_patches_warp(inside)
    assert vertices == expected.vertices > 500
    np.testing.assert_array_equal(quads.numpy(), expected.quads)
    np.testing.assert_array_equal(nodes.numpy(), expected.nodes)
    assert trace_patches_warp(torch.zeros_like(inside))[2] == 0
    with pytest.raises(ValueError, match="outermost"):
        trace_patches_warp(torch.ones_like(inside))


def rings() -> trimesh.Trimesh:
    """Two linked rings, which hide each other and themselves."""
    parts = [trimesh.creation.torus(0.45, 0.12, major_sections=48, minor_sections=24) for _ in range(2)]
    parts[1].apply_transform(trimesh.transformations.rotation_matrix(1.5, [1, 0.1, 0.2]))
    parts[1].apply_translation([0.4, 0, 0])
    return trimesh.util.concatenate(parts)


def test_faces_silhouettes_and_what_moves_them() -> None:
    shape = rings()
    faces = shape.faces.astype(np.int32)
    upstream = torch.randn(2, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0))
    results = []
    for back_end in (_with_compiled_loops, _with_warp):
        vertices = torch.tensor(shape.vertices, dtype=torch.float32, requires_grad=True)
        face, blend = back_end(projected(vertices, turntable(2, 0.5, SIZE)), faces, SIZE)
        flat = torch.stack([face >= 0, face % 2 == 0, face % 5 == 0], dim=-1).float()
        picture = blend(flat)
        (picture * upstream).sum().backward()
        results.append((face, picture.detach(), vertices.grad))
        assert (picture != flat).any(dim=-1).sum() > 100  # there are silhouettes
    (face, picture, gradient), (warp_face, warp_picture, warp_gradient) = results
    assert (face >= 0).float().mean() > 0.2
    assert (face != warp_face).sum() <= 4  # ties on edges
    assert (picture - warp_picture).abs().amax(dim=-1).gt(1e-3).sum() <= 12
    assert (gradient - warp_gradient).norm() <= 0.02 * gradient.norm()


def test_the_lower_face_wins_and_what_is_behind_the_camera_is_left_out() -> None:
    corners = [[-1.0, -1.0, 0.0, 1.0], [1.0, -1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.0, -1.0]]
    faces = np.array([[0, 1, 3], [0, 1, 2], [2, 1, 0]], np.int32)
    face, _ = _with_warp(torch.tensor([corners]), faces, 16)
    assert set(face.unique().tolist()) == {-1, 1}
    huge = torch.tensor([[[-1e9, -1e9, 0.0, 1.0], [1e9, -1e9, 0.0, 1.0], [0.0, 1e9, 0.0, 1.0]]])
    assert bool((_with_warp(huge, faces[1:2], 16)[0] == 0).all())


def test_neighbours_leave_no_gap_between_them() -> None:
    """A fan of narrow triangles around a point, in float32: every pixel of the disc sees one of them."""
    angles = torch.arange(97) * (2 * torch.pi / 97)
    rim = torch.stack([0.013 + 0.9 * angles.cos(), -0.007 + 0.9 * angles.sin()], dim=1)
    points = torch.cat([torch.tensor([[0.013, -0.007]]), rim])
    clip = torch.cat([points, torch.zeros(98, 1), torch.ones(98, 1)], dim=1)[None]
    faces = np.array([[0, 1 + n, 1 + (n + 1) % 97] for n in range(97)], np.int32)
    face, _ = _with_warp(clip, faces, 128)
    centres = (torch.arange(128) + 0.5) / 64 - 1
    inside = ((centres[None] - 0.013) ** 2 + (-centres[:, None] + 0.007) ** 2).sqrt() < 0.89
    assert bool((face[0][inside] >= 0).all())
