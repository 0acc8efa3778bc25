"""What a mesh's picture is, and how it changes with its vertices: closed forms, finite differences, a ray caster."""

import math
import sys
import types

import numpy as np
import pytest
import torch
import trimesh
from numpy.typing import NDArray

from representations.cameras import Cameras, turntable
from representations.geometry.rasterizer import rasterize
from representations.surfaces.differentiable_rasterizer import (
    Fragments,
    _with_compiled_loops,
    _with_nvdiffrast,
    perspective_barycentric,
    rasterize_fragments,
)
from representations.surfaces.mesh_field import projected

Faces = NDArray[np.int32]


def on_screen(points: torch.Tensor, size: int, depth: torch.Tensor | float = 1.0) -> torch.Tensor:
    """Clip-space vertices (1, V, 4) that appear at columns and rows (V, 2), at the given distances."""
    x, y = 2 * points[:, 0] / size - 1, 1 - 2 * points[:, 1] / size
    w = torch.as_tensor(depth, dtype=points.dtype).expand(len(points))
    return torch.stack([x * w, y * w, torch.zeros_like(x), w], dim=1)[None]


def rectangle(left: float, top: float, right: float, bottom: float) -> tuple[torch.Tensor, Faces]:
    corners = torch.tensor([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=torch.float64)
    return corners, np.array([[0, 2, 1], [0, 3, 2]], np.int32)


def coverage(seen: Fragments) -> torch.Tensor:
    """(B, H, W) how much of each pixel is covered."""
    like = seen.barycentric
    return seen.antialiased(seen.images(like.new_ones(len(like), 1), like.new_zeros(len(seen.face), 1)))[..., 0]


def test_an_upright_rectangle_covers_its_borders_by_shares():
    points, faces = rectangle(10.3, 5.2, 20.6, 9.7)
    picture = coverage(rasterize_fragments(on_screen(points, 32), faces, 32))[0]
    columns = torch.zeros(32, dtype=torch.float64)
    columns[10:21] = torch.tensor([0.7, *[1.0] * 9, 0.6], dtype=torch.float64)
    rows = torch.zeros(32, dtype=torch.float64)
    rows[5:10] = torch.tensor([0.8, 1, 1, 1, 0.7], dtype=torch.float64)
    torch.testing.assert_close(picture[7], columns)
    torch.testing.assert_close(picture[:, 15], rows)


@pytest.mark.parametrize("left", [10.1, 10.45, 10.55, 10.9])
def test_moving_a_border_changes_the_pixel_that_it_crosses(left: float):
    """Also where the border passes pixel centres, at 10.5, the picture has no step."""
    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    points, faces = rectangle(left, 5.0, 20.0, 9.0)
    moved = torch.cat([points[:1, :1] + shift, points[1:3, :1], points[3:, :1] + shift])
    picture = coverage(rasterize_fragments(on_screen(torch.cat([moved, points[:, 1:]], dim=1), 32), faces, 32))[0]
    assert picture[7, 10].item() == pytest.approx(11 - left)
    (gradient,) = torch.autograd.grad(picture[7].sum(), shift)
    assert gradient.item() == pytest.approx(-1)


def test_the_nearer_surface_is_blended_with_what_is_behind_it():
    near, faces = rectangle(8.0, 8.0, 16.25, 24.0)
    far, _ = rectangle(2.0, 2.0, 30.0, 30.0)
    clip = torch.cat([on_screen(near, 32, 1.0), on_screen(far, 32, 2.0)], dim=1)
    seen = rasterize_fragments(clip, np.concatenate([faces, faces + 4]), 32)
    colours = torch.tensor([[1.0, 0.0]] * 4 + [[0.0, 1.0]] * 4, dtype=torch.float64)
    picture = seen.antialiased(seen.images(seen.interpolate(colours), torch.zeros(1, 2, dtype=torch.float64)))[0]
    torch.testing.assert_close(picture[16, 16], torch.tensor([0.25, 0.75], dtype=torch.float64))
    torch.testing.assert_close(picture[16, 15], torch.tensor([1.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(picture[16, 20], torch.tensor([0.0, 1.0], dtype=torch.float64))


def test_edges_between_visible_faces_are_no_silhouettes():
    points, faces = rectangle(4.0, 4.0, 28.0, 28.0)
    clip = on_screen(points, 32).requires_grad_()
    seen = rasterize_fragments(clip, faces, 32)
    colours = torch.tensor([[0.0], [1.0], [2.0], [1.0]], dtype=torch.float64)
    plain = seen.images(seen.interpolate(colours), torch.zeros(1, 1, dtype=torch.float64))
    blended = seen.antialiased(plain)
    torch.testing.assert_close(blended[:, 6:26, 6:26], plain[:, 6:26, 6:26])


@pytest.mark.parametrize("turn", [0.0, 0.3, 0.7, 1.2])
def test_the_area_of_a_triangle_and_its_gradient(turn: float):
    """The sum over all pixels is the area; its gradient with respect to the corners is the shoelace formula's."""
    angles = turn + torch.tensor([0.0, 2.1, 4.0], dtype=torch.float64)
    corners = (64 + 40 * torch.stack([angles.cos(), angles.sin()], dim=1)).requires_grad_()
    seen = rasterize_fragments(on_screen(corners, 128), np.array([[0, 1, 2]], np.int32), 128)
    found = coverage(seen).sum()
    a, b, c = corners
    exact = 0.5 * ((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])).abs()
    assert found.item() == pytest.approx(exact.item(), rel=2e-3)
    gradient, expected = (torch.autograd.grad(value, corners, retain_graph=True)[0] for value in (found, exact))
    assert (gradient - expected).norm().item() < 0.03 * expected.norm().item()


@pytest.mark.parametrize(("subdivisions", "size"), [(3, 96), (6, 32)])
def test_the_outline_of_a_ball_grows_with_its_radius(subdivisions: int, size: int):
    """Pi r^2 of the outline's radius on the screen; also where many faces share one pixel (81,920 on 32 x 32)."""
    ball = trimesh.creation.icosphere(subdivisions, 1.0)
    camera = turntable(1, 0.3, size)
    unit = torch.tensor(ball.vertices, dtype=torch.float64)
    radius = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
    found = coverage(rasterize_fragments(projected(unit * radius, camera), ball.faces.astype(np.int32), size)).sum()
    focal = size / 2 / torch.tan(camera.field_of_view[0].double() / 2)
    outline = focal * torch.tan(torch.asin(radius / camera.distance[0].double()))
    exact = math.pi * outline.square()
    assert found.item() == pytest.approx(exact.item(), rel=0.01)
    (gradient,), (expected,) = torch.autograd.grad(found, radius), torch.autograd.grad(exact, radius)
    assert gradient.item() == pytest.approx(expected.item(), rel=0.02)


def test_interpolation_is_differentiable_in_vertices_and_attributes():
    """Interior pixels only: no face changes hands within a finite difference."""
    points = torch.tensor([[3.2, 3.1], [13.4, 4.6], [6.3, 13.7]], dtype=torch.float64)
    clip = on_screen(points, 16, torch.tensor([1.0, 1.7, 2.4])).requires_grad_()
    attributes = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    faces = np.array([[0, 1, 2]], np.int32)

    def interior(clip: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
        seen = rasterize_fragments(clip, faces, 16)
        inner = seen.barycentric.detach().amin(dim=1) > 0.05
        return seen.interpolate(attributes)[inner]

    assert len(interior(clip, attributes)) > 10
    assert torch.autograd.gradcheck(interior, (clip, attributes), eps=1e-5)


def test_silhouettes_are_differentiable_in_vertices_and_colours():
    """A triangle in front of another one, by finite differences of the whole picture."""
    points = torch.tensor([[3.2, 3.1], [12.4, 4.6], [6.3, 13.7], [1.3, 9.2], [14.6, 7.3], [13.2, 14.9]])
    points = points.double()
    depth = torch.tensor([1.0, 1.0, 1.0, 2.0, 2.0, 2.0], dtype=torch.float64)
    faces = np.array([[0, 1, 2], [3, 4, 5]], np.int32)
    rng = torch.Generator().manual_seed(1)
    colours = torch.rand(6, 3, generator=rng, dtype=torch.float64)
    upstream = torch.randn(16, 16, 3, generator=rng, dtype=torch.float64)

    def judged(points: torch.Tensor, colours: torch.Tensor) -> torch.Tensor:
        seen = rasterize_fragments(on_screen(points, 16, depth), faces, 16)
        flat = torch.where(seen.corners[:, :1] < 3, colours[0], colours[3])  # each triangle in one colour
        picture = seen.antialiased(seen.images(flat, torch.ones(1, 3, dtype=torch.float64)))
        return (picture[0] * upstream).sum()

    moving = points.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(judged(moving, colours), moving)
    step = 1e-4  # too little for a silhouette's weight, which has no gradient, to matter
    for vertex in range(6):
        for axis in range(2):
            change = torch.zeros_like(points)
            change[vertex, axis] = step
            slope = (judged(points + change, colours) - judged(points - change, colours)) / (2 * step)
            assert gradient[vertex, axis].item() == pytest.approx(slope.item(), rel=0.15, abs=0.05)


def test_weights_survive_a_corner_near_the_plane_of_the_camera():
    corners = torch.tensor([[[-1.0, -1.0, 1.0], [1.0, -1.0, 1.0], [0.0, 1e-9, 1e-9]]], dtype=torch.float64)
    weights = perspective_barycentric(corners, torch.tensor([[0.0, -0.5]], dtype=torch.float64))
    assert bool(torch.isfinite(weights).all())
    assert weights.sum().item() == pytest.approx(1)


def test_images_put_fragments_over_the_background_of_their_view():
    cameras = turntable(3, 0.2, 24)
    box = trimesh.creation.box((0.5, 0.6, 0.7))
    seen = rasterize_fragments(projected(torch.tensor(box.vertices), cameras), box.faces.astype(np.int32), 24)
    background = torch.tensor([[0.1], [0.2], [0.3]], dtype=torch.float64)
    picture = seen.images(torch.full((len(seen.pixels), 1), 9.0, dtype=torch.float64), background)
    for view in range(3):
        hit = seen.face[view] >= 0
        assert hit.any()
        assert int(hit.sum()) == int((seen.view == view).sum())
        assert bool((picture[view][hit] == 9).all())
        assert bool((picture[view][~hit] == background[view]).all())


def rays_of(camera: Cameras) -> tuple[np.ndarray, np.ndarray]:
    origins, directions = camera.rays()
    return origins.reshape(-1, 3).double().numpy(), directions.reshape(-1, 3).double().numpy()


def test_what_is_seen_is_what_embree_hits():
    """Faces, barycentric coordinates and depth, against a ray caster that others wrote."""
    pytest.importorskip("embreex", reason="embree is not installed")
    from trimesh.ray.ray_pyembree import RayMeshIntersector

    size = 96
    shape = trimesh.creation.torus(0.55, 0.25)
    shape.apply_transform(trimesh.transformations.rotation_matrix(0.7, [1.0, 0.4, 0.2]))
    camera = turntable(3, 0.35, size)[1:2]
    clip = projected(torch.tensor(shape.vertices), camera)
    seen = rasterize_fragments(clip, shape.faces.astype(np.int32), size)
    origins, directions = rays_of(camera)
    faces, rays, hits = RayMeshIntersector(shape).intersects_id(
        origins, directions, multiple_hits=False, return_locations=True
    )
    expected = np.full(size * size, -1)
    expected[rays] = faces
    found = seen.face[0].reshape(-1).numpy()
    same = found == expected
    assert same.mean() > 0.999  # ties on edges
    both = np.flatnonzero(same & (found >= 0))
    place = np.zeros((size * size, 3))
    place[rays] = hits
    weights = trimesh.triangles.points_to_barycentric(shape.triangles[found[both]], place[both])
    fragment = np.searchsorted(seen.pixels.numpy(), both)
    np.testing.assert_allclose(seen.barycentric.numpy()[fragment], weights, atol=2e-3)
    forward = -camera.rotation[0, :, 2].double().numpy()
    depth = (place[both] - origins[both]) @ forward
    np.testing.assert_allclose(seen.interpolate(clip[0, :, 3:]).numpy()[fragment, 0], depth, rtol=1e-4)


def test_nvdiffrast_is_asked_in_its_own_conventions(monkeypatch: pytest.MonkeyPatch):
    """Its images begin at the bottom and its faces are counted from 1. A stand-in that does the same, on the CPU."""

    def rasterize_from_below(_: object, clip: torch.Tensor, faces: torch.Tensor, size: list[int]) -> tuple:
        seen = [rasterize(vertices, faces.numpy(), *size).face[::-1] + 1 for vertices in clip.detach().numpy()]
        face = torch.from_numpy(np.stack(seen)).float()[..., None]
        return torch.cat([torch.zeros(*face.shape[:3], 3), face], dim=-1), None

    stand_in = types.ModuleType("nvdiffrast.torch")
    stand_in.RasterizeCudaContext = lambda device: None
    stand_in.rasterize = rasterize_from_below
    stand_in.antialias = lambda images, raster, clip, faces: images
    monkeypatch.setitem(sys.modules, "nvdiffrast", types.ModuleType("nvdiffrast"))
    monkeypatch.setitem(sys.modules, "nvdiffrast.torch", stand_in)
    sys.modules["nvdiffrast"].torch = stand_in
    shape = trimesh.creation.annulus(0.2, 0.5, 0.3)
    clip = projected(torch.tensor(shape.vertices).float(), turntable(2, 0.6, 40))
    faces = shape.faces.astype(np.int32)
    (face, blend), (expected, _) = _with_nvdiffrast(clip, faces, 40), _with_compiled_loops(clip, faces, 40)
    assert (expected >= 0).any()
    assert (face == expected).float().mean().item() > 0.999  # ties on edges
    assert blend(torch.zeros(2, 40, 40, 3)).shape == (2, 40, 40, 3)


@pytest.mark.parametrize("subdivide", [False, True])
def test_blended_silhouettes_come_near_a_picture_of_many_samples(subdivide: bool):
    """Two linked rings in two colours, which hide each other and themselves: against 16 x 16 samples a pixel."""
    rings = [trimesh.creation.torus(0.45, 0.12, major_sections=48, minor_sections=24) for _ in range(2)]
    rings[1].apply_transform(trimesh.transformations.rotation_matrix(math.pi / 2, [1, 0, 0]))
    rings[1].apply_translation([0.4, 0, 0])
    shape = trimesh.util.concatenate(rings)
    first = np.arange(len(shape.vertices)) < len(rings[0].vertices)
    if subdivide:  # each face becomes four, smaller than pixels: nothing may change
        vertices, faces = trimesh.remesh.subdivide(np.column_stack([shape.vertices, first]), shape.faces)
        shape, first = trimesh.Trimesh(vertices[:, :3], faces, process=False), vertices[:, 3] > 0.5
    colours = torch.where(torch.from_numpy(first)[:, None], torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
    size, samples = 32, 16

    def drawn(pixels: int, blended: bool) -> torch.Tensor:
        clip = projected(torch.tensor(shape.vertices).float(), turntable(1, 0.5, pixels))
        seen = rasterize_fragments(clip, shape.faces.astype(np.int32), pixels)
        picture = seen.images(seen.interpolate(colours), torch.zeros(1, 2))
        return (seen.antialiased(picture) if blended else picture)[0]

    reference = drawn(size * samples, False).reshape(size, samples, size, samples, 2).mean(dim=(1, 3))
    error, without = ((drawn(size, blended) - reference).square().mean().sqrt().item() for blended in (True, False))
    assert error < 0.3 * without
