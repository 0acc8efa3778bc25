"""Recipes whose students help to make their own targets: consistency models of all kinds, TRACT, BOOT, shortcuts."""

from __future__ import annotations

from collections.abc import Callable

from sds.denoiser import Teacher
from sds.ramps import Ramp, TimeRange
from sds.solvers import ddim
from students.answerable import OnStraightPaths
from students.features.distances import pseudo_huber
from students.features.sources import learning_features
from students.guided_teacher import GuidedTeacher
from students.methods.adversarial import HINGE, DenoisedAdversary
from students.methods.bootstrap import (
    boot,
    consistency,
    consistency_training,
    inverse_gap,
    shortcut,
    tract,
    trajectory_consistency,
)
from students.methods.continuous_consistency import LognormalTimes, continuous_consistency
from students.methods.derivatives import over
from students.methods.level_weights import LevelWeighted
from students.methods.levels import doubling_levels, even_levels, lognormal_shares, time_of
from students.methods.mean_flow import MeanFlowTimes, mean_flow, teacher_velocity
from students.methods.targets import StepTimes, at_random_guidance, denoising
from students.recipes.adversarial import adversary_for
from students.recipes.material import images
from students.recipes.order import (
    Order,
    StudentRun,
    card,
    distance_for,
    need_one_step,
    need_pure_noise,
    regression,
    seeded_student,
    steps_of_stages,
)
from students.recipes.paths import guidance_range
from students.recipes.rates import CONTINUOUS, chain_average, growing_average, growing_levels
from students.training.balance import Balanced, last_weights
from students.training.batches import noise_batches
from students.training.loop import Regression, Stage

HIGHEST = 80.0
"""sigma / alpha where consistency training begins: beyond, two neighbours would be infinitely far apart."""


def consistency_recipe(order: Order) -> StudentRun:
    """Consistency distillation of the guided teacher."""
    need_pure_noise(order)
    data, distance = images(order), distance_for(order)

    def stage(teacher: Teacher) -> Stage:
        terms = [Regression(consistency(teacher, even_levels(order.path_steps)), distance)]
        return Stage(terms, data, order.steps, chain_average(order.steps, order.path_steps))

    return regression(order, [stage], result=card(order, same_path=False, free_steps=True))


def latent_consistency_recipe(order: Order) -> StudentRun:
    """Latent consistency models: consistency distillation at every guidance scale, which the student is told.

    One of low rank (LCM-LoRA, Luo et al. 2023b) learns the order's scale alone: its file has no place for an input.
    """
    need_pure_noise(order)
    data, distance = images(order), distance_for(order, pseudo_huber)
    lowest, highest = guidance_range(order)

    def stage(teacher: Teacher) -> Stage:
        objective = consistency(teacher, even_levels(order.path_steps), ddim)
        if order.lora is None:
            objective = at_random_guidance(objective, lowest, highest)
        return Stage([Regression(objective, distance)], data, order.steps, chain_average(order.steps, order.path_steps))

    student = seeded_student(order, told_guidance=order.lora is None)
    return regression(order, [stage], student, card(order, same_path=False, free_steps=True))


def consistency_training_recipe(order: Order) -> StudentRun:
    """Consistency training: squared distance, levels that become more, an average that slows down with them.

    No teacher but where it starts.
    """
    schedule, count = order.teacher.schedule, growing_levels(order.steps)
    top = time_of(schedule, HIGHEST)
    objective = consistency_training(schedule, lambda progress: below(top, count(progress)))
    return trained_on_images(order, Regression(objective), growing_average(order.steps, count))


EVEN_LEVELS = 0.25
"""Share of iCT's levels that are drawn evenly: a short training must see the one that it is used at."""


def improved_consistency_training_recipe(order: Order) -> StudentRun:
    """Improved consistency training: pseudo-Huber distance, no average, levels that double, most of them low."""
    schedule = order.teacher.schedule
    last = 10 * 2 ** max(0, min(7, int(order.steps / 40).bit_length() - 1))  # 1280 where there is time to climb them
    levels = doubling_levels(schedule, 10, last, HIGHEST)
    objective = consistency_training(schedule, levels, inverse_gap, lognormal_shares(schedule, even=EVEN_LEVELS))
    return trained_on_images(order, Regression(objective, pseudo_huber), 0.0)


def trained_on_images(order: Order, term: Regression, average_decay: float | Callable[[float], float]) -> StudentRun:
    """Consistency training; the student begins at the highest level, a little below pure noise."""
    need_pure_noise(order)
    top = time_of(order.teacher.schedule, HIGHEST)
    stage = Stage([term], images(order), order.steps, average_decay)
    times = [top * time for time in order.times]
    return regression(order, [lambda _: stage], result=card(order, same_path=False, times=times, free_steps=True))


def below(top: float, count: int) -> list[float]:
    """``count`` levels above zero, equally far apart, up to ``top``."""
    return [top * level for level in even_levels(count)]


WIDTH = 0.1
"""Of t, over which MeanFlow and sCM see how a prediction changes: with the exact derivative short trainings fall apart
(Frechet distance after 150 steps: MeanFlow's 8.4 at a rate of 1e-3, sCM's 0.97 at 2e-4; by a width 0.55 and 0.45)."""

