"""Recipes that match distributions: Diff-Instruct, DMD, DMD2, f-distill, SiD, and ADD."""

from __future__ import annotations

from sds.critic import Critic, CriticSettings
from sds.engine import ScoreDistillation
from students.features.sources import discriminator_on
from students.generator import FewStepGenerator
from students.methods.adversarial import HINGE, Adversary, DenoisedAdversary
from students.methods.adversarial_distillation import AddSettings, PixelDistillation, add
from students.methods.distribution_matching import MatchingSettings, diff_instruct, dmd, dmd2
from students.methods.f_distillation import RatioCritic, f_distillation, forward_kl
from students.methods.score_identity import ScoreIdentity
from students.methods.targets import StepTimes
from students.recipes.adversarial import adversary_for
from students.recipes.order import (
    Order,
    StudentRun,
    distance_for,
    images,
    matching,
    obtained_pairs,
    regression,
    seeded_student,
)
from students.teachers import Differentiable, GuidedTeacher
from students.training.batches import noise_batches
from students.training.loop import LearningTerm, Stage


def diff_instruct_recipe(order: Order) -> StudentRun:
    """Diff-Instruct: the engine with a full critic."""
    steps = order.critic_steps or 2
    return matching(order, lambda generator, how: diff_instruct(generator, order.teacher, how, critic_steps=steps))


def dmd_recipe(order: Order) -> StudentRun:
    """DMD: with a regression on the teacher's pairs."""
    pairs, steps, distance = obtained_pairs(order), order.critic_steps or 2, distance_for(order)
    return matching(
        order,
        lambda generator, how: dmd(generator, order.teacher, how, pairs, distance=distance, critic_steps=steps),
    )


def dmd2_recipe(order: Order) -> StudentRun:
    """DMD2: without pairs, with a discriminator on the critic's features."""
    data = images(order)

    def engine(generator: FewStepGenerator, settings: MatchingSettings) -> ScoreDistillation:
        critic = Critic(order.teacher, settings.critic)
        looks = order.features(order.teacher, critic.network)
        adversary = Adversary(discriminator_on(looks, data), data, weight=3e-3)
        return dmd2(generator, order.teacher, settings, critic, adversary, critic_steps=order.critic_steps or 5)

    return matching(order, engine)


def f_distill_recipe(order: Order) -> StudentRun:
    """f-distill with the forward divergence, on the features that DMD2 has."""
    data = images(order)

    def engine(generator: FewStepGenerator, settings: MatchingSettings) -> ScoreDistillation:
        critic = RatioCritic(order.teacher, settings.critic)
        looks = order.features(order.teacher, critic.network)
        critic.look_through(discriminator_on(looks, data), settings.times)
        return f_distillation(
            generator, order.teacher, settings, critic, data, forward_kl, critic_steps=order.critic_steps or 5
        )

    return matching(order, engine)


def sid_recipe(order: Order) -> StudentRun:
    """SiD: a critic, and a gradient that passes through teacher and critic. Data-free."""
    student = seeded_student(order)
    critic = Critic(order.teacher, CriticSettings(rank=None, learning_rate=3 * order.rate(1e-4)))
    teacher = GuidedTeacher(Differentiable(order.teacher), order.guidance_scale)
    term = ScoreIdentity(teacher, critic, order.times, critic_steps=order.critic_steps or 1)
    stage = Stage([term], noise_batches(order.guided), order.steps)
    return regression(order, [lambda _: stage], student, rate=1e-4)


def add_recipe(order: Order) -> StudentRun:
    """ADD, by default with a discriminator on the teacher's own features; the distance in pixels also for latents."""
    if order.teacher.shape[0] != 3:
        return latent_add(order)
    adversary = adversary_for(order, HINGE, weight=0.1)

    def engine(generator: FewStepGenerator, settings: MatchingSettings) -> ScoreDistillation:
        how = AddSettings(
            order.steps,
            order.batch_size,
            settings.learning_rate,
            distillation_weight=0.5,
            guidance=settings.guidance,
            decay=settings.decay,
            seed=order.seed,
        )
        return add(generator, order.teacher, how, adversary)

    return matching(order, engine)


def latent_add(order: Order) -> StudentRun:
    """ADD for a teacher of latents: its distillation term is measured after decoding, in the loop of regressions."""
    student, times = seeded_student(order), StepTimes(order.times)
    adversary = adversary_for(order, HINGE, weight=0.1)
    terms: list[LearningTerm] = [
        DenoisedAdversary(adversary, times),
        PixelDistillation(order.guided.teacher, times, weight=0.5),
    ]
    return regression(order, [lambda _: Stage(terms, images(order), order.steps)], student, rate=1e-4)
