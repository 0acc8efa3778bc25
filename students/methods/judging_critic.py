"""DMD2's classifier (Yin et al. 2024b, section 4.3): the critic itself learns to tell real images from the student's.

Small heads sit on the layers of the critic's network, and trunk and heads are trained together, on fresh noise::

    loss of the critic = denoising of the student's images + weight * softplus(-logit(real)) + softplus(logit(fake))
    loss of the student = score gradient + weight' * softplus(-logit(fake))
"""

from __future__ import annotations

import torch
from torch import Tensor

from sds.copies import held_still
from sds.critic import Critic, CriticSettings
from sds.denoiser import Condition, NeuralTeacher
from students.features.discriminators import Discriminator, LearningDiscriminator
from students.methods.adversarial import NON_SATURATING, Adversary
from students.training.batches import ImageSource

Heads = Discriminator | LearningDiscriminator
"""Heads on features; on the critic's own network unless a user has other wishes."""

CLASSIFICATION = 0.01
"""Weight of the classifier in the critic's loss (the official code's)."""

STUDENTS_SHARE = 3e-3
"""Weight of the classifier in the student's loss (the official code's for ImageNet)."""


class JudgingCritic(Critic):
    """A critic that is a classifier, too.

    Args:
        teacher: see `Critic`.
        settings: see `Critic`.
        weight: of the classifier in its loss.
    """

    opinion: Opinion

    def __init__(
        self, teacher: NeuralTeacher, settings: CriticSettings | None = None, weight: float = CLASSIFICATION
    ) -> None:
        super().__init__(teacher, settings)
        self.weight = weight

    def judge(self, discriminator: Heads, real: ImageSource, share: float = STUDENTS_SHARE) -> Opinion:
        """Take on the heads of ``discriminator``, whose features are those of this critic's network.

        Returns the student's term, with ``share`` as its weight. Call it once, before the first update.
        """
        self.optimizer.add_param_group({"params": list(discriminator.parameters())})
        self.opinion = Opinion(self, discriminator, real, share)
        return self.opinion

    def update(self, x: Tensor, condition: Condition, generator: torch.Generator) -> float:
        """One step of both; returns the denoising loss. See `Critic.update`."""
        denoising = self.loss(x, condition, generator)
        classifying = self.opinion.classification(x.detach(), condition, generator)
        self.learn(denoising + self.weight * classifying)
        return float(denoising.detach())


class Opinion(Adversary):
    """What a `JudgingCritic` thinks of the student's images: an adversary that learns in the critic's updates.

    Args:
        critic: whose trunk the discriminator sits on.
        discriminator, real: see `Adversary`.
        share: weight of the student's loss.
    """

    def __init__(self, critic: JudgingCritic, discriminator: Heads, real: ImageSource, share: float) -> None:
        super().__init__(discriminator, real, loss=NON_SATURATING, weight=share, r1=0.0)
        self.trunk = critic.network

    def classification(self, fake: Tensor, condition: Condition, rng: torch.Generator) -> Tensor:
        """The discriminator's loss on ``fake`` and as many real images, differentiable in trunk and heads."""
        batch = self.real(len(fake), rng)
        seen = self.discriminator.features
        of_real = self.discriminator(seen(batch.x0.to(fake), batch.condition, rng))
        of_fake = self.discriminator(seen(fake, condition, rng))
        self.note(of_real, of_fake)
        return self.loss.discriminator(of_real, of_fake)

    def update(self, fake: Tensor, condition: Condition, rng: torch.Generator, real: Tensor | None = None) -> None:
        """Nothing: trunk and heads have learned with the critic."""

    def generator_loss(
        self, x: Tensor, condition: Condition, rng: torch.Generator, real: Tensor | None = None
    ) -> Tensor:
        """See `Adversary.generator_loss`; the trunk does not learn from it either."""
        with held_still(self.trunk):
            return super().generator_loss(x, condition, rng, real)