FOLLOWED = 0.9
"""Decay of the average that these two learn from; the papers, whose steps are small, have none."""


def continuous_recipe(order: Order) -> StudentRun:
    """Continuous-time consistency distillation: the derivative in place of neighbouring levels.

    Simplified: the derivative is a difference over `WIDTH`, and what is followed is an average.
    """
    need_pure_noise(order)
    data = images(order)

    def stage(teacher: Teacher) -> Stage:
        objective = continuous_consistency(teacher, times=LognormalTimes(teacher.schedule), derivative=over(WIDTH))
        return Stage([LevelWeighted(objective, teacher.schedule)], data, order.steps, FOLLOWED)

    return regression(order, [stage], result=card(order, same_path=False, free_steps=True), rate=CONTINUOUS)


TRAJECTORY_STEPS = 2
"""Of the teacher, at most, on the way from t to u: the paper's 17 of 18 levels, at a cost that a small run can bear."""


TO_IMAGE = 0.5
"""Share of CTM's jumps that end at the image: a short training must learn the one that is asked for."""


def trajectory_recipe(order: Order) -> StudentRun:
    """Consistency trajectory models, with denoising and a discriminator beside it, all three balanced.

    Simplified: the discriminator looks through a copy of the teacher that learns, not through a network of pictures.
    """
    need_pure_noise(order)
    data, distance, student = images(order), distance_for(order), seeded_student(order, told_end=True)
    levels = even_levels(order.path_steps)
    adversary = adversary_for(order, order.looks(learning_features), data, HINGE)
    judged = DenoisedAdversary(adversary, StepTimes(levels[1:]))

    def stage(teacher: Teacher) -> Stage:
        path = Regression(trajectory_consistency(teacher, levels, TRAJECTORY_STEPS, to_image=TO_IMAGE), distance)
        denoised = Regression(denoising(teacher.schedule, TimeRange(Ramp(0.1, 0.1), Ramp(1.0, 1.0))))
        term = Balanced(path, [(denoised, 1.0), (judged, 1.0)], last_weights(student.network))
        return Stage([term], data, order.steps, chain_average(order.steps, order.path_steps))

    return regression(order, [stage], student, card(order, same_path=True, free_steps=True))


def tract_recipe(order: Order) -> StudentRun:
    """TRACT: to four steps for each of the student's, then to the student's."""
    need_pure_noise(order)
    data, final = images(order), order.student_steps
    first, second = steps_of_stages(order, 2)
    return regression(
        order,
        [
            lambda teacher: Stage(
                [Regression(tract(teacher, even_levels(8 * 4 * final), 4 * final))], data, first, average_decay=0.5
            ),
            lambda teacher: Stage(
                [Regression(tract(teacher, even_levels(4 * final), final))], data, second, average_decay=0.5
            ),
        ],
        result=card(order, same_path=True),
    )


def boot_recipe(order: Order) -> StudentRun:
    """BOOT: no data, no pairs."""
    need_pure_noise(order)
    need_one_step(order)
    noise = noise_batches(order.guided)
    return regression(
        order,
        [lambda teacher: Stage([Regression(boot(teacher, even_levels(order.path_steps // 2)))], noise, order.steps)],
        seeded_student(order, told_end=True),
    )


def shortcut_recipe(order: Order) -> StudentRun:
    """Shortcut models. Their finest steps learn from the images, so these should be what the student shall draw."""
    need_pure_noise(order)
    data, schedule = images(order), order.teacher.schedule
    terms = [
        Regression(shortcut(schedule, 5), pseudo_huber),
        Regression(denoising(schedule, TimeRange(Ramp(0.05, 0.05), Ramp(1.0, 1.0))), weight=0.1),
    ]
    stage = Stage(terms, data, order.steps, average_decay=0.98)
    student = seeded_student(order, told_end=True)
    return regression(order, [lambda _: stage], student, card(order, same_path=True, free_steps=True))


MEAN_FLOW_TIMES = MeanFlowTimes(same=0.25, whole=0.25)
"""More jumps, and more of the whole way, than the paper has: a short training must learn the one that is asked for."""


MEAN_FLOW_WARM_UP = Ramp(0.0, 1.0, finish=0.2)
"""Share of the derivative over the run."""


def mean_flow_recipe(order: Order) -> StudentRun:
    """MeanFlow of the guided teacher, on straight paths whatever the teacher's own schedule."""
    need_pure_noise(order)
    straight = OnStraightPaths(order.teacher)
    guided = GuidedTeacher(straight, order.guidance_scale, guidance=order.guidance)
    student = seeded_student(order, straight, told_end=True)
    velocity = teacher_velocity(guided)
    objective = mean_flow(straight.schedule, velocity, MEAN_FLOW_TIMES, MEAN_FLOW_WARM_UP, over(WIDTH))
    stage = Stage([Regression(objective, pseudo_huber)], images(order), order.steps, FOLLOWED)
    return regression(order, [lambda _: stage], student, card(order, same_path=True, free_steps=True))
