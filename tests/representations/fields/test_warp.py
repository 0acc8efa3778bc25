"""Warp's kernels, on the CPU by its own compiler, say what those of numba and of plain torch say: values, gradients."""

import pytest
import torch

from representations.fields import packed
from representations.fields.encodings import HashEncoding, encode_warp
from representations.fields.volume import render_volume, render_volume_warp
from representations.rays import Marching, Rays
from tests.representations.fields.test_volume import random_grid, random_occupancy, random_rays

pytest.importorskip("warp", reason="pip install warp-lang")


def single(rays: Rays) -> Rays:
    return rays.to(torch.zeros((), dtype=torch.float32))


@pytest.mark.parametrize(("stop", "channels"), [(0.0, 4), (1e-2, 7)])
def test_marching_through_voxels(stop: float, channels: int) -> None:
    rays, occupancy, marching = single(random_rays()), random_occupancy(), Marching(0.07, stop)
    results = []
    for render in (render_volume, render_volume_warp):
        grid = random_grid(channels=channels).detach().float().requires_grad_()
        seen = render(grid, rays, occupancy, marching)
        torch.stack([(part * (1 + part)).sum() for part in seen]).sum().backward()
        results.append([*seen, grid.grad])
    assert results[0][1].detach().max() > 0.5
    for found, expected in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("features", [2, 4])
def test_hash_grids(features: int) -> None:
    encoding = HashEncoding(5, features, 8, 4, 40, torch.Generator().manual_seed(0))
    assert {level.is_hashed for level in encoding.levels} == {False, True}
    points = torch.rand(300, 3, generator=torch.Generator().manual_seed(1))
    points[:2] = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    upstream = torch.randn(300, encoding.width, generator=torch.Generator().manual_seed(2))
    encoding(points).backward(upstream)
    expected = encoding.table.grad
    encoding.table.grad = None
    found = encode_warp(encoding.table, points, encoding.levels)
    torch.testing.assert_close(found, encoding(points), rtol=1e-5, atol=1e-9)
    found.backward(upstream)
    torch.testing.assert_close(encoding.table.grad, expected, rtol=1e-5, atol=1e-5)


def test_packed_samples_and_their_weights() -> None:
    rays, occupancy = single(random_rays()), random_occupancy()
    expected, found = packed.march(rays, occupancy, 0.06), packed.march_warp(rays, occupancy, 0.06)
    assert 100 < len(expected.ray_indices) < 30 * len(rays)
    assert torch.equal(found.ray_indices, expected.ray_indices)
    torch.testing.assert_close(found.distances, expected.distances)
    rng = torch.Generator().manual_seed(0)
    density = 9 * torch.rand(len(found.ray_indices), generator=rng)
    upstream = [torch.randn(len(density), generator=rng) for _ in range(3)]
    results = []
    for weigh in (packed._weights, packed.weights_warp):
        sigmas = density.clone().requires_grad_()
        parts = weigh(found.t_starts, found.t_ends, sigmas, found.ray_indices, len(rays))
        torch.autograd.backward(parts, upstream)
        results.append([*parts, sigmas.grad])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_nothing_to_look_at() -> None:
    none = Rays(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0))
    seen = render_volume_warp(torch.zeros(3, 3, 3, 4, requires_grad=True), none, torch.ones(2, 2, 2).bool(), Marching())
    assert seen.features.shape == (0, 3)
    seen.features.sum().backward()
    empty = packed.march_warp(single(random_rays()), torch.zeros(2, 2, 2).bool(), 0.1)
    weights, *_ = packed.weights_warp(empty.t_starts, empty.t_ends, empty.t_starts, empty.ray_indices, 108)
    assert len(weights) == 0
