"""Students whose images, as a distribution, shall be the teacher's: Diff-Instruct, DMD, DMD2 and their relatives.

All are rows of `sds.score`'s table, run by `sds.engine` like a scene in 3D. With D the teacher's and C the critic's
prediction at x_t = alpha x + sigma noise, x = G(z) the student's image::

    Diff-Instruct  (Luo et al. 2023)    gradient = C - D                          vsd, weight 1
    DMD            (Yin et al. 2024a)   gradient = (C - D) / mean |x - D|         vsd, normalized_weight
                                        + 0.25 distance(G(z'), y') on pairs    `PairedRegression`
    DMD2           (Yin et al. 2024b)   the gradient of DMD, five critic steps for each of the student
                                        + an adversarial term on real images   `students.methods.adversarial.Adversary`
    probability density distillation    gradient = C - D with the exact C of a student whose density is known
                   (v. d. Oord 2018)    (of a flow: `students.methods.density_distillation`)
    SDS                                 the same without C, that is without the entropy: the student collapses

C - D is sigma^2 / alpha times the difference of the scores, so each gradient is that of a divergence KL(student ||
teacher) of the noised images (Diff-Instruct's integral KL divergence), up to a weight for each noise level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sds.baselines import vsd
from sds.critic import Critic, CriticSettings
from sds.denoiser import NeuralTeacher
from sds.engine import ScoreDistillation, Settings, Term
from sds.guidance import Guidance
from sds.ramps import DREAMFUSION_TIMES, Ramp, TimeRange
from sds.weightings import Weighting, constant_weight, normalized_weight
from students.features.distances import Distance, squared
from students.generator import FewStepGenerator
from students.teachers import InOwnSpace
from students.training.pairs import Pairs


@dataclass(frozen=True)
class MatchingSettings:
    """How a student and its critic learn.

    Attributes:
        steps: number of steps of the student.
        batch_size: images for each step.
        learning_rate: of the student (Adam; betas 0 and 0.999 as all these papers have them).
        critic: how the critic learns; a full copy by default.
        guidance: of the teacher. 1 matches its distribution; more matches a guided one.
        times: the noise levels that are visited.
        decay: a factor on the learning rate over the run.
        seed: of everything random.
    """

    steps: int
    batch_size: int = 16
    learning_rate: float = 1e-4
    critic: CriticSettings = field(default_factory=lambda: CriticSettings(rank=None, learning_rate=3e-4))
    guidance: Guidance = field(default_factory=lambda: Guidance(1.0))
    times: TimeRange = DREAMFUSION_TIMES
    decay: Ramp = field(default_factory=lambda: Ramp(1.0, 1.0))
    seed: int = 0


def distribution_matching(
    generator: FewStepGenerator,
    teacher: NeuralTeacher,
    settings: MatchingSettings,
    *,
    weighting: Weighting,
    critic_steps: int = 1,
    critic: Critic | None = None,
    terms: Sequence[Term] = (),
) -> ScoreDistillation:
    """The engine with the row of the table above that ``weighting``, ``critic_steps`` and ``terms`` make.

    ``critic`` is given if a term looks at it too (DMD2's classifier sits on its features); else one is made.
    """
    return ScoreDistillation(
        generator,
        InOwnSpace(teacher),
        lambda draw: draw.conditions,
        torch.optim.Adam(generator.parameters(), lr=settings.learning_rate, betas=(0.0, 0.999)),
        Settings(
            steps=settings.steps,
            batch_size=settings.batch_size,
            method=vsd,
            guidance=settings.guidance,
            weighting=weighting,
            times=settings.times,
            learning_rate=settings.decay,
            critic_steps=critic_steps,
            critic_draws=True,
            seed=settings.seed,
        ),
        critic=critic or Critic(teacher, settings.critic),
        critic_told=lambda draw: draw.conditional,
        terms=terms,
        computed_in=generator.student.computed_in,
    )


def diff_instruct(
    generator: FewStepGenerator, teacher: NeuralTeacher, settings: MatchingSettings, *, critic_steps: int = 1
) -> ScoreDistillation:
    """Diff-Instruct: Luo et al. 2023, algorithm 1 with weight 1 in x0 space."""
    return distribution_matching(generator, teacher, settings, weighting=constant_weight, critic_steps=critic_steps)


def dmd(
    generator: FewStepGenerator,
    teacher: NeuralTeacher,
    settings: MatchingSettings,
    pairs: Pairs,
    *,
    distance: Distance = squared,
    regression_weight: float = 0.25,
    critic_steps: int = 1,
) -> ScoreDistillation:
    """Distribution matching distillation: Yin et al. 2024a, algorithm 1. ``distance`` is LPIPS in the paper."""
    regression = PairedRegression(generator, pairs, distance, regression_weight)
    return distribution_matching(
        generator, teacher, settings, weighting=normalized_weight, critic_steps=critic_steps, terms=[regression]
    )


def dmd2(
    generator: FewStepGenerator,
    teacher: NeuralTeacher,
    settings: MatchingSettings,
    critic: Critic,
    adversary: Term,
    *,
    critic_steps: int = 5,
) -> ScoreDistillation:
    """DMD without pairs: Yin et al. 2024b. With several ``generator.times`` it is their multi-step student."""
    return distribution_matching(
        generator,
        teacher,
        settings,
        weighting=normalized_weight,
        critic_steps=critic_steps,
        critic=critic,
        terms=[adversary],
    )


class PairedRegression:
    """weight * distance(G(z), y) on the teacher's own pairs (z, y): a term for the engine (Yin et al. 2024a, eq. 9).

    The surrogate of a score gradient is a sum over the numbers of an image, the papers' losses are means over them; so
    the distance is multiplied by their number, and ``weight`` means what it means in the papers.

    Args:
        generator: the student, trained at its first step.
        pairs: of the teacher.
        distance: e.g. `students.features.distances.perceptual`.
        weight: beside the score gradient.
    """

    def __init__(
        self, generator: FewStepGenerator, pairs: Pairs, distance: Distance = squared, weight: float = 0.25
    ) -> None:
        self.generator, self.pairs, self.distance, self.weight = generator, pairs, distance, weight

    def __call__(self, draw: Any, x: Tensor, progress: float, rng: torch.Generator) -> Tensor:
        """The term for as many pairs as ``x`` has images."""
        del draw, progress
        chosen = torch.randint(len(self.pairs), (len(x),), generator=rng)
        condition = self.pairs.condition(self.generator.prompts.teacher, chosen)
        drawn = self.generator.first_step(self.pairs.noise[chosen].to(x), condition)
        return self.weight * x[0].numel() * self.distance(drawn, self.pairs.x0[chosen].to(x)).mean()

    def state_dict(self) -> dict[str, Any]:
        """Empty: it learns nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to do."""
