"""Recipes that match distributions: Diff-Instruct, DMD, DMD2, f-distill, SiD, ADD, and a flow of known density."""

from __future__ import annotations

from dataclasses import replace

import torch

from sds.critic import Critic, CriticSettings
from sds.engine import ScoreDistillation
from sds.ramps import Ramp, TimeRange
from students.density_flow import counts_of
from students.density_student import DensityStudent
from students.features.sources import discriminator_on, learning_features, teacher_features
from students.generator import FewStepGenerator
from students.guided_teacher import GuidedTeacher
from students.methods.adversarial import HINGE, DenoisedAdversary
from students.methods.adversarial_distillation import AddSettings, PixelDistillation, add
from students.methods.density_distillation import DensityMatching
from students.methods.distribution_matching import MatchingSettings, diff_instruct, dmd, dmd2
from students.methods.f_distillation import RatioCritic, f_distillation, forward_kl
from students.methods.judging_critic import JudgingCritic
from students.methods.score_identity import ScoreIdentity
from students.methods.targets import StepTimes
from students.recipes.adversarial import adversary_for
from students.recipes.material import images, obtained_pairs
from students.recipes.order import (
    Order,
    StudentRun,
    distance_for,
    from_within,
    matching,
    need_one_step,
    need_pure_noise,
    regression,
    seeded_student,
)
from students.recipes.rates import ADVERSARIAL, FLOW, MATCHING, scaled_rate
from students.teachers import Differentiable, vocabulary_of
from students.training.batches import noise_batches
from students.training.loop import LearningTerm, Stage

DISTILLATION = 1.0
"""lambda of ADD, whose paper has 2.5 for latents of a large teacher."""


def diff_instruct_recipe(order: Order) -> StudentRun:
    """Diff-Instruct: the engine with a full critic."""
    order, steps = from_within(order), order.critic_steps or 2
    return matching(order, lambda generator, how: diff_instruct(generator, order.teacher, how, critic_steps=steps))


def dmd_recipe(order: Order) -> StudentRun:
    """DMD: with a regression on the teacher's pairs."""
    order = from_within(order)
    pairs, steps, distance = obtained_pairs(order), order.critic_steps or 2, distance_for(order)
    return matching(
        order,
        lambda generator, how: dmd(generator, order.teacher, how, pairs, distance=distance, critic_steps=steps),
    )


def dmd2_recipe(order: Order) -> StudentRun:
    """DMD2: without pairs; the critic, five times as fast, also learns to tell real images from the student's."""
    order = from_within(order)
    data = images(order)

    def engine(generator: FewStepGenerator, settings: MatchingSettings) -> ScoreDistillation:
        critic = JudgingCritic(order.teacher, settings.critic)
        discriminator = discriminator_on(order.looks(teacher_features, critic.network), data)
        opinion = critic.judge(discriminator, data)
        return dmd2(generator, order.teacher, settings, critic, opinion, critic_steps=order.critic_steps or 5)

    return matching(order, engine)


def f_distill_recipe(order: Order) -> StudentRun:
    """f-distill with the forward divergence, on the features that DMD2 has."""
    order = from_within(order)
    data = images(order)

    def engine(generator: FewStepGenerator, settings: MatchingSettings) -> ScoreDistillation:
        critic = RatioCritic(order.teacher, settings.critic)
        looks = order.looks(teacher_features, critic.network)
        critic.look_through(discriminator_on(looks, data), settings.times)
        return f_distillation(
            generator, order.teacher, settings, critic, data, forward_kl, critic_steps=order.critic_steps or 5
        )

    return matching(order, engine)


def sid_recipe(order: Order) -> StudentRun:
    """SiD: a critic, and a gradient that passes through teacher and critic. Data-free."""
    order = from_within(order)
    student = seeded_student(order)
    critic = Critic(order.teacher, CriticSettings(rank=order.lora, learning_rate=3 * order.rate(MATCHING)))
    teacher = GuidedTeacher(Differentiable(order.teacher), order.guidance_scale, guidance=order.guidance)
    term = ScoreIdentity(teacher, critic, order.times, critic_steps=order.critic_steps or 1)
    stage = Stage([term], noise_batches(order.guided), order.steps)
    return regression(order, [lambda _: stage], student, rate=MATCHING)


def add_recipe(order: Order) -> StudentRun:
    """ADD: a discriminator on a copy of the teacher that learns; the distance is taken in pixels, also for latents."""
    order = from_within(order)
    if order.teacher.shape[0] != 3:
        return latent_add(order)
    adversary = adversary_for(order, order.looks(learning_features), images(order), HINGE)

    def engine(generator: FewStepGenerator, settings: MatchingSettings) -> ScoreDistillation:
        how = AddSettings(
            order.steps,
            order.batch_size,
            settings.learning_rate,
            distillation_weight=DISTILLATION,
            guidance=settings.guidance,
            decay=settings.decay,
            seed=order.seed,
        )
        return add(generator, order.teacher, how, adversary)

    return matching(order, engine, rate=ADVERSARIAL)


def latent_add(order: Order) -> StudentRun:
    """ADD for a teacher of latents: its distillation term is measured after decoding, in the loop of regressions."""
    student, times = seeded_student(order), StepTimes(order.times)
    adversary = adversary_for(order, order.looks(learning_features), images(order), HINGE)
    terms: list[LearningTerm] = [
        DenoisedAdversary(adversary, times),
        PixelDistillation(order.guided.teacher, times, weight=DISTILLATION),
    ]
    stage = Stage(terms, images(order), order.steps)
    return regression(order, [lambda _: stage], student, rate=ADVERSARIAL, judged=True)


CLIMBED = 0.5
"""Share of a flow's training over which it comes down from noise to pictures."""


def density_recipe(order: Order) -> StudentRun:
    """Probability density distillation: a flow of known density, small and new, in place of a copy of the teacher."""
    need_pure_noise(order)
    need_one_step(order)
    if order.lora is not None:
        raise ValueError(f"the student of {order.method} is a flow of its own, which no LoRA corrects: leave it out")
    classes = len(vocabulary_of(order.teacher) or ()) + 1  # the last is none in particular
    told = counts_of(order.prompts.condition(1, torch.Generator().manual_seed(0)), classes)
    torch.manual_seed(order.seed)
    student = DensityStudent(order.teacher, told)
    lowest = Ramp(0.9, float(student.finest), finish=CLIMBED)
    term = DensityMatching(order.guided.teacher, TimeRange(lowest, Ramp(1.0, 1.0)))
    rate = order.learning_rate or scaled_rate(FLOW, student.network, order.batch_size)
    stage = Stage([term], noise_batches(order.guided), order.steps)
    return regression(replace(order, learning_rate=rate), [lambda _: stage], student)
