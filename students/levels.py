"""Which noise levels a student, or who judges it, visits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Times(Protocol):
    """Which noise levels are visited: `sds.ramps.TimeRange`, `LogitNormalTimes` and their like."""

    def sample(self, count: int, progress: float, generator: torch.Generator) -> Tensor:
        """``count`` times, float64."""
        ...


@dataclass(frozen=True)
class LogitNormalTimes:
    """Noise levels whose log(t / (1 - t)) is normal (Esser et al. 2024, section 3.1): the ends of a path hardly ever.

    Attributes:
        location, spread: of log(t / (1 - t)).
    """

    location: float = 0.0
    spread: float = 1.0

    def sample(self, count: int, progress: float, generator: torch.Generator) -> Tensor:
        """``count`` times, float64."""
        del progress
        normal = torch.randn(count, dtype=torch.float64, generator=generator)
        return (self.location + self.spread * normal).sigmoid()
