"""Drawing from any denoiser by the samplers of the field, on the noise levels of any of its schedulers.

A sampler visits falling levels t_0 > t_1 > ... and ends with the denoiser's image at the last of them. Rules of one
line are in `sds.sampling_rules`, beside the papers; multistep exponential integrators are those of diffusers
(`sds.integrators`).

    =================  ==========================================  ==========  ================================
    name               step from t to s                            new noise   paper
    =================  ==========================================  ==========  ================================
    ddim               as if D were the image all the way          no          Song et al. 2021a, eta = 0
    cfg++              to the guided image, by the null's noise    no          Chung et al. 2024, algorithm 2
    heun               the mean of two Euler steps in gamma        no          Karras et al. 2022, algorithm 1
    pndm               Runge-Kutta, then Adams-Bashforth in eps    no          Liu et al. 2022
    deis, dpm-solver,  exponential integrators                     no          Zhang & Chen 2023, Lu et al.
    dpm-solver++                                                               2022a, 2022b
    ddpm, ancestral    q(x_s | x_t, D)                             yes         Ho et al. 2020, equation 7
    churn              a little noise is added, then a Heun step   yes         Karras et al. 2022, algorithm 2
    euler-maruyama     the reverse SDE                             yes         Song et al. 2021b, equation 6
    sde-dpm-solver++   exponential integrator of the reverse SDE   yes         Lu et al. 2022b, section 3.4
    =================  ==========================================  ==========  ================================

gamma = sigma / alpha. D is the denoiser's x0. k-diffusion's "Euler ancestral" is the rule of DDPM with its smaller
variance, in other variables.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import partial

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from sds.denoiser import Condition, Denoiser
from sds.integrators import deis, dpm_solver, dpm_solver_plus_plus, sde_dpm_solver_plus_plus
from sds.sampling_rules import (
    SIGMA_MAX,
    Rule,
    ancestral,
    below_pure_noise,
    ddim,
    ddim_by_null_noise,
    edm,
    euler_maruyama,
    pndm,
)
from sds.schedule import LEVELS, NoiseSchedule, scale, time_at

SIGMA_MIN, RHO = 0.002, 7.0
"""EDM's lowest sigma / alpha, and how its levels crowd towards the image (Karras et al. 2022, table 1)."""


class Spacing(Enum):
    """How a few noise levels are chosen. The first three values are diffusers' names (Lin et al. 2024, table 2)."""

    LINSPACE = "linspace"
    """Even in t, with both ends."""
    LEADING = "leading"
    """Even in t, from the clean end: never quite pure noise."""
    TRAILING = "trailing"
    """Even in t, from pure noise."""
    KARRAS = "karras"
    """Even in (sigma / alpha)^(1/7), up to 80 at most (Karras et al. 2022, equation 5)."""


@dataclass(frozen=True)
class Sampler:
    """One line of the table above.

    Attributes:
        rule: how it steps.
        spacing: of its levels, unless others are asked for.
        draws_noise: whether it adds new noise on its way; otherwise it follows the path of its first noise.
    """

    rule: Rule
    spacing: Spacing = Spacing.TRAILING
    draws_noise: bool = False


def levels_of(schedule: NoiseSchedule, steps: int, spacing: Spacing = Spacing.TRAILING) -> list[float]:
    """The ``steps`` noise levels that a sampler visits, falling; those of diffusers' schedulers for its spacings.

    Raises ValueError for less than one step, or for more than the levels there are.
    """
    if not 1 <= steps <= LEVELS:
        raise ValueError(f"a sampler takes from 1 to {LEVELS} steps, not {steps}")
    if spacing is Spacing.KARRAS:
        return _karras_levels(schedule, steps)
    scheduler = DDIMScheduler(num_train_timesteps=LEVELS, timestep_spacing=spacing.value)
    scheduler.set_timesteps(steps)
    return [min(1.0, max(0.0, timestep / (LEVELS - 1))) for timestep in scheduler.timesteps.tolist()]


def _karras_levels(schedule: NoiseSchedule, steps: int) -> list[float]:
    alpha, sigma = schedule(torch.tensor([1.0, 0.0], dtype=torch.float64))
    highest, lowest = min(SIGMA_MAX, float(sigma[0] / alpha[0])), max(SIGMA_MIN, float(sigma[1] / alpha[1]))
    part = torch.linspace(0, 1, steps, dtype=torch.float64) if steps > 1 else torch.zeros(1, dtype=torch.float64)
    begin, end = highest ** (1 / RHO), lowest ** (1 / RHO)
    return time_at(schedule, (begin + (end - begin) * part) ** RHO).tolist()


@torch.no_grad()
def sample_with(
    sampler: Sampler,
    denoiser: Denoiser,
    noise: Tensor,
    condition: Condition,
    steps: int,
    spacing: Spacing | None = None,
    rng: torch.Generator | None = None,
) -> Tensor:
    """Draws clean pictures.

    Args:
        sampler: a value of `SAMPLERS`.
        denoiser: a teacher, or one under guidance (`sds.sampling.Guided`).
        noise: (batch, ...), standard normal.
        condition: what the denoiser is told.
        steps: of the sampler. Heun and the first steps of PNDM look at the denoiser more than once.
        spacing: which noise levels are visited; the sampler's own if None.
        rng: of the noise that stochastic samplers add.

    Returns:
        (batch, ...), an x0 in the type of ``noise``.

    Raises:
        ValueError: if there are no such levels.
    """
    levels = levels_of(denoiser.schedule, steps, spacing or sampler.spacing)
    alpha, sigma = denoiser.schedule(torch.tensor(levels[:1], dtype=torch.float64))
    return sampler.rule(denoiser, scale(torch.hypot(alpha, sigma), noise) * noise, levels, condition, rng)


SAMPLERS: dict[str, Sampler] = {
    "ddim": Sampler(ddim),
    "cfg++": Sampler(ddim_by_null_noise),
    "heun": Sampler(below_pure_noise(edm), Spacing.KARRAS),
    "pndm": Sampler(below_pure_noise(pndm)),
    "deis": Sampler(deis),
    "dpm-solver": Sampler(dpm_solver),
    "dpm-solver++": Sampler(dpm_solver_plus_plus),
    "ddpm": Sampler(ancestral, draws_noise=True),
    "ancestral": Sampler(ancestral, draws_noise=True),
    "churn": Sampler(below_pure_noise(partial(edm, churn=40.0)), Spacing.KARRAS, draws_noise=True),
    "euler-maruyama": Sampler(below_pure_noise(euler_maruyama), Spacing.KARRAS, draws_noise=True),
    "sde-dpm-solver++": Sampler(sde_dpm_solver_plus_plus, draws_noise=True),
}
"""By the names of their papers."""
