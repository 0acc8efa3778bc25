import dataclasses
import math

import pytest
import torch

from representations.cameras import CameraSampler, turntable
from representations.fields.field import Blob, DenseGrid
from representations.fields.nerf import NeRF, PenaltyWeights
from representations.rays import Marching
from representations.shading import Light, headlight, lambertian, textureless


def small_nerf(**arguments) -> NeRF:
    nerf = NeRF(DenseGrid((4, 8)), CameraSampler(size=8), Marching(0.05), **arguments)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for level in nerf.field.levels:
            level += 0.5 * torch.randn(level.shape, generator=generator)
    return nerf


def train(nerf: NeRF, optimizer: torch.optim.Optimizer, generator: torch.Generator, steps: range) -> None:
    for step in steps:
        nerf.update_occupancy(step)
        rendering = nerf(nerf.draw(2, generator))
        loss = (rendering.image - 0.2).square().sum() + nerf.penalty(rendering, step / 40)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_rendering_shapes_and_ranges():
    rendering = small_nerf()(turntable(3, size=8))
    assert rendering.image.shape == (3, 3, 8, 8)
    assert rendering.opacity.shape == rendering.depth.shape == (3, 1, 8, 8)
    assert rendering.normal is None
    for image in (rendering.image, rendering.opacity):
        assert image.min() >= 0
        assert image.max() <= 1 + 1e-6
    centre = rendering.depth[:, 0, 4, 4]
    assert ((centre > 1.8) & (centre < 2.9)).all()


def test_background_shows_where_nothing_is():
    empty = NeRF(DenseGrid((4,), Blob(radius=-10.0)))
    cameras = turntable(2, size=4, background=0.25)
    torch.testing.assert_close(empty(cameras).image, torch.full((2, 3, 4, 4), 0.25), atol=1e-4, rtol=0)


def test_left_and_right_top_and_bottom():
    # Solid only at x > 0, y > 0: the upper right of the image from the front, the upper left from behind.
    nerf = NeRF(DenseGrid((8,), Blob(radius=-10.0)))
    with torch.no_grad():
        nerf.field.levels[0][:, 5:, 5:, 0] = 5.0
    front, _, back, _ = nerf(turntable(4, elevation=0.0, size=2)).opacity[:, 0]
    torch.testing.assert_close(front > 0.5, torch.tensor([[False, True], [False, False]]))
    torch.testing.assert_close(back > 0.5, torch.tensor([[True, False], [False, False]]))


def test_two_pass_gradient_equals_one_pass():
    drawn = CameraSampler(size=9)(2, torch.Generator().manual_seed(4))
    # In float64 throughout: in float32 the last digit of a ray may depend on how many are computed at once.
    exact = {name: value.double() for name, value in vars(drawn).items() if isinstance(value, torch.Tensor)}
    cameras = dataclasses.replace(drawn, **exact)
    results = []
    for rays_at_once in (10**6, 2 * 9 * 2):
        nerf = small_nerf(rays_at_once=rays_at_once).double()
        rendering = nerf(cameras)
        target = rendering.image.detach().mean(dim=0, keepdim=True).flip(-1)
        ((rendering.image - target).square().sum() + nerf.penalty(rendering, 0.5)).backward()
        results.append([rendering.image] + [level.grad for level in nerf.field.levels])
    for one_pass, two_pass in zip(*results, strict=True):
        torch.testing.assert_close(two_pass, one_pass, atol=1e-10, rtol=1e-9)


def test_resume_is_exact():
    straight, generator = small_nerf(), torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(straight.parameter_groups())
    train(straight, optimizer, generator, range(20))
    saved = straight.state_dict(), optimizer.state_dict(), generator.get_state()
    saved = torch.utils._pytree.tree_map(lambda v: v.clone() if isinstance(v, torch.Tensor) else v, saved)
    train(straight, optimizer, generator, range(20, 40))

    resumed, generator = small_nerf(), torch.Generator()
    optimizer = torch.optim.Adam(resumed.parameter_groups())
    resumed.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    generator.set_state(saved[2])
    train(resumed, optimizer, generator, range(20, 40))
    assert not torch.equal(saved[0]["occupancy.density"], straight.occupancy.density)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_occupancy_skips_nothing_that_is_visible():
    nerf, cameras = small_nerf(), turntable(2, size=8)
    before = nerf(cameras)
    nerf.update_occupancy(16)
    after = nerf(cameras)
    assert not nerf.occupancy.binaries.all()
    # A skipped sample has at most the threshold's density on each of its (at most 40) steps of 0.05.
    assert (before.opacity - after.opacity).abs().max() <= 1 - math.exp(-0.25 * 2)
    torch.testing.assert_close(after.image, before.image, atol=0.05, rtol=0)


