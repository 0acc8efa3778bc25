import pytest
import torch

from representations.fields.encodings import HashEncoding, encode_torch, hash_levels


def encoding(**arguments) -> HashEncoding:
    defaults = {"levels": 5, "features": 3, "log2_table_size": 9, "base_resolution": 4, "finest_resolution": 40}
    module = HashEncoding(**(defaults | arguments), generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        module.table.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
    return module


def points(count: int = 300) -> torch.Tensor:
    corners = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 0.0, 0.5]])
    inside = torch.rand(count, 3, generator=torch.Generator().manual_seed(2))
    return torch.cat([corners, inside]).double()


def test_layout_of_the_paper_written_out():
    # N_min 16, N_max 2048 over 16 levels: b = 2^(7/15) = 1.3819; level 1: scale 16 b - 1 = 21.11, so 23 nodes.
    levels = hash_levels(16, 16, 2 ** (7 / 15), 19)
    assert [level.resolution for level in levels[:3]] == [16, 23, 31]
    assert levels[0].size == 16**3
    assert levels[1].size == 12168  # 23^3 = 12167, padded to a multiple of 8
    assert levels[1].start == 4096
    assert levels[-1].scale == pytest.approx(2047)
    assert levels[-1].size == 2**19
    assert [level.is_hashed for level in levels] == [False] * 5 + [True] * 11  # 81^3 > 2^19


def test_dense_level_interpolates_at_tinycudann_s_half_cell_offset():
    # One level with scale 3: node n of an axis sits at (n - 0.5) / 3.
    module = encoding(levels=1, features=1, log2_table_size=9, finest_resolution=4)
    nodes = torch.arange(4.0).double()
    z, y, x = torch.meshgrid(nodes, nodes, nodes, indexing="ij")
    with torch.no_grad():
        module.table.copy_((x + 10 * y + 100 * z).reshape(-1, 1))
    point = torch.tensor([[0.5, 0.25, 0.75]]).double()
    expected = (0.5 * 3 + 0.5) + 10 * (0.25 * 3 + 0.5) + 100 * (0.75 * 3 + 0.5)
    assert module(point).item() == pytest.approx(expected)


def test_hash_written_out():
    module = encoding(levels=1, features=1, log2_table_size=6, base_resolution=64, finest_resolution=64)
    with torch.no_grad():
        module.table.copy_(torch.arange(64.0)[:, None])
    x, y, z = 7, 21, 40
    node = (torch.tensor([[x, y, z]]).double() - 0.5) / 63
    row = (x ^ (y * 2654435761) ^ (z * 805459861)) % 2**32 % 64
    assert module(node).item() == pytest.approx(row, abs=1e-6)


def test_compiled_values_and_gradients_equal_plain_torch():
    module, where = encoding(), points()
    assert any(level.is_hashed for level in module.levels)
    assert not all(level.is_hashed for level in module.levels)
    upstream = torch.randn(len(where), module.width, generator=torch.Generator().manual_seed(3)).double()
    ours, plain = module(where), encode_torch(module.table, where, module.levels)
    torch.testing.assert_close(ours, plain, atol=1e-12, rtol=1e-10)
    gradients = [torch.autograd.grad(out, module.table, upstream)[0] for out in (ours, plain)]
    torch.testing.assert_close(*gradients, atol=1e-12, rtol=1e-10)


def test_gradient_against_finite_differences():
    module, where = encoding(levels=2, features=2, log2_table_size=5, finest_resolution=9), points(5)

    def encode(table: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(module, {"table": table}, (where,))

    assert torch.autograd.gradcheck(encode, module.table.detach().clone().requires_grad_())


def test_threads_change_nothing():
    module, where, before, results = encoding(), points(3000), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            encoded = module(where)
            results.append((encoded, torch.autograd.grad(encoded.square().sum(), module.table)[0]))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("coordinate", [-0.01, 1.01, float("nan"), float("inf")])
def test_points_outside_are_refused(coordinate):
    with pytest.raises(ValueError, match="outside"):
        encoding()(torch.tensor([[0.5, coordinate, 0.5]]).double())


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="base_resolution"):
        HashEncoding(base_resolution=32, finest_resolution=16)
