"""Numbers and noise levels that change over a run. All schedules are fractions of the run, so its length is free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sds.schedule import NoiseSchedule


@dataclass(frozen=True)
class Ramp:
    """A number that moves in a straight line from ``start`` to ``end``.

    Attributes:
        start: the value up to progress ``begin``.
        end: the value from progress ``finish`` on.
        begin, finish: fractions of the run, 0 <= begin <= finish <= 1.
    """

    start: float
    end: float
    begin: float = 0.0
    finish: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.begin <= self.finish <= 1:
            raise ValueError(f"a ramp needs 0 <= begin <= finish <= 1, not {self.begin} and {self.finish}")

    def __call__(self, progress: float) -> float:
        """The value at ``progress`` in [0, 1]; a ramp of no length is a step."""
        if progress >= self.finish:
            return self.end
        if progress <= self.begin:
            return self.start
        return self.start + (self.end - self.start) * (progress - self.begin) / (self.finish - self.begin)


class Times(Protocol):
    """Which noise levels a run visits."""

    def sample(self, count: int, progress: float, generator: torch.Generator, together: int = 1) -> Tensor:
        """``count`` times in [0, 1], float64, at ``progress`` in [0, 1]; ``together`` in a row are the same."""
        ...


@dataclass(frozen=True)
class TimeRange:
    """The noise levels that are visited: uniform between two ramps, stratified over the batch.

    Attributes:
        lowest, highest: bounds of t in [0, 1], noise at t = 1. Falling ramps first settle the shape (high noise), then
            the detail (Huang et al. 2023, "DreamTime"; ProlificDreamer halves the highest at half time).
    """

    lowest: Ramp
    highest: Ramp

    def __post_init__(self) -> None:
        for progress in (0.0, 1.0):
            low, high = self.lowest(progress), self.highest(progress)
            if not 0 <= low <= high <= 1:
                raise ValueError(f"times must satisfy 0 <= lowest <= highest <= 1, not {low} and {high}")

    def on(self, schedule: NoiseSchedule) -> TimeRange:
        """Itself: the same times on every schedule."""
        del schedule
        return self

    def sample(self, count: int, progress: float, generator: torch.Generator, together: int = 1) -> Tensor:
        """``count`` times, float64, one from each of ``count`` equal parts of the range, in random order.

        With ``together`` above 1 so many in a row are the same. Raises ValueError if ``count`` is no multiple of it.
        """
        if together > 1:
            if count % together:
                raise ValueError(f"{count} images cannot share their noise levels in groups of {together}")
            return self.sample(count // together, progress, generator).repeat_interleave(together)
        low, high = self.lowest(progress), self.highest(progress)
        part = torch.randperm(count, generator=generator)
        within = torch.rand(count, dtype=torch.float64, generator=generator)
        return low + (high - low) * (part + within) / count


DREAMFUSION_TIMES = TimeRange(Ramp(0.02, 0.02), Ramp(0.98, 0.98))
"""The range of Poole et al. 2022: all noise levels but the extremes, all the time."""


@dataclass(frozen=True)
class DreamTime:
    """Times that only fall, fast where a schedule says little and slowly where it matters (Huang et al. 2024).

    The share of the run that is spent above t is the integral of W from t to 1 (equation 6), with W = W_d W_p::

        W_d = sigma / alpha,    W_p = exp(-(t - high)^2 / 2 fall_high^2) above high,
                                      1 between, exp(-(t - low)^2 / 2 fall_low^2) below low

    Attributes:
        high, low, fall_high, fall_low: the paper's m_1, m_2, s_1, s_2, as shares of its 1000 steps.
        lowest, highest: the ends: sigma / alpha is infinite at pure noise.
    """

    high: float = 0.8
    low: float = 0.5
    fall_high: float = 0.3
    fall_low: float = 0.1
    lowest: float = 0.02
    highest: float = 0.98

    def on(self, schedule: NoiseSchedule) -> FallingTimes:
        """These times on a schedule. Raises ValueError unless 0 <= lowest < highest < 1 and all widths are positive."""
        if not 0 <= self.lowest < self.highest < 1 or not min(self.fall_high, self.fall_low) > 0:
            raise ValueError(f"DreamTime needs 0 <= lowest < highest < 1 and positive widths: {self}")
        t = torch.linspace(self.highest, self.lowest, 2001, dtype=torch.float64)
        alpha, sigma = schedule(t)
        above, below = (t - self.high).clamp(min=0), (self.low - t).clamp(min=0)
        weight = sigma / alpha * torch.exp(-(above**2) / (2 * self.fall_high**2) - below**2 / (2 * self.fall_low**2))
        spent = torch.cat([torch.zeros(1).double(), torch.cumulative_trapezoid(weight, dx=1.0)])
        return FallingTimes(t, spent / spent[-1])


@dataclass(frozen=True)
class FallingTimes:
    """One time for all images of a step, which falls over the run.

    Attributes:
        times: falling, shape (n,).
        begun_at: the share of the run at which each is reached, rising from 0 to 1, shape (n,).
    """

    times: Tensor
    begun_at: Tensor

    def sample(self, count: int, progress: float, generator: torch.Generator, together: int = 1) -> Tensor:
        """``count`` times the one of ``progress``; nothing is drawn."""
        del generator, together
        after = int(torch.searchsorted(self.begun_at, progress).clamp(1, len(self.times) - 1))
        begin, end = self.begun_at[after - 1], self.begun_at[after]
        share = ((progress - begin) / (end - begin).clamp(min=1e-300)).clamp(0, 1)
        return torch.lerp(self.times[after - 1], self.times[after], share).expand(count).clone()
