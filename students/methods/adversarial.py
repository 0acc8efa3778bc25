"""Adversarial terms: a discriminator that tells real images from a student's, and a student that learns from it.

A discriminator is a few small heads on the features of a frozen network, as in ADD (Sauer et al. 2023), LADD and DMD2,
or on those of a copy of the teacher that learns with them (UFOGen). The gradient flows through those features into the
image: they are an encoder, not the teacher's score, which is never differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sds.checkpoint import require_form, restore_module, restore_optimizer
from sds.copies import held_still
from sds.denoiser import Condition, Denoiser
from sds.precision import Descent
from students.features.discriminators import Discriminator, LearningDiscriminator, LearningFeatures
from students.features.distances import squared
from students.generator import LatentDraw
from students.levels import Times
from students.methods.targets import Learning, straight_weight
from students.training.batches import Batch, ImageSource

TREMBLE = 0.05
"""The standard deviation of the noise, on images in [-1, 1], that shall not matter to a steady discriminator."""

FEWEST_REAL_IMAGES = 64
"""With fewer real images a discriminator knows them by heart before the student has learned anything."""


@dataclass(frozen=True)
class AdversarialLoss:
    """What a discriminator and what a generator minimise, given logits of shape (batch,) that are high for real.

    Attributes:
        discriminator: (real, fake) -> scalar.
        generator: (fake) -> scalar.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


HINGE = AdversarialLoss(
    lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
    lambda fake: -fake.mean(),
)
"""Lim & Ye 2017; used by ADD, CTM, LADD and PCM."""

NON_SATURATING = AdversarialLoss(
    lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean(),
    lambda fake: F.softplus(-fake).mean(),
)
"""Goodfellow et al. 2014; used by denoising diffusion GANs, UFOGen and DMD2. Its best logit is log p(x) - log q(x)."""

LEAST_SQUARES = AdversarialLoss(
    lambda real, fake: (real - 1).square().mean() + (fake + 1).square().mean(),
    lambda fake: (fake - 1).square().mean(),
)
"""Mao et al. 2017, fakes to be taken for real; used by adversarial score matching."""


