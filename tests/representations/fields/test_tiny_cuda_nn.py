"""Tables are tiny-cuda-nn's, and the package is asked so that it answers as the project's own kernels do."""

import sys

import pytest
import torch

from representations.accelerators import Accelerator
from representations.fields.encodings import TINYCUDANN, HashEncoding
from tests.card.pretended import pretended_card
from tests.representations.fields import tiny_cuda_nn


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tinycudann", tiny_cuda_nn)
    monkeypatch.setitem(vars(TINYCUDANN), "problem", None)


def encoding(features: int = 2) -> HashEncoding:
    rng = torch.Generator().manual_seed(0)
    made = HashEncoding(4, features, 8, 4, 40, rng)
    with torch.no_grad():
        made.table.uniform_(-1, 1, generator=rng)
    return made


def test_its_own_kernels_gave_these_values() -> None:
    # Made by tests/external/tiny_cuda_nn_on_the_host.cpp.
    expected = [
        [0.6007, 0.2435, 0.434559, 0.636688, 0.536084, 0.4332, 0.411471, 0.53604],
        [0.4665, 0.63854, 0.497814, 0.805643, 0.51516, 0.624161, 0.495041, 0.579212],
    ]
    ours = encoding()
    with torch.no_grad():
        ours.table.copy_((torch.arange(ours.table.numel()) * 37 % 101).reshape(-1, 2) / 100)
    points = torch.tensor([[0.1, 0.35, 0.8], [0.9, 0.05, 0.6]])
    for found in (ours(points), ours._encode_with_tinycudann(points)):
        torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("features", [1, 2, 4, 8])
def test_values_and_gradients_are_those_of_the_kernels(features: int) -> None:
    ours = encoding(features)
    assert [level.is_hashed for level in ours.levels] == [False, True, True, True]
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(1))
    upstream = torch.randn(50, ours.width, generator=torch.Generator().manual_seed(2))
    found = [
        (encoded, torch.autograd.grad(encoded, ours.table, upstream)[0])
        for encoded in (ours(points), ours._encode_with_tinycudann(points))
    ]
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_its_trial_passes_and_notices_a_wrong_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    right = tiny_cuda_nn.Encoding.forward

    def twice_the_gradient(self: tiny_cuda_nn.Encoding, points: torch.Tensor) -> torch.Tensor:
        return 2 * right(self, points) - right(self, points).detach()

    with pretended_card():
        assert Accelerator("tinycudann", "hash grids", TINYCUDANN.trial).problem is None
        monkeypatch.setattr(tiny_cuda_nn.Encoding, "forward", twice_the_gradient)
        assert "off by" in str(Accelerator("tinycudann", "hash grids", TINYCUDANN.trial).problem)


@pytest.mark.parametrize(("features", "asked"), [(2, True), (3, False), (16, False)])
def test_a_card_asks_it_only_for_grids_that_it_has(features: int, asked: bool) -> None:
    points = torch.rand(10, 3, generator=torch.Generator().manual_seed(1))
    here = encoding(features)(points).detach()
    with pretended_card():
        there = encoding(features).to("cuda")
        found = there(points.to("cuda")).detach().cpu()
    assert ("_tinycudann" in vars(there)) == asked
    torch.testing.assert_close(found, here, rtol=1e-4, atol=1e-5)
