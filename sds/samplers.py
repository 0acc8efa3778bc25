"""Drawing from any denoiser with the samplers of diffusers: DDPM, DDIM, Heun, PNDM, DEIS, DPM-Solver, DPM-Solver++.

Their schedulers know tables of variance-preserving noise levels only. Every schedule becomes one by a change of scale:
with r^2 = alpha^2 + sigma^2 the picture x_t / r has alpha / r and sigma / r, whose squares add up to one, and the
denoiser is shown it multiplied by r again. So teachers of straight paths are sampled by the same schedulers.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from inspect import signature
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
)
from torch import Tensor

from sds.denoiser import Condition, Denoiser
from sds.schedule import NoiseSchedule, Prediction, output_from_x0, scale, schedule_from_diffusers

LEVELS = 1000
"""Noise levels of the table that a scheduler chooses from."""

_SMALLEST_SHARE = 2**-24
"""Of alpha^2: some samplers divide by alpha. The largest leaves sigma large enough for noise to be told from image."""
_LARGEST_SHARE = 1 - 1e-5

Sampler = Callable[..., Any]
"""From the configuration of a diffusers scheduler to the scheduler."""

SAMPLERS: dict[str, Sampler] = {
    "ddpm": partial(DDPMScheduler, clip_sample=False),
    "ddim": partial(DDIMScheduler, clip_sample=False, set_alpha_to_one=True),
    # Else even in sigma, which is all but infinite in pure noise; these levels are equation 5 of Karras et al. 2022.
    "heun": partial(HeunDiscreteScheduler, use_karras_sigmas=True),
    "pndm": partial(PNDMScheduler, skip_prk_steps=False, set_alpha_to_one=True),
    "deis": DEISMultistepScheduler,
    "dpm-solver": partial(DPMSolverMultistepScheduler, algorithm_type="dpmsolver", final_sigmas_type="sigma_min"),
    "dpm-solver++": partial(DPMSolverMultistepScheduler, algorithm_type="dpmsolver++"),
}
"""By the names of their papers. DDPM draws new noise at every step; all others follow the path of their first noise."""


class Spacing(Enum):
    """How a few noise levels are chosen from the table (Lin et al. 2024, table 2). The values are diffusers' names."""

    LINSPACE = "linspace"
    """Even, with both ends."""
    LEADING = "leading"
    """Even, from the clean end: never quite pure noise."""
    TRAILING = "trailing"
    """Even, from pure noise."""


def scheduler_for(sampler: Sampler, schedule: NoiseSchedule, spacing: Spacing = Spacing.TRAILING) -> Any:
    """The diffusers scheduler of a sampler with the noise levels of a schedule, ready for `set_timesteps`."""
    share = _variance_preserving(schedule)
    betas = 1 - share / torch.cat([torch.ones(1, dtype=torch.float64), share[:-1]])
    config = {"num_train_timesteps": LEVELS, "prediction_type": "v_prediction", "timestep_spacing": spacing.value}
    return sampler(trained_betas=betas.tolist(), **config)


@torch.no_grad()
def sample_with(
    sampler: Sampler,
    denoiser: Denoiser,
    noise: Tensor,
    condition: Condition,
    steps: int,
    spacing: Spacing = Spacing.TRAILING,
    rng: torch.Generator | None = None,
) -> Tensor:
    """Draws clean pictures.

    Args:
        sampler: a value of `SAMPLERS`.
        denoiser: a teacher, or one under guidance (`sds.sampling.Guided`).
        noise: (batch, ...), standard normal.
        condition: what the denoiser is told.
        steps: of the sampler. Heun and the first steps of PNDM look at the denoiser more than once.
        spacing: which noise levels are visited.
        rng: of the noise that DDPM adds.

    Returns:
        (batch, ...), an x0 in the type of ``noise``.
    """
    scheduler = scheduler_for(sampler, denoiser.schedule, spacing)
    scheduler.set_timesteps(steps)
    levels = schedule_from_diffusers(scheduler)
    x = noise * scheduler.init_noise_sigma
    extra = {"generator": rng} if "generator" in signature(scheduler.step).parameters else {}
    for timestep in scheduler.timesteps:
        t = torch.full((len(x),), float(timestep) / (LEVELS - 1), dtype=torch.float64).clamp(0, 1)
        x_t = scheduler.scale_model_input(x, timestep)
        x0 = denoiser(scale(_length(denoiser.schedule, t), x_t) * x_t, t, condition)
        velocity = output_from_x0(Prediction.V, x0, x_t, *levels(t))
        x = scheduler.step(velocity, timestep, x, **extra).prev_sample
    return x


def _length(schedule: NoiseSchedule, t: Tensor) -> Tensor:
    alpha, sigma = schedule(t)
    return torch.hypot(alpha, sigma)


def _variance_preserving(schedule: NoiseSchedule) -> Tensor:
    """alpha^2 / (alpha^2 + sigma^2) at each level, (LEVELS,)."""
    t = torch.linspace(0, 1, LEVELS, dtype=torch.float64)
    alpha, _ = schedule(t)
    return (alpha / _length(schedule, t)).square().clamp(_SMALLEST_SHARE, _LARGEST_SHARE)