class Adversary:
    """A discriminator that learns before each step of the student: a term for the engine.

    Args:
        discriminator: see `Discriminator`; any module that maps features to logits, with a member ``features``.
        real: real images.
        loss: `HINGE`, `NON_SATURATING` or `LEAST_SQUARES`.
        weight: of the generator's loss. In the engine, whose surrogate is a sum over the numbers of an image, it is
            multiplied by how many these are.
        r1: weight of the squared gradient of the logit with respect to the features of real images (Mescheder et al.
            2018; ADD takes it at the heads' inputs).
        steadiness: weight of (D(x) - D(x + n))^2 on real images x with a little noise n, of `TREMBLE`: R1 where the
            features learn, without a second derivative (Lin et al. 2025, equation 6).
        learning_rate: of the discriminator's Adam.
        head_start: updates of the discriminator before the student hears of it. What a discriminator says that has
            learned nothing yet is noise, and takes apart a student that begins as its teacher. Terms beside the
            adversary, which without it may drive the student to the mean, wait until it is `ready`.

    Attributes:
        updates: of the discriminator so far.
        gradient_size: root mean square of what the last loss asked of each number of each image, to be compared with
            that of the score gradient.
        accuracy: share of the last real and fake images that the discriminator told right: near one half it learns
            nothing any more, at one it tells the student little.

    Raises:
        ValueError: for fewer than `FEWEST_REAL_IMAGES` real images.
    """

    def __init__(
        self,
        discriminator: Discriminator | LearningDiscriminator,
        real: ImageSource,
        *,
        loss: AdversarialLoss = HINGE,
        weight: float = 1.0,
        r1: float = 1e-5,
        steadiness: float = 0.0,
        learning_rate: float = 1e-3,
        head_start: int = 0,
    ) -> None:
        if len(real) < FEWEST_REAL_IMAGES:
            raise ValueError(
                f"an adversarial method needs at least {FEWEST_REAL_IMAGES} real images, not {len(real)}: add images, "
                "or choose a method without a discriminator (Diff-Instruct, DMD, consistency distillation ...)"
            )
        self.discriminator, self.real, self.loss = discriminator, real, loss
        self.weight, self.r1, self.steadiness = weight, r1, steadiness
        # Features may be sharded where heads are not, and an optimiser treats a group as one.
        named = dict(discriminator.named_parameters())
        heads = [parameter for name, parameter in named.items() if not name.startswith("features.")]
        looks = [parameter for name, parameter in named.items() if name.startswith("features.")]
        groups = [{"params": some} for some in (heads, looks) if some]
        self.optimizer = torch.optim.Adam(groups, lr=learning_rate, betas=(0.0, 0.99))
        self.features_learn = isinstance(discriminator.features, nn.Module)
        features = discriminator.features
        learns_in = features.computed_in if isinstance(features, LearningFeatures) else torch.float32
        self.descent = Descent(self.optimizer, learns_in)
        self.head_start, self.updates = head_start, 0
        self.accuracy, self.gradient_size = 0.5, 0.0

    def __call__(self, draw: LatentDraw, x: Tensor, progress: float, rng: torch.Generator) -> Tensor:
        """One step of the discriminator; then the generator's loss on ``x``."""
        del progress
        return x[0].numel() * self.generator_loss(x, draw.conditional, rng)

    def generator_loss(
        self, x: Tensor, condition: Condition, rng: torch.Generator, real: Tensor | None = None
    ) -> Tensor:
        """One step of the discriminator against the images ``x`` (batch, ...), then their weighted loss."""
        self.update(x.detach(), condition, rng, real)
        if not self.ready:
            return 0 * x.sum()
        branch = x.view_as(x)  # so that only what flows back from here is measured
        if branch.requires_grad:
            branch.register_hook(self._measure)
        with held_still(self.discriminator):
            logits = self.discriminator(self.discriminator.features(branch, condition, rng))
        return self.weight * self.loss.generator(logits)

    @property
    def ready(self) -> bool:
        """Whether the discriminator has had its head start."""
        return self.updates > self.head_start

    def _measure(self, gradient: Tensor) -> None:
        self.gradient_size = float(gradient.square().mean().sqrt()) * len(gradient)

    def update(self, fake: Tensor, condition: Condition, rng: torch.Generator, real: Tensor | None = None) -> None:
        """One step of the discriminator on ``fake`` (batch, ...) and on real images.

        These are ``real`` if they are given, which then show what ``condition`` says, and fresh ones otherwise. Beside
        a real image of the same thing it is much easier to see what is wrong with a fake.
        """
        if real is None:
            batch = self.real(len(fake), rng)
            real, told = batch.x0, batch.condition
        else:
            told = condition
        alike = rng.get_state()
        with torch.set_grad_enabled(self.features_learn):
            seen_real = self.discriminator.features(real.to(fake), told, rng)
            seen_fake = self.discriminator.features(fake, condition, rng)
        of_real, of_fake = self.discriminator(seen_real), self.discriminator(seen_fake)
        loss = self.loss.discriminator(of_real, of_fake)
        if self.r1:
            inputs = [feature.detach().requires_grad_() for feature in seen_real]
            slopes = torch.autograd.grad(self.discriminator(inputs).sum(), inputs, create_graph=True)
            loss = loss + self.r1 * sum(slope.square().flatten(1).sum(1).mean() for slope in slopes)
        if self.steadiness:
            trembling = real.to(fake) + TREMBLE * torch.randn(real.shape, generator=rng).to(fake)
            same = torch.Generator().set_state(alike)  # features look at both through the same noise
            again = self.discriminator(self.discriminator.features(trembling, told, same))
            loss = loss + self.steadiness * (of_real - again).square().mean()
        self.descent(loss, "the discriminator")
        self.note(of_real, of_fake)

    def note(self, of_real: Tensor, of_fake: Tensor) -> None:
        """Keep how well the logits (batch,) of real images and of fakes told them apart, and count the update."""
        self.updates += 1
        self.accuracy = float(torch.cat([of_real.detach() > 0, of_fake.detach() <= 0]).float().mean())

    def state_dict(self) -> dict[str, Any]:
        """All that learns, and the optimiser."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scale": self.descent.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`. Raises CheckpointError if it is of another discriminator."""
        require_form(state["updates"], self.updates, "the discriminator's count of updates")
        restore_module(self.discriminator, state["discriminator"], "the checkpoint's discriminator")
        restore_optimizer(self.optimizer, state["optimizer"])
        self.descent.load_state_dict(state["scale"])
        self.updates = state["updates"]


