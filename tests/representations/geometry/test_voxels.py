import pytest
import torch
import torch.nn.functional as F

from representations.geometry.voxels import (
    doubled,
    is_occupied,
    node_normals,
    node_positions,
    roughness,
    roughness_on_card,
    roughness_torch,
    sample_grid,
)


def random_grid(nodes: int = 4, channels: int = 3) -> torch.Tensor:
    shape = (nodes, nodes, nodes, channels)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_doubled_is_trilinear_interpolation():
    grid = random_grid()
    volume = grid.permute(3, 0, 1, 2)[None]
    expected = F.interpolate(volume, size=(7, 7, 7), mode="trilinear", align_corners=True)[0].permute(1, 2, 3, 0)
    torch.testing.assert_close(doubled(grid), expected)


def test_doubled_gradient():
    assert torch.autograd.gradcheck(doubled, random_grid(3, 2).requires_grad_())


def test_sample_grid_is_exact_on_affine_functions():
    positions = node_positions(5).double()
    grid = torch.stack([positions @ torch.tensor([1.0, -2.0, 3.0]).double() + 0.5, positions[..., 1]], dim=-1)
    points = torch.rand(20, 3, dtype=torch.float64) * 2 - 1
    expected = points @ torch.tensor([1.0, -2.0, 3.0]).double() + 0.5
    torch.testing.assert_close(sample_grid(grid, points), torch.stack([expected, points[:, 1]], dim=-1))


def test_is_occupied_finds_the_cell():
    occupancy = torch.zeros(2, 2, 2, dtype=torch.bool)
    occupancy[0, 1, 1] = True  # z < 0, y > 0, x > 0
    points = torch.tensor([[0.5, 0.5, -0.5], [0.5, -0.5, -0.5], [0.5, 0.5, 0.5], [1.0, 1.0, -1.0]])
    assert is_occupied(occupancy, points).tolist() == [True, False, False, True]


def test_roughness_written_out():
    # One channel, 2x2x2 nodes, value = 3x: 4 pairs along x differ by 3, none along y or z; faces are 2 x 2.
    grid = torch.zeros(2, 2, 2, 1)
    grid[:, :, 1] = 3.0
    assert roughness(grid, torch.tensor([2.0])).item() == pytest.approx(2 * 4 * 9.0 * 4)
    assert roughness(torch.full((3, 3, 3, 2), 7.0), torch.ones(2)).item() == 0


@pytest.mark.parametrize("nodes", [33, 65])
def test_roughness_of_a_box_is_its_area(nodes):
    inside = (node_positions(nodes).abs() < 0.5 + 1e-6).all(dim=-1, keepdim=True).float()
    assert roughness(inside, torch.ones(1)).item() == pytest.approx(6.0, rel=0.14)


@pytest.mark.parametrize("found_by", [roughness, roughness_on_card])
def test_roughness_value_and_gradient_equal_plain_torch(found_by):
    grid, weights = random_grid(6, 4).requires_grad_(), torch.tensor([1.0, 0.3, 0.2, 0.0]).double()
    ours, plain = found_by(grid, weights), roughness_torch(grid, weights)
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(torch.autograd.grad(2 * ours, grid)[0], torch.autograd.grad(2 * plain, grid)[0])


def test_normals_point_out_of_a_ball():
    positions = node_positions(17).double()
    normals = node_normals(-positions.norm(dim=-1))
    outward = F.normalize(positions, dim=-1)
    away_from_centre = positions.norm(dim=-1) > 0.3
    assert ((normals * outward).sum(dim=-1)[away_from_centre] > 0.98).all()
    assert torch.isfinite(node_normals(torch.zeros(4, 4, 4))).all()
