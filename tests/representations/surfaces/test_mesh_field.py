"""A textured surface seen by cameras: as a field shows it, as its light demands, and moved by what is seen of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import trimesh

from representations.cameras import CameraSampler, turntable
from representations.fields.field import Blob, DenseGrid, HashGrid
from representations.fields.nerf import NeRF
from representations.geometry.isosurface import EmptySurfaceError
from representations.geometry.mesh import Mesh
from representations.geometry.voxels import node_positions
from representations.shading import camera_normals, headlight, lambertian, textureless
from representations.surfaces.distance_grid import DistanceGrid
from representations.surfaces.fixed_shape import FixedShape
from representations.surfaces.mesh_field import MeshField, MeshPenaltyWeights, begin_with, fit_texture

KEPT = ("size", "jitter", "look")
"""What of cameras has no precision."""


def two_coloured_nerf() -> NeRF:
    """A ball that is red on the right (+X) and blue on the left."""
    nerf = NeRF(DenseGrid((16, 32), Blob(radius=0.55, sharpness=60.0, surface=0.0)))
    with torch.no_grad():
        side = torch.sign(node_positions(33)[..., 0])
        nerf.field.levels[1][..., 1] = 4 * side
        nerf.field.levels[1][..., 2] = -4.0
        nerf.field.levels[1][..., 3] = -4 * side
    return nerf


def ball(subdivisions: int = 3, radius: float = 0.5) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions, radius)
    return Mesh(np.asarray(shape.vertices), np.asarray(shape.faces))


def small_field(**arguments: object) -> MeshField:
    return MeshField(DistanceGrid((8, 16, 32)), DenseGrid((16, 32)), **arguments)


def test_it_begins_as_the_field_looks():
    nerf, field = two_coloured_nerf(), small_field()
    begin_with(field, nerf)
    cameras = turntable(4, 0.3, 48)
    with torch.no_grad():
        expected, found = nerf(cameras), field(cameras)
    assert (found.image - expected.image).abs().mean().item() < 0.025
    assert found.opacity.sum().item() == pytest.approx(expected.opacity.sum().item(), rel=0.1)
    inner = (found.opacity > 0.99) & (expected.opacity > 0.99)
    assert (found.depth - expected.depth)[inner].abs().mean().item() < 0.1
    mesh = field.surface()
    right, left = mesh.vertices[:, 0] > 0.1, mesh.vertices[:, 0] < -0.1
    np.testing.assert_allclose(mesh.colours[right].mean(axis=0), [0.98, 0.02, 0.02], atol=0.03)
    np.testing.assert_allclose(mesh.colours[left].mean(axis=0), [0.02, 0.02, 0.98], atol=0.03)


def test_its_surface_is_what_is_delivered():
    field = small_field()
    mesh = field.surface()
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * math.pi * 0.5**3, rel=0.02)
    np.testing.assert_allclose(mesh.colours, 0.5, atol=1e-6)
    assert len(field.surface(faces=500).faces) <= 500
    points = torch.from_numpy(mesh.vertices).float()
    torch.testing.assert_close(field.seen_color(points, points), field.color_at(points))


def test_floaters_are_not_delivered():
    field = small_field()
    with torch.no_grad():
        field.shape.start[24, 24, 16] = -1.0  # one node of inside, far from the ball
    assert field.shape().vertices.norm(dim=1).max().item() > 0.65
    assert np.linalg.norm(field.surface().vertices, axis=1).max() < 0.52


def test_pictures_and_depth_of_a_ball():
    field = MeshField(FixedShape(ball(5)), DenseGrid((8,)))
    camera = turntable(1, 0.0, 65, background=0.25)
    with torch.no_grad():
        field.texture.levels[0][..., 1:] = torch.tensor([1.0, 0.0, -1.0])
        seen = field(camera)
    colour = torch.tensor([1.0, 0.0, -1.0]).sigmoid()
    torch.testing.assert_close(seen.image[0, :, 32, 32], colour)
    torch.testing.assert_close(seen.image[0, :, 0, 0], torch.full((3,), 0.25))
    assert seen.depth[0, 0, 32, 32].item() == pytest.approx(2.8 - 0.5, abs=1e-3)
    assert (seen.opacity[0, 0, 32, 32].item(), seen.opacity[0, 0, 0, 0].item()) == (1, 0)
    assert seen.normal is None


def test_light_falls_by_the_cosine():
    field = MeshField(FixedShape(ball(5)), DenseGrid((8,)), shading=textureless)
    camera = turntable(1, 0.0, 65)
    with torch.no_grad():
        seen = field(camera)
    normal = seen.normal[0, :, 32, 40]
    assert normal.norm().item() == pytest.approx(1, abs=1e-5)
    origins, directions = camera.rays()
    place = origins[0, 32, 40] + seen.depth[0, 0, 32, 40] * directions[0, 32, 40]
    torch.testing.assert_close(normal, F.normalize(place, dim=0), atol=5e-3, rtol=0)
    light = headlight(camera)
    expected = light.ambient + light.diffuse * (normal @ light.direction[0]).clamp(min=0)
    torch.testing.assert_close(seen.image[0, :, 32, 40], expected.expand(3))


def test_shading_moves_the_shape_too():
    field = small_field(shading=lambertian)
    image = field(turntable(1, 0.3, 24)).image[:, :, 9:15, 9:15]  # no silhouette in there
    image.sum().backward()
    assert field.shape.levels[0].grad.abs().sum().item() > 0


def test_pictures_of_directions_move_vertices_as_finite_differences_say():
    """In double precision, away from the outline, where nothing else than the directions changes."""
    mesh, camera = ball(2), turntable(1, 0.3, 24)
    camera = replace(camera, **{name: value.double() for name, value in vars(camera).items() if name not in KEPT})
    weight = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shape = FixedShape(mesh).double()
    shape.vertices = torch.from_numpy(mesh.vertices).requires_grad_()
    field = MeshField(shape, DenseGrid((8,)).double(), shading=camera_normals)

    def seen() -> torch.Tensor:
        return (field(camera).image[0, :, 9:15, 9:15] * weight).sum()

    seen().backward()
    slope, facing = shape.vertices.grad, shape.vertices.detach()[:, 2].argmax()
    assert slope[facing].abs().sum() > 0
    for axis in range(3):
        nudge = torch.zeros_like(slope)
        nudge[facing, axis] = 1e-6
        with torch.no_grad():
            shape.vertices += nudge
            above = seen()
            shape.vertices -= 2 * nudge
            below = seen()
            shape.vertices += nudge
        assert slope[facing, axis].item() == pytest.approx((above - below).item() / 2e-6, rel=1e-4, abs=1e-7)


def test_silhouettes_teach_the_shape():
    """Shown the outlines of a larger ball from all sides, the ball grows to its size."""
    field = small_field(penalty_weights=MeshPenaltyWeights(laplacian=0.1, normals=0.1))
    goal = MeshField(FixedShape(ball(4, 0.62)), DenseGrid((8,)))
    optimizer = torch.optim.Adam(field.shape.parameters(), lr=0.03, betas=(0.9, 0.99))
    sampler, rng = CameraSampler(size=24), torch.Generator().manual_seed(0)
    for _ in range(70):
        cameras = sampler(2, rng)
        with torch.no_grad():
            wanted = goal(cameras).opacity
        seen = field(cameras)
        optimizer.zero_grad()
        ((seen.opacity - wanted).square().sum() + field.penalty(seen, 0.0)).backward()
        optimizer.step()
    assert field.surface().volume == pytest.approx(4 / 3 * math.pi * 0.62**3, rel=0.03)


def test_penalties_reach_the_shape_and_only_where_it_can_move():
    cameras = turntable(1, 0.3, 16)
    for name in ("laplacian", "normals", "edges"):
        weights = {"laplacian": 0.0, "normals": 0.0, "edges": 0.0, "roughness": 0.0, name: 2.0}
        field = small_field(penalty_weights=MeshPenaltyWeights(**weights))
        penalty = field.penalty(field(cameras), 0.5)
        penalty.backward()
        assert penalty.item() > 0
        assert field.shape.levels[0].grad.abs().sum().item() > 0
    fixed = MeshField(FixedShape(ball()), DenseGrid((8,)), penalty_weights=MeshPenaltyWeights(roughness=0.0))
    assert fixed.penalty(fixed(cameras), 0.5).item() == 0


@pytest.mark.parametrize("texture", [DenseGrid((16, 32)), HashGrid()])
def test_a_texture_learns_colours_through_a_thin_layer(texture: DenseGrid | HashGrid):
    mesh = ball(4)
    wanted = torch.from_numpy(mesh.vertices + 0.5)
    fit_texture(texture, replace(mesh, colours=wanted.numpy()), 0.06)
    points = torch.from_numpy(mesh.vertices).float()
    for scale in (0.9, 1.0, 1.1):
        with torch.no_grad():
            error = (texture(points * scale).colour - wanted).abs()
        assert error.mean().item() < 0.03


def test_a_fixed_shape_is_part_of_the_state():
    one, other = MeshField(FixedShape(ball(2)), DenseGrid((8,))), MeshField(FixedShape(), DenseGrid((8,)))
    other.load_state_dict(one.state_dict())
    np.testing.assert_allclose(other.surface().vertices, one.surface().vertices)
    assert one.parameter_groups()[0]["params"] == list(one.texture.levels)
    damaged = one.state_dict() | {"shape.vertices": torch.zeros(5)}
    with pytest.raises(RuntimeError, match="vertices"):
        other.load_state_dict(damaged)


def test_a_surface_that_vanished_says_so():
    field = small_field()
    field.shape.begin_with(torch.ones(33, 33, 33))
    with pytest.raises(EmptySurfaceError, match="vanished"):
        field(turntable(1))


def test_views_that_see_nothing_are_background():
    with torch.no_grad():
        seen = MeshField(FixedShape(ball(1, 0.01)), DenseGrid((8,)))(turntable(1, size=8, background=0.5))
    torch.testing.assert_close(seen.image[0, :, 0], torch.full((3, 8), 0.5))
    assert seen.opacity[0, 0, 0].sum().item() == 0
