"""The tree answers what a look at every box would."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from representations.geometry.box_tree import BoxTree


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(0, 200),
    most=st.sampled_from([1, 3, 64]),
    digits=st.sampled_from([1, 6]),
)
def test_the_first_boxes_inside_and_around(seed: int, count: int, most: int, digits: int):
    rng = np.random.default_rng(seed)
    low = rng.random((count, 3)).round(digits)
    high = low + (rng.random((count, 3)) * rng.random((count, 1)) ** 2 * 3).round(digits)
    tree = BoxTree(low, high)
    for own in range(0, count, 7):
        inside = np.flatnonzero((low > low[own]).all(axis=1) & (high < high[own]).all(axis=1))
        around = np.flatnonzero((low < low[own]).all(axis=1) & (high > high[own]).all(axis=1))
        for truth, ask in ((inside, tree.inside), (around, tree.around)):
            np.testing.assert_array_equal(ask(low[own], high[own], most), truth[:most])
            later = truth[truth > count // 2]
            np.testing.assert_array_equal(ask(low[own], high[own], most, after=count // 2), later[:most])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_boxes_that_are_no_boxes_hide_no_others(wrong: float):
    low, high = np.zeros((40, 3)), np.ones((40, 3))
    low[:, 0] = np.arange(40)
    high[:, 0] = np.arange(40) + 0.5
    low[::2, 1] = high[::2, 2] = wrong
    tree = BoxTree(low, high)
    found = tree.inside(np.full(3, -1.0), np.full(3, 100.0), 64)
    assert set(range(1, 40, 2)) <= set(found.tolist())
    if np.isnan(wrong):
        assert len(found) == 20
