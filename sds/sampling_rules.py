"""How samplers step: rules of one line, each beside its paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from sds.denoiser import Condition, Denoiser
from sds.schedule import NoiseSchedule, scale, time_at
from sds.solvers import ancestral_step, cfg_plus_plus, ddim_step

SIGMA_MAX = 80.0
"""EDM's highest sigma / alpha (Karras et al. 2022, table 1)."""

Levels = Sequence[float]
"""Falling times in [0, 1]."""

Rule = Callable[[Denoiser, Tensor, Levels, Condition, torch.Generator | None], Tensor]
"""(denoiser, x at the first level, levels, condition, rng of new noise) -> x0, both of shape (batch, ...)."""


def at(level: float, x: Tensor) -> Tensor:
    """``level`` for each image of ``x``, float64 of shape (batch,)."""
    return torch.full((len(x),), level, dtype=torch.float64)


def ddim(
    denoiser: Denoiser, x: Tensor, levels: Levels, condition: Condition, rng: torch.Generator | None = None
) -> Tensor:
    """From level to level by `sds.solvers.ddim_step`."""
    del rng
    for t, s in pairwise(levels):
        x0 = denoiser(x, at(t, x), condition)
        x = ddim_step(denoiser.schedule, x, x0, at(t, x), at(s, x))
    return denoiser(x, at(levels[-1], x), condition)


def ddim_by_null_noise(
    denoiser: Denoiser, x: Tensor, levels: Levels, condition: Condition, rng: torch.Generator | None = None
) -> Tensor:
    """From level to level by `sds.solvers.cfg_plus_plus`, for a guided denoiser with a scale in [0, 1]."""
    del rng
    for t, s in pairwise(levels):
        x = cfg_plus_plus(denoiser, x, at(t, x), at(s, x), condition)
    return denoiser(x, at(levels[-1], x), condition)


def ancestral(
    denoiser: Denoiser, x: Tensor, levels: Levels, condition: Condition, rng: torch.Generator | None
) -> Tensor:
    """From level to level by a draw from q(x_s | x_t, D), with the smaller of DDPM's two variances."""
    for t, s in pairwise(levels):
        x0 = denoiser(x, at(t, x), condition)
        x = ancestral_step(denoiser.schedule, x, x0, _noise_like(x, rng), at(t, x), at(s, x))
    return denoiser(x, at(levels[-1], x), condition)


def euler_maruyama(
    denoiser: Denoiser, x: Tensor, levels: Levels, condition: Condition, rng: torch.Generator | None
) -> Tensor:
    """Euler's rule for the reverse SDE (Song et al. 2021b, equation 6), with y = x / alpha and gamma for the time.

    ::

        y_s = y_t + (gamma_t^2 - gamma_s^2) score + sqrt(gamma_t^2 - gamma_s^2) noise,    score = (D - y_t) / gamma_t^2

    It is DDPM with the larger of its two variances, and like it needs many steps.
    """
    y = x / _alpha(denoiser.schedule, levels[0], x)
    for t, s in pairwise(levels):
        share = 1 - (_gamma(denoiser.schedule, s) / _gamma(denoiser.schedule, t)) ** 2
        spread = _gamma(denoiser.schedule, t) * share**0.5
        x0 = denoiser(y * _alpha(denoiser.schedule, t, y), at(t, y), condition)
        y = torch.lerp(y, x0, share) + spread * _noise_like(y, rng)
    return denoiser(y * _alpha(denoiser.schedule, levels[-1], y), at(levels[-1], y), condition)


