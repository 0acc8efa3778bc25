"""Adversarial diffusion distillation (ADD, Sauer et al. 2023): real images judge detail, the teacher judges content.

    loss = adversarial + lambda c(t) |x - D(x_t)|^2           D the teacher's prediction, not differentiated

The second term's gradient is 2 lambda c(t) (x - D), and x - D = (sigma / alpha) (eps_D - noise) exactly: it is the SDS
row of `sds.score` with its own weight, and NFSD's where that method is asked for.

The paper takes that distance in pixels. Where x are latents they are decoded first, and then it is no row of that table
any more but a loss of its own, `PixelDistillation`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sds.baselines import Method, sds
from sds.denoiser import Teacher
from sds.engine import ScoreDistillation, Settings
from sds.guidance import Guidance
from sds.ramps import DREAMFUSION_TIMES, Ramp, TimeRange
from sds.schedule import NoiseSchedule
from sds.weightings import Weighting
from students.generator import FewStepGenerator
from students.levels import Times
from students.methods.adversarial import Adversary
from students.methods.targets import Learning
from students.teachers import InOwnSpace
from students.training.batches import Batch


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
        weighting: c(t): `exponential_weight`, or that of SDS, `sds.weightings.sigma_squared_weight`.
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
        waits = 1.0 if adversary.ready else 0.0  # alone this term would lead to the mean of a prompt's images
        return waits * 2 * settings.distillation_weight * settings.weighting(schedule, t, x, guided)

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
        computed_in=generator.student.computed_in,
    )


class PixelDistillation:
    """lambda c(s) |decode(x) - decode(D(x_s))|^2: the distillation term in pixels, for `students.training.loop`.

    x is what the student makes of a noised image, as the paper's student does; the discriminator beside it is a
    `students.methods.adversarial.DenoisedAdversary` at the same times.

    Args:
        teacher: decodes x, differentiably; guided if that shall be learned.
        times: of the student's steps.
        weight: lambda.
        noise_levels: s, where the teacher is asked.
    """

    def __init__(
        self, teacher: Teacher, times: Times, weight: float = 2.5, noise_levels: TimeRange = DREAMFUSION_TIMES
    ) -> None:
        self.teacher, self.times, self.weight, self.noise_levels = teacher, times, weight, noise_levels

    def __call__(self, learning: Learning, batch: Batch) -> Tensor:
        """The mean over images and their pixels."""
        rng, schedule = learning.rng, self.teacher.schedule
        t = self.times.sample(len(batch), learning.progress, rng)
        x_t = schedule.add_noise(batch.x0, batch.noise, t)
        x = learning.student(x_t, t, torch.zeros_like(t), batch.condition)
        s = self.noise_levels.sample(len(batch), learning.progress, rng)
        x_s = schedule.add_noise(x.detach(), torch.randn(x.shape, generator=rng).to(x), s)
        with torch.no_grad():
            wanted = self.teacher.decode(self.teacher(x_s, s, batch.condition))
        error = (self.teacher.decode(x) - wanted).square().flatten(1).mean(1)
        return self.weight * (schedule.alpha(s).to(error) * error).mean()

    def state_dict(self) -> dict[str, Any]:
        """Empty: it learns nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to do."""
