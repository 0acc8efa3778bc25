"""Adversarial diffusion distillation (ADD, Sauer et al. 2023): real images judge detail, the teacher judges content.

    loss = adversarial + lambda c(t) |x - D(x_t)|^2           D the teacher's prediction, not differentiated

The second term's gradient is 2 lambda c(t) (x - D), and x - D = (sigma / alpha) (eps_D - noise) exactly: it is the SDS
row of `sds.score` with its own weight, and NFSD's where that method is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from sds.denoiser import Teacher
from sds.engine import ScoreDistillation, Settings
from sds.guidance import Guidance
from sds.ramps import DREAMFUSION_TIMES, Ramp, TimeRange
from sds.schedule import NoiseSchedule
from sds.score import Method, Weighting, sds
from students.adversarial import Adversary
from students.generator import FewStepGenerator
from students.teachers import InOwnSpace


def exponential_weight(schedule: NoiseSchedule, t: Tensor, x: Tensor, guided: Tensor) -> Tensor:
    """c(t) = alpha: high noise counts less (Sauer et al. 2023, section 3.3)."""
    del x, guided
    return schedule.alpha(t)


@dataclass(frozen=True)
class AddSettings:
    """How a student learns by adversarial diffusion distillation.

    Attributes:
        steps, batch_size, seed: of the run.
        learning_rate: of the student's Adam.
        distillation_weight: lambda of the paper.
        weighting: c(t): `exponential_weight`, or that of SDS, `sds.score.sigma_squared_weight`.
        method: `sds`, or `nfsd` (which needs a negative prompt).
        guidance: of the teacher.
        times: the noise levels of the distillation term.
        decay: a factor on the learning rate over the run.
    """

    steps: int
    batch_size: int = 16
    learning_rate: float = 1e-4
    distillation_weight: float = 2.5
    weighting: Weighting = exponential_weight
    method: Method = sds
    guidance: Guidance = field(default_factory=lambda: Guidance(1.0))
    times: TimeRange = DREAMFUSION_TIMES
    decay: Ramp = field(default_factory=lambda: Ramp(1.0, 1.0))
    seed: int = 0


def add(
    generator: FewStepGenerator, teacher: Teacher, settings: AddSettings, adversary: Adversary
) -> ScoreDistillation:
    """Adversarial diffusion distillation (Sauer et al. 2023): a discriminator, and the SDS row as its counterweight.

    The squared distance of the distillation term gives twice the difference, hence the factor 2. It is taken in the
    teacher's x: for a teacher of pixels that is the paper's pixel space.
    """

    def weighting(schedule: NoiseSchedule, t: Tensor, x: Tensor, guided: Tensor) -> Tensor:
        return 2 * settings.distillation_weight * settings.weighting(schedule, t, x, guided)

    return ScoreDistillation(
        generator,
        InOwnSpace(teacher),
        lambda draw: draw.conditions,
        torch.optim.Adam(generator.parameters(), lr=settings.learning_rate, betas=(0.0, 0.999)),
        Settings(
            steps=settings.steps,
            batch_size=settings.batch_size,
            method=settings.method,
            guidance=settings.guidance,
            weighting=weighting,
            times=settings.times,
            learning_rate=settings.decay,
            seed=settings.seed,
        ),
        terms=[adversary],
    )