def edm(
    denoiser: Denoiser,
    x: Tensor,
    levels: Levels,
    condition: Condition,
    rng: torch.Generator | None,
    churn: float = 0.0,
    churn_from: float = 0.05,
    churn_to: float = 50.0,
    inflation: float = 1.003,
) -> Tensor:
    """Karras et al. 2022, algorithm 2, of which algorithm 1 (Heun) is ``churn`` = 0; y = x / alpha, gamma the time.

    ::

        gamma' = gamma + min(churn / steps, sqrt(2) - 1) gamma,   y' = y + sqrt(gamma'^2 - gamma^2) inflation noise
        d = (y' - D(y')) / gamma',   y_s = y' + (gamma_s - gamma') (d + d at that end) / 2;    at last, D

    Args:
        denoiser, x, levels, condition, rng: see `Rule`.
        churn: S_churn: how much noise is renewed over the whole way.
        churn_from, churn_to: S_min and S_max: the gamma where it is.
        inflation: S_noise.
    """
    schedule = denoiser.schedule
    top = float(_gamma(schedule, 1.0))
    share = min(churn / len(levels), 2**0.5 - 1)
    y = x / _alpha(schedule, levels[0], x)
    for level, s in zip(levels, [*levels[1:], None], strict=True):
        t, gamma = level, _gamma(schedule, level)
        if share and churn_from <= gamma <= churn_to:
            raised = min(gamma * (1 + share), top)
            y = y + (raised**2 - gamma**2) ** 0.5 * inflation * _noise_like(y, rng)
            t, gamma = float(time_at(schedule, torch.tensor([raised], dtype=torch.float64))), raised
        x0 = denoiser(y * _alpha(schedule, t, y), at(t, y), condition)
        if s is None:
            return x0
        end = _gamma(schedule, s)
        slope = (y - x0) / gamma
        there = y + (end - gamma) * slope
        if end > 0:
            at_end = (there - denoiser(there * _alpha(schedule, s, y), at(s, y), condition)) / end
            there = y + (end - gamma) * (slope + at_end) / 2
        y = there
    raise AssertionError("a sampler visits one level or more")


def pndm(
    denoiser: Denoiser, x: Tensor, levels: Levels, condition: Condition, rng: torch.Generator | None = None
) -> Tensor:
    """Pseudo numerical methods (Liu et al. 2022, algorithm 2): the classical rules, each of their steps a DDIM step.

    The first three steps are pseudo Runge-Kutta ones (equation 13, four evaluations each), then the last four noise
    predictions are mixed by pseudo linear multistep (equation 12). The mixtures are of *noise*, y = x / alpha::

        y_s = y_t + (gamma_s - gamma_t) (mixture of eps),        eps = (y - D) / gamma
    """
    del rng
    schedule = denoiser.schedule
    y = x / _alpha(schedule, levels[0], x)

    def eps(y: Tensor, t: float) -> Tensor:
        return (y - denoiser(y * _alpha(schedule, t, y), at(t, y), condition)) / _gamma(schedule, t)

    past: list[Tensor] = []
    for t, s in pairwise(levels):
        step = _gamma(schedule, s) - _gamma(schedule, t)
        here = eps(y, t)
        if len(past) < 3:
            middle = (t + s) / 2
            half = _gamma(schedule, middle) - _gamma(schedule, t)
            second = eps(y + half * here, middle)
            third = eps(y + half * second, middle)
            mixture = (here + 2 * second + 2 * third + eps(y + step * third, s)) / 6 if _gamma(schedule, s) else here
        else:
            mixture = (55 * here - 59 * past[-1] + 37 * past[-2] - 9 * past[-3]) / 24
        past = [*past[-2:], here]
        y = y + step * mixture
    return denoiser(y * _alpha(schedule, levels[-1], y), at(levels[-1], y), condition)


def below_pure_noise(rule: Rule) -> Rule:
    """``rule``, for rules that divide by alpha: from EDM's highest level where the first one is above it."""

    def begun_below(
        denoiser: Denoiser, x: Tensor, levels: Levels, condition: Condition, rng: torch.Generator | None
    ) -> Tensor:
        top = float(time_at(denoiser.schedule, torch.tensor([SIGMA_MAX], dtype=torch.float64)))
        kept = [level for level in levels if level < top]
        return rule(denoiser, x, levels if len(kept) == len(levels) else [top, *kept], condition, rng)

    return begun_below


def _gamma(schedule: NoiseSchedule, t: float) -> float:
    alpha, sigma = schedule(torch.tensor([t], dtype=torch.float64))
    return float(sigma / alpha)


def _alpha(schedule: NoiseSchedule, t: float, x: Tensor) -> Tensor:
    return scale(schedule.alpha(torch.tensor([t], dtype=torch.float64)), x)


def _noise_like(x: Tensor, rng: torch.Generator | None) -> Tensor:
    """Drawn on the CPU, so that a seed means the same anywhere."""
    return torch.randn(x.shape, generator=rng).to(x)
