"""Distances are distances, and the formulas of the papers."""

import math

import pytest
import torch
from torch import Tensor, nn

from students.features.distances import Distance, absolute, perceptual, pseudo_huber, squared
from tests.students.toys import normals


def edges(x: Tensor) -> list[Tensor]:
    kernel = torch.tensor([[[[1.0, -1.0]]]]).repeat(3, 1, 1, 1)
    return [x, nn.functional.conv2d(x, kernel, groups=3)]


DISTANCES = [squared, absolute, pseudo_huber, perceptual(edges), perceptual(edges, pixels=0.5)]


@pytest.mark.parametrize("distance", DISTANCES)
def test_axioms_and_finite_gradients(distance: Distance):
    x, y = normals(2, 4, 3, 6, 6)
    assert torch.equal(distance(x, x), torch.zeros(4))
    torch.testing.assert_close(distance(x, y), distance(y, x))
    assert bool((distance(x, y) > 0).all())
    near, far = distance(x, x + 0.1 * (y - x)), distance(x, y)
    assert bool((near < far).all())
    same = x.clone().requires_grad_()
    distance(same, x).sum().backward()
    assert bool(torch.isfinite(same.grad).all())


def test_values_by_hand():
    x, y = torch.zeros(1, 1, 2, 2), torch.tensor([[[[3.0, 0.0], [0.0, 4.0]]]])
    assert squared(x, y).item() == pytest.approx(25 / 4)
    assert absolute(x, y).item() == pytest.approx(7 / 4)
    c = 0.00054 * 2
    assert pseudo_huber(x, y).item() == pytest.approx(math.sqrt(25 + c * c) - c)


def test_a_perceptual_distance_compares_directions_of_features():
    distance = perceptual(lambda x: [x])
    x = torch.tensor([[1.0, 0.0]]).reshape(1, 2, 1, 1)
    assert distance(x, 5 * x).item() == pytest.approx(0, abs=1e-7)
    assert distance(x, x.flip(1)).item() == pytest.approx(2)