class DenoisedAdversary:
    """An adversary for the images that a student makes of noised real ones: a term for `students.training.loop`.

    Beside `targets.denoising` it pulls the student from the mean of all images that fit to one of them: with
    `LEAST_SQUARES` this is adversarial score matching (Jolicoeur-Martineau et al. 2021), beside
    `bootstrap.trajectory_consistency` and with `HINGE` it is CTM's third term. UFOGen's is `students.methods.ufogen`.

    Args:
        adversary: discriminator, loss and weight.
        times: of the noise that the student starts from.
        denoising: weight of the loss of `targets.denoising` on the same images, which then costs no evaluation.
        fitting: how images are noised where the student starts from pure noise below t = 1; None noises them as ever.
    """

    def __init__(
        self, adversary: Adversary, times: Times, denoising: float = 0.0, fitting: FittingNoise | None = None
    ) -> None:
        self.adversary, self.times, self.denoising, self.fitting = adversary, times, denoising, fitting

    def __call__(self, learning: Learning, batch: Batch) -> Tensor:
        """The term for one batch, after a step of the discriminator."""
        t = self.times.sample(len(batch), learning.progress, learning.rng)
        x_t = learning.student.schedule.add_noise(batch.x0, batch.noise, t)
        if self.fitting is not None:
            x_t = self.fitting(x_t, t, batch, learning.rng)
        x = learning.student(x_t, t, torch.zeros_like(t), batch.condition)
        loss = self.adversary.generator_loss(x, batch.condition, learning.rng, batch.x0)
        if self.denoising:
            weight = straight_weight(learning.student.schedule, t).to(x)
            loss = loss + self.denoising * (weight * squared(x, batch.x0)).mean()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The adversary's."""
        return self.adversary.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.adversary.load_state_dict(state)


@dataclass(frozen=True)
class FittingNoise:
    """Noised images, at the level where a student starts replaced by the noise that fits them; see `fitting_noise`.

    Attributes:
        teacher: whose eye chooses.
        start: the student's first time. Its later steps start from its own images with noise, as all levels below do.
    """

    teacher: Denoiser
    start: float

    def __call__(self, x_t: Tensor, t: Tensor, batch: Batch, rng: torch.Generator) -> Tensor:
        """The noised images x_t (batch, ...) of a batch, with other rows where ``t`` is the start."""
        first = (t == self.start).nonzero()[:, 0].to(x_t.device)
        if not len(first):
            return x_t
        chosen = fitting_noise(self.teacher, batch.x0[first], t[first.cpu()], batch.condition[first], rng)
        return x_t.index_copy(0, first, chosen)


@torch.no_grad()
def fitting_noise(
    teacher: Denoiser, x0: Tensor, t: Tensor, condition: Condition, rng: torch.Generator, draws: int = 5
) -> Tensor:
    """Of several pure noises for each image x0 (batch, ...) the one in which ``teacher`` sees most of that image.

    A student that is told to begin at t < 1 but given pure noise sees in it one of the images that a prompt may mean.
    It shall learn that image and no other: with noise that knows nothing of the image, it would learn their mean, and
    with the image under its noise it would learn to look for what is not there when it is used. The nearest of several
    draws is what implicit maximum likelihood learns from (Li & Malik 2018), here with the teacher in the student's
    place, so that noise and image keep belonging together while the student changes.

    ::

        argmin over noise of  | E[x0 | x_t = noise] - x0 |^2
    """
    noise = torch.randn(draws, *x0.shape, generator=rng).to(x0)
    errors = torch.stack([(teacher(drawn, t, condition) - x0).square().flatten(1).mean(1) for drawn in noise])
    return noise[errors.argmin(0), torch.arange(len(x0), device=x0.device)]
