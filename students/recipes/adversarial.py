"""Recipes where a discriminator teaches a denoiser to decide: adversarial score matching, UFOGen, DDGAN."""

from __future__ import annotations

from torch import nn

from students.features.sources import discriminator_on, unet_layers
from students.methods.adversarial import (
    LEAST_SQUARES,
    NON_SATURATING,
    AdversarialLoss,
    Adversary,
    DenoisedAdversary,
)
from students.methods.denoising_diffusion_gan import DenoisingDiffusionGan, StepFeatures, Steps
from students.methods.targets import ALL_TIMES, StepTimes, denoising
from students.recipes.order import Order, StudentRun, card, images, need_pure_noise, regression, seeded_student
from students.training.loop import LearningTerm, Regression, Stage

LATENT = 16
"""Numbers of noise that a student of a denoising diffusion GAN is told."""


HEAD_START = 100
"""Updates of a discriminator whose features learn, before the student hears of it."""


LOUDER = 50.0
"""How much more of a student features that learn ask than frozen ones: they answer to single pixels (measured)."""


def adversary_for(order: Order, loss: AdversarialLoss, weight: float) -> Adversary:
    """A discriminator on the ordered features of real images, or the teacher's; ``weight`` is for frozen features."""
    data = images(order)
    looks = order.features(order.teacher, order.teacher.network)
    discriminator = discriminator_on(looks, data)
    if not isinstance(looks, nn.Module):
        return Adversary(discriminator, data, loss=loss, weight=weight)
    head_start = min(HEAD_START, order.steps // 4)
    return Adversary(
        discriminator,
        data,
        loss=loss,
        weight=weight / LOUDER,
        r1=0.0,
        steadiness=3.0,
        learning_rate=2e-4,
        head_start=head_start,
    )


def adversarial_score_matching_recipe(order: Order) -> StudentRun:
    """Adversarial score matching: a better denoiser, for as few or as many steps of one path as one likes."""
    need_pure_noise(order)
    student = seeded_student(order)
    adversary = adversary_for(order, LEAST_SQUARES, weight=0.1)
    terms: list[LearningTerm] = [Regression(denoising(order.teacher.schedule)), DenoisedAdversary(adversary, ALL_TIMES)]
    stage = Stage(terms, images(order), order.steps)
    return regression(order, [lambda _: stage], student, card(order, same_path=True, free_steps=True))


def ufogen_recipe(order: Order) -> StudentRun:
    """UFOGen: denoising and a discriminator at the few noise levels that the student starts from."""
    student = seeded_student(order)
    times = StepTimes(order.times)
    adversary = adversary_for(order, NON_SATURATING, weight=0.1)
    fitting = order.teacher if order.start < 1 else None
    stage = Stage([DenoisedAdversary(adversary, times, denoising=1.0, fitting=fitting)], images(order), order.steps)
    return regression(order, [lambda _: stage], student)


def denoising_diffusion_gan_recipe(order: Order) -> StudentRun:
    """A denoising diffusion GAN: large steps that are drawn; its discriminator sees both ends of a step."""
    student = seeded_student(order, latent=LATENT)
    levels = [0.0, *reversed(order.times)]
    steps = Steps(images(order), order.teacher.schedule, levels)
    looks = StepFeatures(order.teacher, order.teacher.network, unet_layers(order.teacher.network))
    adversary = Adversary(discriminator_on(looks, steps), steps, loss=NON_SATURATING, r1=0.02)
    stage = Stage([DenoisingDiffusionGan(adversary, steps, LATENT)], images(order), order.steps)
    return regression(order, [lambda _: stage], student)
