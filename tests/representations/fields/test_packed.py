import math

import pytest
import torch

from representations.cameras import CameraSampler, turntable
from representations.fields.encodings import HashEncoding
from representations.fields.field import DenseGrid, HashGrid
from representations.fields.nerf import NeRF
from representations.fields.packed import (
    accumulate_along_rays,
    march,
    normals_by_differences,
    render_packed,
    render_weight_from_density,
)
from representations.rays import Marching, Rays
from representations.shading import textureless


def rays(size: int = 8, count: int = 2) -> Rays:
    cameras = CameraSampler(size=size)(count, torch.Generator().manual_seed(0))
    origins, directions = cameras.rays()
    packed = Rays(origins.reshape(-1, 3), directions.reshape(-1, 3), cameras.sample_offsets().reshape(-1))
    return packed.to(torch.zeros(1, dtype=torch.float64))


def rough_dense_grid() -> DenseGrid:
    field = DenseGrid((4, 8)).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        field.levels[0] += torch.randn(field.levels[0].shape, generator=generator, dtype=torch.float64)
    return field


def small_hash_grid() -> HashGrid:
    generator = torch.Generator().manual_seed(0)
    return HashGrid(HashEncoding(4, 2, 10, 4, 32, generator), width=16, generator=generator)


def test_weights_written_out():
    # Ray 0 has two samples, ray 1 none, ray 2 one: densities 1, 2 and 3 over lengths 0.5, 0.25 and 0.1.
    ray_indices = torch.tensor([0, 0, 2])
    t_starts = torch.tensor([1.0, 1.5, 2.0]).double()
    t_ends = torch.tensor([1.5, 1.75, 2.1]).double()
    sigmas = torch.tensor([1.0, 2.0, 3.0]).double()
    weights, transmittance, alphas = render_weight_from_density(t_starts, t_ends, sigmas, ray_indices, n_rays=3)
    first, second, third = 1 - math.exp(-0.5), 1 - math.exp(-0.5), 1 - math.exp(-0.3)
    assert alphas.tolist() == pytest.approx([first, second, third])
    assert transmittance.tolist() == pytest.approx([1.0, math.exp(-0.5), 1.0])
    assert weights.tolist() == pytest.approx([first, math.exp(-0.5) * second, third])
    values = torch.tensor([[1.0], [10.0], [100.0]]).double()
    total = accumulate_along_rays(weights, values, ray_indices, n_rays=3)
    assert total[:, 0].tolist() == pytest.approx([first + 10 * math.exp(-0.5) * second, 0.0, 100 * third])


def test_samples_are_sorted_inside_and_in_occupied_cells():
    occupancy = torch.zeros(2, 2, 2, dtype=torch.bool)
    occupancy[:, 1, :] = True  # the upper half
    samples = march(rays(), occupancy, step=0.1)
    points = samples.points(rays())
    assert len(points) > 100
    assert (points[:, 1] >= 0).all()
    assert (points.norm(dim=1) <= 1 + 1e-9).all()
    order = samples.ray_indices.double() * 100 + samples.distances
    assert (order.diff() > 0).all()
    torch.testing.assert_close(samples.t_ends - samples.t_starts, torch.full_like(samples.t_ends, 0.1))


@pytest.mark.parametrize("stop", [0.0, 0.05])
def test_packed_equals_fused_on_the_same_field(stop):
    field, marching = rough_dense_grid(), Marching(0.05, stop)
    occupancy = torch.rand(4, 4, 4, generator=torch.Generator().manual_seed(2)) < 0.7
    fused = field.render(rays(), occupancy, marching, with_normals=False)
    packed = render_packed(field, rays(), occupancy, marching)
    parameters = list(field.parameters())
    upstream = [torch.randn(out.shape, generator=torch.Generator().manual_seed(3)).double() for out in fused]
    for ours, reference in zip(packed, fused, strict=True):
        torch.testing.assert_close(ours, reference, atol=1e-10, rtol=1e-8)
    ours = torch.autograd.grad(packed, parameters, upstream)
    reference = torch.autograd.grad(fused, parameters, upstream)
    for gradient, expected in zip(ours, reference, strict=True):
        torch.testing.assert_close(gradient, expected, atol=1e-10, rtol=1e-7)


def test_no_samples_at_all():
    integral = render_packed(rough_dense_grid(), rays(), torch.zeros(1, 1, 1, dtype=torch.bool), Marching())
    assert all((output == 0).all() for output in integral)


def test_normals_by_differences_are_exact_on_affine_functions():
    slope = torch.tensor([0.6, 0.0, -0.8]).double()
    normals = normals_by_differences(lambda points: points @ slope + 3, torch.rand(5, 3).double(), distance=0.1)
    torch.testing.assert_close(normals, -slope.expand(5, 3))
    assert torch.isfinite(normals_by_differences(lambda points: points[:, 0] * 0, torch.rand(5, 3), 0.1)).all()


def test_hash_grid_starts_as_the_same_ball_as_the_dense_grid():
    cameras = turntable(2, size=12)
    hashed, dense = NeRF(small_hash_grid())(cameras), NeRF(DenseGrid((16, 32)))(cameras)
    torch.testing.assert_close(hashed.opacity, dense.opacity, atol=0.05, rtol=0)
    torch.testing.assert_close(hashed.image, dense.image, atol=0.05, rtol=0)


def test_hash_grid_gradient_in_strips_and_with_normals():
    cameras = CameraSampler(size=6)(2, torch.Generator().manual_seed(4))
    results = []
    for rays_at_once in (10**6, 12):
        nerf = NeRF(small_hash_grid(), shading=textureless, rays_at_once=rays_at_once).double()
        (nerf(cameras).image.square().sum() + 3 * nerf.field.roughness()).backward()
        results.append([parameter.grad for parameter in nerf.parameters()])
    assert all(gradient.abs().max() > 0 for gradient in results[0])
    for one_pass, two_pass in zip(*results, strict=True):
        torch.testing.assert_close(two_pass, one_pass, atol=1e-9, rtol=1e-7)


def test_hash_grid_learns_a_picture_and_skips_empty_space():
    nerf = NeRF(small_hash_grid(), CameraSampler(size=10))
    optimizer = torch.optim.Adam(nerf.parameter_groups())
    generator, errors = torch.Generator().manual_seed(0), []
    for step in range(49):
        nerf.update_occupancy(step)
        cameras = nerf.draw(2, generator)
        rendering = nerf(cameras)
        red = torch.tensor([0.9, 0.1, 0.1])[:, None, None] * rendering.opacity.detach()
        error = (rendering.image - red - (1 - rendering.opacity) * cameras.background[..., None, None]).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.1 * errors[0]
    assert nerf.occupancy.binaries.float().mean() < 0.9


def test_hash_grid_is_the_same_every_time_unless_told_otherwise():
    first, again = HashGrid(), HashGrid()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    other = HashGrid(generator=torch.Generator().manual_seed(1))
    assert not torch.equal(first.network[0].weight, other.network[0].weight)
