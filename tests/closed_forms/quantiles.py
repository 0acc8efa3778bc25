"""In one dimension the probability flow ODE keeps the order of its paths: it is the monotone map between quantiles.

So the exact flow map from t to s of any mixture is ``Q_s(F_t(x))`` with the distribution function F_t of x_t and its
inverse Q_s, without solving anything.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sds.teachers.mixture import MixtureTeacher


class Quantiles:
    """The flow map of a one-dimensional mixture; everything is float64 of shape (batch, 1)."""

    def __init__(self, teacher: MixtureTeacher, prompt: str = "") -> None:
        self.teacher = teacher
        self.weights = teacher.prompts[prompt] / teacher.prompts[prompt].sum()

    def cdf(self, x_t: Tensor, t: Tensor) -> Tensor:
        """P(X_t <= x_t)."""
        centres, widths = self._noised(t)
        return (self.weights * torch.special.ndtr((x_t - centres) / widths)).sum(1, keepdim=True)

    def quantile(self, share: Tensor, t: Tensor) -> Tensor:
        """The x_t below which ``share`` of the distribution lies, by bisection."""
        centres, widths = self._noised(t)
        low = (centres - 40 * widths).amin(1, keepdim=True)
        high = (centres + 40 * widths).amax(1, keepdim=True)
        for _ in range(100):
            middle = (low + high) / 2
            below = self.cdf(middle, t) < share
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2

    def flow(self, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Where the path through x_t at ``t`` is at ``s``."""
        return self.quantile(self.cdf(x_t, t), s)

    def _noised(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = (c[:, None] for c in self.teacher.schedule(t))
        return alpha * self.teacher.means.T, (alpha**2 * self.teacher.variances.T + sigma**2).sqrt()
