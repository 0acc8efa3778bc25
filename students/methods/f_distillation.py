"""f-distill (Xu et al. 2025): the gradient of DMD, each image weighted by how likely the teacher finds it.

With r = p(x) / q(x), p the density of real images and q that of the student's, every f-divergence has the gradient of
Diff-Instruct times a function of r::

    E h(r) (C - D),     h(r) = f''(r) r^2

    reverse KL (f = -log r)      h = 1             Diff-Instruct, DMD: images that are unlikely are avoided
    Jensen-Shannon               h = r / (1 + r)
    squared Hellinger            h = sqrt r
    forward KL (f = r log r)     h = r             images that are rare with the student are wanted: variety

r is exp of the logit of a discriminator that is trained with the non-saturating loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sds.critic import Critic
from sds.denoiser import Condition, NeuralTeacher
from sds.engine import ScoreDistillation
from sds.ramps import TimeRange
from sds.schedule import NoiseSchedule
from sds.weightings import Weighting, normalized_weight
from students.features.discriminators import Discriminator, LearningDiscriminator, NoisyFeatures
from students.generator import FewStepGenerator
from students.methods.adversarial import NON_SATURATING, Adversary
from students.methods.distribution_matching import MatchingSettings, distribution_matching
from students.training.batches import ImageSource

Divergence = Callable[[Tensor], Tensor]
"""h: density ratios r, shape (batch,) -> weights, shape (batch,)."""

LARGEST_LOG_RATIO = 3.0
"""Of r: beyond, a discriminator only says that it is sure, and one image would outweigh a batch."""


def reverse_kl(r: Tensor) -> Tensor:
    """1: Diff-Instruct and DMD."""
    return torch.ones_like(r)


def jensen_shannon(r: Tensor) -> Tensor:
    """r / (1 + r), up to a factor."""
    return r / (1 + r)


def squared_hellinger(r: Tensor) -> Tensor:
    """The root of r, up to a factor."""
    return r.sqrt()


def forward_kl(r: Tensor) -> Tensor:
    """r itself."""
    return r


class RatioCritic(Critic):
    """A critic that also knows the density ratio of the noisy images that it was asked about last.

    The ratio belongs to the x_t of the gradient (theorem 1 of the paper): at other noise it would weigh other images.
    Call `look_through` with the discriminator before the first update; it may look at this critic's own network.

    Attributes:
        ratio: p / q of the last x_t, shape (batch,), by the discriminator as it was then.
    """

    discriminator: Discriminator | LearningDiscriminator
    looks: NoisyFeatures
    ratio: Tensor

    def look_through(self, discriminator: Discriminator | LearningDiscriminator, times: TimeRange) -> None:
        """Choose who estimates the ratio, and at which noise levels it learns to: those of the gradient.

        Raises ValueError if its features do not see noise.
        """
        looks = getattr(discriminator.features, "of_network", discriminator.features)
        if not isinstance(looks, NoisyFeatures):
            raise ValueError(
                "f-distill compares noisy images: features must see noise (--features teacher or learning)"
            )
        looks.times = times
        self.discriminator, self.looks = discriminator, looks

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """See `Critic`."""
        logit = self.discriminator(self.looks.at(x_t, t, condition))
        self.ratio = logit.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO).exp()
        return super().__call__(x_t, t, condition)


def ratio_weight(ratio: Callable[[], Tensor], divergence: Divergence) -> Weighting:
    """The weight of DMD times h(r), which is divided by its mean over the batch so that steps keep their size."""

    def weight(schedule: NoiseSchedule, t: Tensor, x: Tensor, guided: Tensor) -> Tensor:
        h = divergence(ratio()).double().cpu()
        return normalized_weight(schedule, t, x, guided) * h / h.mean()

    return weight


def f_distillation(
    generator: FewStepGenerator,
    teacher: NeuralTeacher,
    settings: MatchingSettings,
    critic: RatioCritic,
    real: ImageSource,
    divergence: Divergence,
    *,
    critic_steps: int = 5,
    **adversary: Any,
) -> ScoreDistillation:
    """DMD2 whose gradient is that of an f-divergence (Xu et al. 2025, theorem 1).

    Args:
        generator: the student, as a generator.
        teacher: who is distilled.
        settings: how student and critic learn.
        critic: with a discriminator already.
        real: what the discriminator compares with.
        divergence: h.
        critic_steps: updates of the critic before each of the student's.
        adversary: further options of `Adversary`; its weight is 0.003 unless given.
    """
    options = {"weight": 3e-3, "loss": NON_SATURATING, **adversary}
    return distribution_matching(
        generator,
        teacher,
        settings,
        weighting=ratio_weight(lambda: critic.ratio, divergence),
        critic_steps=critic_steps,
        critic=critic,
        terms=[Adversary(critic.discriminator, real, **options)],
    )
