"""Schedules in fractions of the run."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sds.ramps import Ramp, TimeRange


def test_a_ramp_by_hand():
    ramp = Ramp(10.0, 20.0, begin=0.2, finish=0.6)
    assert [ramp(p) for p in (0.0, 0.2, 0.3, 0.4, 0.6, 1.0)] == pytest.approx([10, 10, 12.5, 15, 20, 20])


def test_a_ramp_without_length_is_a_step():
    step = Ramp(0.98, 0.5, begin=0.5, finish=0.5)
    assert [step(p) for p in (0.0, 0.49, 0.5, 1.0)] == [0.98, 0.98, 0.5, 0.5]


def test_bad_ramps_and_ranges_are_refused():
    with pytest.raises(ValueError, match="begin <= finish"):
        Ramp(0, 1, begin=0.6, finish=0.5)
    with pytest.raises(ValueError, match="lowest <= highest"):
        TimeRange(Ramp(0.02, 0.6), Ramp(0.98, 0.5))
    with pytest.raises(ValueError, match="lowest <= highest"):
        TimeRange(Ramp(0.02, 0.02), Ramp(1.2, 0.5))


@given(count=st.integers(1, 16), progress=st.floats(0, 1), seed=st.integers(0, 1000))
def test_times_are_stratified(count: int, progress: float, seed: int):
    times = TimeRange(Ramp(0.6, 0.05), Ramp(0.98, 0.4))
    t = times.sample(count, progress, torch.Generator().manual_seed(seed))
    low, high = times.lowest(progress), times.highest(progress)
    assert t.dtype == torch.float64
    strata = ((t - low) / (high - low) * count).floor().clamp(max=count - 1).long()
    assert sorted(strata.tolist()) == list(range(count))
