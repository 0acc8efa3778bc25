"""Exponential integrators of diffusers, for any denoiser and any falling noise levels: DEIS, DPM-Solver, DPM-Solver++.

Their schedulers know variance-preserving noise levels only. Every schedule becomes one by a change of scale: with
r^2 = alpha^2 + sigma^2 the picture x_t / r has alpha / r and sigma / r, whose squares add up to one, and the denoiser
is shown it multiplied by r again. So teachers of straight paths are sampled by the same integrators.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from typing import Any

import torch
from diffusers import DEISMultistepScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from sds.denoiser import Condition, Denoiser
from sds.schedule import NoiseSchedule, Prediction, output_from_x0, scale

SMALLEST_SHARE = 2**-24
"""Of alpha^2: some integrators divide by alpha. The largest leaves sigma large enough to tell noise from image."""
LARGEST_SHARE = 1 - 1e-5


def integrated(
    new_scheduler: Callable[[], Any],
    denoiser: Denoiser,
    x: Tensor,
    levels: Sequence[float],
    condition: Condition,
    rng: torch.Generator | None = None,
) -> Tensor:
    """A `sds.sampling_rules.Rule`: from level to level by a scheduler of diffusers that works in sigma / alpha.

    Like the rules there it ends with what the denoiser sees at the last level.

    Args:
        new_scheduler: makes the scheduler, which predicts v.
        denoiser, x, levels, condition, rng: see `sds.sampling_rules.Rule`.
    """
    times = torch.tensor(levels, dtype=torch.float64)
    size, (alpha, sigma) = _length(denoiser.schedule, times), _variance_preserving(denoiser.schedule, times)
    scheduler = new_scheduler()
    scheduler.set_timesteps(len(levels))
    scheduler.sigmas = torch.cat([sigma / alpha, torch.zeros(1).double()]).float()
    scheduler.timesteps = torch.arange(len(levels))
    scheduler.set_begin_index(0)
    extra = {"generator": rng} if "generator" in signature(scheduler.step).parameters else {}
    x = x / scale(size[:1], x)
    for step in range(len(levels)):
        rows = torch.full((len(x),), step)
        x0 = denoiser(scale(size[rows], x) * x, times[rows], condition)
        if step == len(levels) - 1:
            return x0
        velocity = output_from_x0(Prediction.V, x0, x, alpha[rows], sigma[rows])
        x = scheduler.step(velocity, step, x, **extra).prev_sample
    raise AssertionError("a sampler visits one level or more")


def _length(schedule: NoiseSchedule, t: Tensor) -> Tensor:
    return torch.hypot(*schedule(t))


def _variance_preserving(schedule: NoiseSchedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and sigma at ``t`` with squares that add up to one, neither of them zero."""
    share = (schedule.alpha(t) / _length(schedule, t)).square().clamp(SMALLEST_SHARE, LARGEST_SHARE)
    return share.sqrt(), (1 - share).sqrt()


_DPM = partial(DPMSolverMultistepScheduler, prediction_type="v_prediction")

deis = partial(integrated, partial(DEISMultistepScheduler, prediction_type="v_prediction"))
"""DEIS (Zhang & Chen 2023)."""

dpm_solver = partial(integrated, partial(_DPM, algorithm_type="dpmsolver", final_sigmas_type="sigma_min"))
"""DPM-Solver (Lu et al. 2022a), in noise."""

dpm_solver_plus_plus = partial(integrated, partial(_DPM, algorithm_type="dpmsolver++"))
"""DPM-Solver++ (Lu et al. 2022b), in images."""

sde_dpm_solver_plus_plus = partial(integrated, partial(_DPM, algorithm_type="sde-dpmsolver++"))
"""SDE-DPM-Solver++ (Lu et al. 2022b, section 3.4): the reverse SDE, with new noise at every step."""
