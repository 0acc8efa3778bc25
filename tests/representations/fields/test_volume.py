import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from representations.cameras import CameraSampler
from representations.fields.volume import DENSITY_SCALE, density_of, render_volume, render_volume_torch
from representations.rays import Marching, Rays, sphere_span


def random_rays(size: int = 6, count: int = 3) -> Rays:
    cameras = CameraSampler(size=size)(count, torch.Generator().manual_seed(0))
    origins, directions = cameras.rays()
    rays = (origins.reshape(-1, 3), directions.reshape(-1, 3), cameras.sample_offsets().reshape(-1))
    directions = rays[1].double()
    return Rays(rays[0].double(), directions / directions.norm(dim=-1, keepdim=True), rays[2].double())


def random_grid(nodes: int = 9, channels: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    grid = torch.randn(nodes, nodes, nodes, channels, generator=generator, dtype=torch.float64)
    grid[..., 0] = grid[..., 0] * 2 - 3
    return grid


def random_occupancy(cells: int = 4) -> torch.Tensor:
    return torch.rand(cells, cells, cells, generator=torch.Generator().manual_seed(2)) < 0.7


ONE_RAY = Rays(
    torch.tensor([[0.0, 0.0, 3.0]], dtype=torch.float64),
    torch.tensor([[0.0, 0.0, -1.0]], dtype=torch.float64),
    torch.tensor([0.5], dtype=torch.float64),
)
EVERYWHERE = torch.ones(1, 1, 1, dtype=torch.bool)


def test_two_samples_written_out():
    # A ray along z through a grid whose logit depends on z only; step 1 puts its two samples at z = 0.5 and -0.5.
    grid = torch.zeros(3, 3, 3, 4, dtype=torch.float64)
    grid[0, ..., 0], grid[1, ..., 0], grid[2, ..., 0] = -6.0, -4.0, -2.0
    grid[..., 1] = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)[:, None, None]
    integral = render_volume(grid, ONE_RAY, EVERYWHERE, Marching(step=1.0, stop_transmittance=0.0))
    near, far = (DENSITY_SCALE * math.log1p(math.exp(logit)) for logit in (-3.0, -5.0))
    first = 1 - math.exp(-near)
    second = math.exp(-near) * (1 - math.exp(-far))
    red = [1 / (1 + math.exp(-value)) for value in (0.5, -0.5)]
    assert integral.opacity.item() == pytest.approx(first + second, rel=1e-12)
    assert integral.depth.item() == pytest.approx(first * 2.5 + second * 3.5, rel=1e-12)
    assert integral.features[0, 0].item() == pytest.approx(first * red[0] + second * red[1], rel=1e-12)
    assert integral.features[0, 1].item() == pytest.approx(0.5 * (first + second), rel=1e-12)


def test_homogeneous_ball_follows_beer_and_lambert():
    grid = torch.full((5, 5, 5, 4), -3.0, dtype=torch.float64)
    rays = random_rays()
    near, far = sphere_span(rays)
    marching = Marching(step=2 / 500, stop_transmittance=0.0)
    opacity = render_volume(grid, rays, EVERYWHERE, marching).opacity
    density = density_of(torch.tensor(-3.0, dtype=torch.float64))
    torch.testing.assert_close(opacity, 1 - torch.exp(-density * (far - near)), atol=0.006, rtol=0)


@pytest.mark.parametrize("stop", [0.0, 0.05])
@pytest.mark.parametrize("channels", [4, 7])
def test_compiled_values_and_gradients_equal_plain_torch(stop, channels):
    rays, occupancy, marching = random_rays(), random_occupancy(), Marching(0.05, stop)
    grid = random_grid(channels=channels)
    generator = torch.Generator().manual_seed(3)
    shapes = [(len(rays), channels - 1), (len(rays),), (len(rays),)]
    upstream = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    gradients = []
    for render in (render_volume, render_volume_torch):
        leaf = grid.clone().requires_grad_()
        outputs = render(leaf, rays, occupancy, marching)
        gradients.append((outputs, torch.autograd.grad(outputs, leaf, upstream)[0]))
    (compiled, compiled_gradient), (plain, plain_gradient) = gradients
    for ours, reference in zip(compiled, plain, strict=True):
        torch.testing.assert_close(ours, reference, atol=1e-10, rtol=1e-8)
    assert plain_gradient.abs().max() > 0.1
    torch.testing.assert_close(compiled_gradient, plain_gradient, atol=1e-9, rtol=1e-7)


