"""How much each noise level counts: weights of score gradients in x0 space."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sds.schedule import NoiseSchedule

Weighting = Callable[[NoiseSchedule, Tensor, Tensor, Tensor], Tensor]
"""(schedule, t, x, guided) -> weight of shape (batch,) of the x0-space gradient."""


def constant_weight(schedule: NoiseSchedule, t: Tensor, x: Tensor, guided: Tensor) -> Tensor:
    """Weight 1 in x0 space: each step moves the image towards the guided prediction by the same share at every t.

    In noise predictions that is sigma / alpha: at t = 0.98 of Stable Diffusion's schedule 13 times the papers' weight.
    """
    del schedule, x, guided
    return torch.ones_like(t)


def sigma_squared_weight(schedule: NoiseSchedule, t: Tensor, x: Tensor, guided: Tensor) -> Tensor:
    """The usual w(t) = sigma^2 of noise predictions: alpha sigma in x0 space.

    It is DreamFusion's (Poole et al. 2022, section 3.1) and threestudio's 1 - alpha_bar. With it the score gradient of
    variance-preserving schedules *is* theirs, w(t) (eps_guided - eps), with the factor 1; both divide by the batch.
    """
    del x, guided
    alpha, sigma = schedule(t)
    return alpha * sigma


def uniform_weight(schedule: NoiseSchedule, t: Tensor, x: Tensor, guided: Tensor) -> Tensor:
    """w(t) = 1 of noise predictions (threestudio's "uniform"): alpha / sigma in x0 space; needs t above 0."""
    del x, guided
    alpha, sigma = schedule(t)
    return alpha / sigma


def min_snr_weight(schedule: NoiseSchedule, t: Tensor, x: Tensor, guided: Tensor) -> Tensor:
    """min(SNR, 5) of errors in x0 space (Hang et al. 2023, equation 8): high noise says little about the image."""
    del x, guided
    return schedule.log_snr(t).exp().clamp(max=MIN_SNR_GAMMA)


def normalized_weight(schedule: NoiseSchedule, t: Tensor, x: Tensor, guided: Tensor) -> Tensor:
    """1 / mean |x - guided| for each image: every image moves equally far (Yin et al. 2024, equation 8)."""
    del schedule, t
    return 1 / (x - guided).abs().flatten(1).mean(1).clamp(min=1e-6).double().cpu()


MIN_SNR_GAMMA = 5.0
"""gamma of Hang et al. 2023, the value that they recommend."""

WEIGHTINGS: dict[str, Weighting] = {
    "constant": constant_weight,
    "sigma-squared": sigma_squared_weight,
    "dreamfusion": sigma_squared_weight,
    "uniform": uniform_weight,
    "min-snr": min_snr_weight,
    "normalized": normalized_weight,
}
"""By the names that papers and programs use; "dreamfusion" is the same as "sigma-squared"."""
