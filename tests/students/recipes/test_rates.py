"""Rates and averages that follow from the network, the batch and the length of a run."""

import math

import pytest
from torch import nn

from students.recipes.rates import (
    MEASURED_BATCH,
    MEASURED_WEIGHTS,
    chain_average,
    growing_average,
    growing_levels,
    scaled_rate,
)


def network(weights: int) -> nn.Module:
    return nn.Linear(weights, 1, bias=False)


def test_a_rate_falls_with_the_root_of_the_weights_and_grows_with_that_of_the_batch():
    assert scaled_rate(1e-3, network(MEASURED_WEIGHTS), MEASURED_BATCH) == pytest.approx(1e-3)
    assert scaled_rate(1e-3, network(4 * MEASURED_WEIGHTS), MEASURED_BATCH) == pytest.approx(5e-4)
    assert scaled_rate(1e-3, network(MEASURED_WEIGHTS), 4 * MEASURED_BATCH) == pytest.approx(2e-3)


def test_a_chain_is_climbed_in_a_third_of_the_run():
    assert chain_average(960, 16) == pytest.approx(0.95)
    assert chain_average(480, 16) == pytest.approx(0.9)
    assert chain_average(10, 16) == 0.5  # never the student itself
    assert chain_average(10**6, 16) == 0.95
    for steps in (150, 300, 600):
        assert 16 / (1 - chain_average(steps, 16)) == pytest.approx(steps / 3)


def test_consistency_training_grows_as_in_the_paper_where_there_is_time():
    """N from 2 to 150, mu = exp(2 log 0.9 / N) from 0.9 up to 0.9986."""
    count = growing_levels(800_000)
    assert (count(0.0), count(1.0)) == (2, 150)
    assert count(0.5) == math.ceil(math.sqrt(0.5 * (151**2 - 4) + 4)) - 1
    decay = growing_average(10**9, lambda _: 2)
    assert decay(0.3) == pytest.approx(0.9)
    counts = [growing_levels(400)(progress / 20) for progress in range(21)]
    assert counts == sorted(counts)
    assert counts[-1] == 20
    assert growing_average(400, growing_levels(400))(1.0) == chain_average(400, 20)
