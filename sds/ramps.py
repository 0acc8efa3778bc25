"""Numbers and noise levels that change over a run. All schedules are fractions of the run, so its length is free."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
