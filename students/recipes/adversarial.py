"""Recipes where a discriminator teaches a denoiser to decide: adversarial score matching, UFOGen, LADD, DDGAN."""

from __future__ import annotations

from torch import nn

from students.features.discriminators import Features, LearningFeatures
from students.features.sources import all_levels, discriminator_on, learning_features, noisy_features
from students.methods.adversarial import (
    HINGE,
    LEAST_SQUARES,
    NON_SATURATING,
    AdversarialLoss,
    Adversary,
    DenoisedAdversary,
    FittingNoise,
)
from students.methods.denoising_diffusion_gan import DenoisingDiffusionGan, StepFeatures, Steps
from students.methods.targets import ALL_TIMES, StepTimes, denoising
from students.recipes.material import images
from students.recipes.order import Order, StudentRun, card, from_within, need_pure_noise, regression, seeded_student
from students.recipes.rates import ADVERSARIAL
from students.training.batches import ImageSource
from students.training.loop import LearningTerm, Regression, Stage

LATENT = 16
"""Numbers of noise that a student of a denoising diffusion GAN is told."""

HEAD_START = 50
"""Updates of a discriminator before the student hears of it."""

STEADINESS = 3.0
"""Weight of the steadiness of a discriminator whose features learn, see `Adversary`."""

TWICE = 2.0
"""How much faster a discriminator whose features learn does so than the student (measured)."""

UFOGEN_SHARES = (0.1, 0.03)
"""Weights of UFOGen's discriminator and of the denoising beside it (measured)."""

DDGAN_SHARES = (0.3, 0.3)
"""Weights of the discriminator of a denoising diffusion GAN and of the reconstruction beside it (measured)."""

LADD_DENOISING = 0.1
"""Weight of the denoising beside LADD's discriminator (measured)."""


def adversary_for(
    order: Order, looks: Features, data: ImageSource, loss: AdversarialLoss, weight: float = 1.0
) -> Adversary:
    """A discriminator on features, with a head start: steady if they learn with it, else with R1 on the heads."""
    discriminator, head_start = discriminator_on(looks, data), min(HEAD_START, order.steps // 4)
    if not isinstance(looks, nn.Module):
        return Adversary(discriminator, data, loss=loss, weight=weight, head_start=head_start)
    return Adversary(
        discriminator,
        data,
        loss=loss,
        weight=weight,
        r1=0.0,
        steadiness=STEADINESS,
        learning_rate=TWICE * order.rate(ADVERSARIAL),
        head_start=head_start,
    )


def adversarial_score_matching_recipe(order: Order) -> StudentRun:
    """Adversarial score matching: a better denoiser for consistent annealed sampling in any number of steps."""
    need_pure_noise(order)
    student, data = seeded_student(order), images(order)
    adversary = adversary_for(order, order.looks(learning_features), data, LEAST_SQUARES, weight=0.1)
    terms: list[LearningTerm] = [Regression(denoising(order.teacher.schedule)), DenoisedAdversary(adversary, ALL_TIMES)]
    stage = Stage(terms, data, order.steps)
    return regression(
        order, [lambda _: stage], student, card(order, same_path=True, free_steps=True), rate=2 * ADVERSARIAL
    )


def ufogen_recipe(order: Order) -> StudentRun:
    """UFOGen: denoising and a discriminator at the levels that the student is used at, images seen with slight noise.

    Simplified: the paper trains at four levels for each of these, each judged under the noise of the next lower one.
    That is `students.methods.ufogen.UFOGen`; short trainings of small students did not arrive by it.
    """
    order = from_within(order)
    student, data, start = seeded_student(order), images(order), order.times[0]
    adversarial, reconstruction = UFOGEN_SHARES
    adversary = adversary_for(order, order.looks(learning_features), data, NON_SATURATING, adversarial)
    fitting = FittingNoise(order.teacher, start) if start < 1 else None
    term = DenoisedAdversary(adversary, StepTimes(order.times), reconstruction, fitting)
    stage = Stage([term], data, order.steps)
    return regression(order, [lambda _: stage], student, rate=ADVERSARIAL, judged=True)


def latent_adversarial_recipe(order: Order) -> StudentRun:
    """LADD: a discriminator on what the teacher itself sees in noised images.

    The paper's images are the teacher's own; `Order.images` are taken where they are given. Not as in the paper: a
    little denoising beside it keeps a short training from falling onto few images, and the discriminator looks through
    less noise (`students.features.sources.LITTLE_NOISE`).
    """
    order = from_within(order)
    student, data, start = seeded_student(order), images(order), order.times[0]
    adversary = adversary_for(order, order.looks(noisy_features), data, HINGE)
    fitting = FittingNoise(order.teacher, start) if start < 1 else None
    term = DenoisedAdversary(adversary, StepTimes(order.times), LADD_DENOISING, fitting)
    stage = Stage([term], data, order.steps)
    return regression(order, [lambda _: stage], student, rate=ADVERSARIAL, judged=True)


def denoising_diffusion_gan_recipe(order: Order) -> StudentRun:
    """A denoising diffusion GAN: large steps that are drawn; its discriminator sees both ends of a step."""
    student = seeded_student(order, latent=LATENT)
    steps = Steps(images(order), order.teacher.schedule, [0.0, *reversed(order.times)])
    layers = all_levels(order.teacher.network)
    looks = LearningFeatures(order.teacher, lambda copy: StepFeatures(order.teacher, copy, layers))
    adversarial, reconstruction = DDGAN_SHARES
    adversary = adversary_for(order, looks, steps, NON_SATURATING, adversarial)
    stage = Stage([DenoisingDiffusionGan(adversary, steps, LATENT, reconstruction)], images(order), order.steps)
    return regression(order, [lambda _: stage], student, rate=ADVERSARIAL, judged=True)