def test_single_precision_stays_close_to_double():
    rays, grid = random_rays(), random_grid()
    single = Rays(rays.origins.float(), rays.directions.float(), rays.offsets.float())
    marching = Marching(0.05)
    ours = render_volume(grid.float(), single, EVERYWHERE, marching)
    reference = render_volume_torch(grid, rays, EVERYWHERE, marching)
    for value, expected in zip(ours, reference, strict=True):
        torch.testing.assert_close(value.double(), expected, atol=2e-3, rtol=1e-3)


def test_gradient_against_finite_differences():
    rays = random_rays(size=2, count=2)
    grid = random_grid(nodes=3, channels=5).requires_grad_()
    occupancy, marching = random_occupancy(2), Marching(0.21, stop_transmittance=0.0)
    assert torch.autograd.gradcheck(lambda g: tuple(render_volume(g, rays, occupancy, marching)), grid)


def test_threads_change_nothing_but_rounding():
    rays, grid = random_rays(size=24, count=3), random_grid()
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3, 3):
            torch.set_num_threads(threads)
            leaf = grid.clone().requires_grad_()
            outputs = render_volume(leaf, rays, random_occupancy(), Marching())
            results.append((outputs.features, torch.autograd.grad(outputs.features.sum(), leaf)[0]))
    finally:
        torch.set_num_threads(before)
    (values, gradient), (other_values, other_gradient), (_, again) = results
    assert torch.equal(values, other_values)
    torch.testing.assert_close(gradient, other_gradient, atol=1e-12, rtol=1e-10)
    assert torch.equal(other_gradient, again)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.floats(0.0, 5.0), st.floats(0.0, 0.5))
def test_opacity_is_a_share_and_grows_with_density(seed, more, stop):
    generator = torch.Generator().manual_seed(seed)
    grid = torch.randn(5, 5, 5, 4, generator=generator, dtype=torch.float64) * 3 - 3
    denser = grid.clone()
    denser[..., 0] += more
    marching = Marching(0.1, stop)
    thin, thick = (render_volume(g, random_rays(4, 2), random_occupancy(), marching) for g in (grid, denser))
    for integral in (thin, thick):
        assert ((integral.opacity >= 0) & (integral.opacity <= 1 + 1e-12)).all()
        assert (integral.features >= 0).all()
        assert (integral.features <= integral.opacity[:, None] + 1e-12).all()  # premultiplied colour
    # Where light is cut off below `stop`, what is left out may differ by as much.
    assert (thick.opacity >= thin.opacity - stop - 1e-12).all()


def test_rays_that_miss_see_nothing():
    miss = Rays(ONE_RAY.origins + torch.tensor([2.0, 0, 0]), ONE_RAY.directions, ONE_RAY.offsets)
    away = Rays(ONE_RAY.origins, -ONE_RAY.directions, ONE_RAY.offsets)
    for rays in (miss, away):
        for output in render_volume(random_grid(), rays, EVERYWHERE, Marching()):
            assert (output == 0).all()


def test_a_nan_in_the_grid_is_seen():
    grid = random_grid()
    grid[4, 4, 4, 1] = math.nan
    assert render_volume(grid, ONE_RAY, EVERYWHERE, Marching(stop_transmittance=0.0)).features[:, 0].isnan().all()


@pytest.mark.parametrize("shape", [(4, 4, 5, 4), (4, 4, 4, 3), (4, 4, 4)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        render_volume(torch.zeros(shape), ONE_RAY, EVERYWHERE, Marching())


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match=r"\(M, M, M\)"):
        render_volume(random_grid(), ONE_RAY, torch.ones(2, 2, 3, dtype=torch.bool), Marching())
    nowhere = Rays(ONE_RAY.origins, ONE_RAY.directions * math.nan, ONE_RAY.offsets)
    with pytest.raises(ValueError, match="not finite"):
        render_volume(random_grid(), nowhere, EVERYWHERE, Marching())
    with pytest.raises(ValueError, match="shapes"):
        Rays(ONE_RAY.origins, ONE_RAY.directions.expand(2, 3), ONE_RAY.offsets)
    with pytest.raises(ValueError, match="both be float32 or float64"):
        render_volume(random_grid().float(), ONE_RAY, EVERYWHERE, Marching())
    with pytest.raises(ValueError, match="step"):
        Marching(step=0.0)
