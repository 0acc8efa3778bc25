"""Which noise levels a student, or who judges it, visits."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Times(Protocol):
    """Which noise levels are visited: for example a `sds.ramps.TimeRange`."""

    def sample(self, count: int, progress: float, generator: torch.Generator) -> Tensor:
        """``count`` times, float64."""
        ...
