"""The noise levels that a method climbs, and how often it visits each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sds.schedule import NoiseSchedule, time_at

Levels = Sequence[float]
"""Rising times in [0, 1], the first of them 0."""

LevelsOverRun = Callable[[float], Levels]
"""From the progress of a stage, in [0, 1], to its levels."""


def even_levels(count: int) -> list[float]:
    """``count`` levels above zero, equally far apart, up to 1. Raises ValueError for none."""
    if count < 1:
        raise ValueError(f"a method that climbs noise levels needs one or more, not {count}")
    return [i / count for i in range(count + 1)]


Shares = Callable[[Levels], Tensor]
"""From levels to how often each but the first is visited, shape (levels - 1,), up to a factor."""


def neighbours(
    levels: Levels, count: int, rng: torch.Generator, shares: Shares | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """For each of ``count`` images a level t and the next lower one u; and the index of t, all of shape (count,).

    All are visited equally often, or in ``shares``.
    """
    table = torch.tensor(levels, dtype=torch.float64)
    if shares is None:
        index = torch.randint(1, len(table), (count,), generator=rng)
    else:
        index = 1 + torch.multinomial(shares(levels), count, replacement=True, generator=rng)
    return table[index], table[index - 1], index


def lognormal_shares(schedule: NoiseSchedule, mean: float = -1.1, deviation: float = 2.0, even: float = 0.0) -> Shares:
    """iCT's: log(sigma / alpha) of the levels is normal (Song & Dhariwal 2024, equation 10), most of them near 1/3.

    Args:
        schedule: where the levels lie.
        mean, deviation: of log(sigma / alpha).
        even: share of the levels that are drawn evenly instead. One step begins at the highest, at which the paper's
            proposal looks once in a few hundred times.
    """

    def shares(levels: Levels) -> Tensor:
        alpha, sigma = schedule(torch.tensor(levels, dtype=torch.float64))
        proposed = torch.special.ndtr(((sigma / alpha).log() - mean) / deviation).diff()
        return (1 - even) * proposed / proposed.sum() + even / len(proposed)

    return shares


def doubling_levels(schedule: NoiseSchedule, first: int = 10, last: int = 1280, highest: float = 80.0) -> LevelsOverRun:
    """iCT's levels: their number doubles from ``first`` to ``last`` over the run (Song & Dhariwal 2024, equation 11).

    Args:
        schedule: where the levels lie.
        first, last: numbers of levels; ``last`` is a power of two times ``first``.
        highest: sigma / alpha at the top, where sampling starts.
    """
    doublings = max(0, (last // first).bit_length() - 1)
    top = time_of(schedule, highest)

    def levels(progress: float) -> Levels:
        count = first * 2 ** min(doublings, int(progress * (doublings + 1)))
        return [top * (i / count) for i in range(count + 1)]

    return levels


def time_of(schedule: NoiseSchedule, deviation: float) -> float:
    """The t at which sigma / alpha is ``deviation``."""
    return float(time_at(schedule, torch.tensor([deviation], dtype=torch.float64)))
