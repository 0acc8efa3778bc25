"""Distances between sets of images: closed forms for Gaussians, invariants, and what is refused."""

import pytest
import torch
from torch import Tensor

from students.measures.evaluation import (
    compare,
    coverage,
    covered_share,
    density,
    distinctness,
    frechet_distance,
    kernel_distance,
    kernel_spread,
    nearest_neighbours,
)
from tests.students.toys import normals


def whitened(count: int, width: int, seed: int = 0) -> Tensor:
    """Features whose sample mean is exactly zero and whose sample covariance is exactly the identity."""
    x = normals(count, width, seed=seed).double()
    x = x - x.mean(0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T


def test_the_frechet_distance_of_gaussians():
    """Of N(0, 1) and N(m, S^2) with commuting covariances: |m|^2 + sum (s_i - 1)^2."""
    a, b = whitened(200, 3), whitened(150, 3, seed=1)
    spread, shift = torch.tensor([0.5, 2.0, 1.0]).double(), torch.tensor([1.0, -2.0, 0.0]).double()
    rotation = torch.linalg.qr(normals(3, 3, seed=5).double()).Q
    moved = (b * spread) @ rotation + shift
    assert frechet_distance(a, moved) == pytest.approx(5 + 0.25 + 1.0, abs=1e-9)
    assert frechet_distance(moved, a) == pytest.approx(6.25, abs=1e-9)
    assert frechet_distance(moved, moved) == pytest.approx(0, abs=1e-6)


def test_the_kernel_distance_by_hand():
    a, b = torch.tensor([[1.0], [0.0]]), torch.tensor([[2.0], [-1.0]])
    # (1 * 0 + 1)^3 = 1 within a, (2 * -1 + 1)^3 = -1 within b; across: 27, 0, 1, 1 on average
    assert kernel_distance(a, b) == pytest.approx(1 - 1 - 2 * (27 + 0 + 1 + 1) / 4)


def test_the_kernel_distance_of_one_distribution_is_zero_on_average():
    values = [kernel_distance(normals(100, 4, seed=2 * i), normals(100, 4, seed=2 * i + 1)) for i in range(40)]
    mean = torch.tensor(values).mean()
    assert abs(mean.item()) < 0.02
    assert kernel_distance(normals(100, 4), 2 + normals(100, 4, seed=1)) > 1


def test_precision_and_recall_tell_what_is_missing():
    """The student draws one of two clusters: all of its images could be real, half of the real ones are missing."""
    clusters = torch.cat([normals(50, 2), 20 + normals(50, 2, seed=1)])
    student = normals(60, 2, seed=2)
    comparison = compare(clusters, student)
    assert comparison.precision > 0.9
    assert comparison.recall == pytest.approx(0.5, abs=0.08)
    worse = compare(clusters, torch.cat([student, normals(60, 2, seed=3) + 100]))
    assert worse.precision == pytest.approx(0.5, abs=0.08)
    assert worse.recall == pytest.approx(comparison.recall)
    assert covered_share(clusters, clusters) == 1.0


def test_distinctness():
    assert distinctness(torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])) == pytest.approx(10 / 3)
    assert distinctness(torch.ones(5, 7)) == 0
    with pytest.raises(ValueError, match="two images"):
        distinctness(torch.ones(1, 7))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least 8 images"):
        compare(normals(7, 3), normals(20, 3))
    with pytest.raises(ValueError, match="images of the student"):
        compare(normals(20, 3), normals(20, 3, 1))
    with pytest.raises(ValueError, match="different networks: 3 and 4"):
        compare(normals(20, 3), normals(20, 4))


def test_density_and_coverage_by_hand():
    """Real points at 0, 1, 2, 10 reach their nearest neighbour at 1, 1, 1, 8; drawn points at 0.5 and 5."""
    real, drawn = torch.tensor([[0.0], [1.0], [2.0], [10.0]]), torch.tensor([[0.5], [5.0]])
    # 0.5 is within reach of 0 and 1, 5 of 10 only
    assert density(real, drawn, neighbours=1) == (2 + 1) / 2
    assert coverage(real, drawn, neighbours=1) == 3 / 4


def test_density_and_coverage_of_one_distribution_and_of_another():
    real, same, far = normals(400, 3), normals(400, 3, seed=1), 50 + normals(400, 3, seed=2)
    assert density(real, same) == pytest.approx(1, abs=0.12)
    assert coverage(real, same) == pytest.approx(1 - 0.5**5, abs=0.04)  # the expectation for equal numbers of images
    assert density(real, far) == coverage(real, far) == 0


def test_one_odd_image_fools_precision_but_not_density():
    real = torch.cat([0.01 * normals(50, 2), torch.tensor([[100.0, 0.0]])])
    drawn = torch.tensor([30.0, 0.0]) + normals(50, 2, seed=1)
    assert covered_share(drawn, real) == 1
    assert density(real, drawn) < 0.3


def test_the_spread_of_a_kernel_distance_falls_with_the_number_of_images():
    a, b = normals(400, 6), normals(400, 6, seed=1)
    rng = torch.Generator().manual_seed(0)
    few, many = (kernel_spread(a[:count], b[:count], rng) for count in (50, 400))
    assert 0 < many < 0.5 * few
    assert kernel_spread(a, b, rng, share=1.0) == pytest.approx(0, abs=1e-9)  # every part is the whole


def test_nearest_neighbours_tell_copies_from_others():
    shown, hidden = normals(200, 8), normals(200, 8, seed=1)
    copies = shown[:50] + 0.01 * normals(50, 8, seed=2)
    assert float(nearest_neighbours(copies, shown).median()) < 0.1 * float(nearest_neighbours(copies, hidden).median())
    fresh = normals(200, 8, seed=3)
    ratio = nearest_neighbours(fresh, shown).median() / nearest_neighbours(fresh, hidden).median()
    assert float(ratio) == pytest.approx(1, abs=0.15)