def test_a_thin_field_keeps_something_occupied():
    nerf = NeRF(DenseGrid((4,), Blob(radius=-1.0)))
    nerf.update_occupancy(16)
    assert nerf.field.cell_density(4, torch.zeros(3)).max() < nerf.occupancy.threshold
    assert 0 < nerf.occupancy.binaries.float().mean() <= 1


def test_cell_density_is_the_maximum_in_each_cell():
    field = small_nerf().field
    points = torch.rand(5000, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    density = field(points).density
    x, y, z = ((points + 1) * 2).long().clamp(max=3).unbind(-1)
    bound = field.cell_density(4, torch.zeros(3))[z, y, x]
    assert (density <= bound + 1e-4).all()
    with pytest.raises(ValueError, match="divide"):
        field.cell_density(3, torch.zeros(3))


def test_penalty_written_out():
    nerf = small_nerf(penalty_weights=PenaltyWeights(roughness=0.0, opacity_entropy=2.0, sparsity=3.0))
    rendering = nerf(turntable(1, size=4))
    half = type(rendering)(rendering.image, torch.full((1, 1, 4, 4), 0.5), rendering.depth, None)
    assert nerf.penalty(half, progress=0.25).item() == pytest.approx(2 * 0.25 * math.log(2) + 3 * 0.5, rel=1e-5)
    for value in (0.0, 1.0):
        edge = torch.full((1, 1, 4, 4), value, requires_grad=True)
        nerf.penalty(type(rendering)(rendering.image, edge, rendering.depth, None), 1.0).backward()
        assert torch.isfinite(edge.grad).all()


def test_density_grid_and_colour_agree_with_the_field():
    nerf = small_nerf()
    grid = nerf.density_grid(9)
    points = torch.tensor([[-1.0, 0.5, 0.25]])
    assert grid[5, 6, 0].item() == pytest.approx(nerf.field(points).density.item(), rel=1e-4)
    torch.testing.assert_close(nerf.color_at(points), nerf.field(points).colour)


def test_lambert_law_and_textureless():
    light = Light(torch.tensor([[0.0, 0.0, 1.0]]), ambient=0.25, diffuse=0.5)
    normal = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.6, 0.8], [0.0, 0.0, -1.0]]).T.reshape(1, 3, 1, 3)
    albedo = torch.full((1, 3, 1, 3), 0.5)
    torch.testing.assert_close(lambertian(albedo, normal, light)[0, 0, 0], torch.tensor([0.375, 0.325, 0.125]))
    torch.testing.assert_close(textureless(albedo, normal, light)[0, 2, 0], torch.tensor([0.75, 0.65, 0.25]))


def test_shaded_ball_has_the_normals_of_a_ball():
    nerf = NeRF(DenseGrid((16, 32), Blob(sharpness=40.0)), marching=Marching(0.02), shading=textureless)
    cameras = turntable(2, elevation=0.0, size=9)
    rendering = nerf(cameras)
    for view in range(2):
        torch.testing.assert_close(rendering.normal[view, :, 4, 4], cameras.rotation[view, :, 2], atol=0.02, rtol=0)
    brightness = headlight(cameras).irradiance(rendering.normal)
    solid = rendering.opacity > 0.99
    torch.testing.assert_close(rendering.image[:, :1][solid], brightness[solid], atol=0.02, rtol=0)


def test_gradient_flows_through_normals():
    nerf = small_nerf(shading=lambertian).double()
    cameras = turntable(1, size=3)
    level = nerf.field.levels[0]

    def image_sum(values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(nerf, {"field.levels.0": values}, (cameras,)).image.sum()

    gradient = torch.autograd.grad(image_sum(level), level)[0]
    direction = torch.randn(level.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    difference = (image_sum(level + 1e-5 * direction) - image_sum(level - 1e-5 * direction)) / 2e-5
    assert (gradient * direction).sum().item() == pytest.approx(difference.item(), rel=1e-4)


def test_pyramid_must_double():
    with pytest.raises(ValueError, match="twice"):
        DenseGrid((16, 48))
