"""Recipes that learn from the teacher's paths: one-pass, DSNO, progressive, guidance, reflow, InstaFlow, GENIE."""

from __future__ import annotations

from sds.denoiser import Teacher
from students.methods.pairs import EndsTimes, one_pass, reflow, whole_path
from students.methods.second_order import taylor_jump
from students.methods.targets import at_random_guidance, guidance_distillation, halved, progressive
from students.recipes.material import images, obtained_pairs
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
from students.temporal_fourier import PathStates, unet_widths
from students.training.batches import pair_batches
from students.training.loop import Regression, Stage, StageBuilder

ENDS = EndsTimes(lowest=0.1)
"""The noise levels of reflow; below, a path has almost arrived."""


def one_pass_recipe(order: Order) -> StudentRun:
    """One-pass distillation of the sampler."""
    need_pure_noise(order)
    need_one_step(order)
    source = pair_batches(obtained_pairs(order), order.guided.teacher)
    stage = Stage([Regression(one_pass(order.teacher.schedule), distance_for(order))], source, order.steps)
    return regression(order, [lambda _: stage])


PATH_STATES = 4
"""Of a path, the image among them; the paper has 4 too (Zheng et al. 2023, section 4)."""


def whole_path_recipe(order: Order) -> StudentRun:
    """DSNO: all states of the teacher's paths in one pass, with its temporal layers between the blocks of a UNet.

    A network that is no UNet learns the same states one by one.
    """
    need_pure_noise(order)
    need_one_step(order)
    keep = [order.path_steps * i // PATH_STATES for i in range(1, PATH_STATES)]
    pairs = obtained_pairs(order, keep)
    widths = unet_widths(order.teacher.network)
    states = PathStates(pairs.times[1:].tolist(), widths) if widths else None
    source = pair_batches(pairs, order.guided.teacher)
    stage = Stage([Regression(whole_path(order.teacher.schedule), distance_for(order))], source, order.steps)
    return regression(order, [lambda _: stage], seeded_student(order, told_end=True, states=states))


def progressive_recipe(order: Order) -> StudentRun:
    """Progressive distillation: half the steps in each stage. Raises ValueError if halving does not lead there."""
    need_pure_noise(order)
    counts = halved(order.path_steps, order.student_steps)
    lengths, data = steps_of_stages(order, len(counts)), images(order)

    def stage(count: int, steps: int) -> StageBuilder:
        return lambda teacher: Stage([Regression(progressive(teacher, count))], data, steps)

    stages = [stage(count, steps) for count, steps in zip(counts, lengths, strict=True)]
    return regression(order, stages, result=card(order, same_path=True))


def guidance_recipe(order: Order) -> StudentRun:
    """Guidance distillation: first any guidance scale in one evaluation, then fewer and fewer steps, scale still told.

    With as many student steps as the teacher takes there is the first stage only.
    """
    need_pure_noise(order)
    counts = [] if order.student_steps == order.path_steps else halved(order.path_steps, order.student_steps)
    lengths, data = steps_of_stages(order, 1 + len(counts)), images(order)
    lowest, highest = guidance_range(order)

    def first(teacher: Teacher) -> Stage:
        objective = at_random_guidance(guidance_distillation(teacher), lowest, highest)
        return Stage([Regression(objective)], data, lengths[0])

    def later(count: int, steps: int) -> StageBuilder:
        return lambda teacher: Stage(
            [Regression(at_random_guidance(progressive(teacher, count), lowest, highest))], data, steps
        )

    stages = [first, *(later(count, steps) for count, steps in zip(counts, lengths[1:], strict=True))]
    result = card(order, same_path=True, free_steps=not counts)
    return regression(order, stages, seeded_student(order, told_guidance=True), result)


def guidance_range(order: Order) -> tuple[float, float]:
    """The guidance scales that a student learns to be told: from none to twice the one that it will have by default."""
    return min(1.0, order.guidance_scale), 2 * order.guidance_scale


def reflow_recipe(order: Order) -> StudentRun:
    """Rectified flow, straightened once on the teacher's pairs: for any number of steps along its path."""
    need_pure_noise(order)
    source = pair_batches(obtained_pairs(order), order.guided.teacher)
    stage = Stage([Regression(reflow(order.teacher.schedule, ENDS))], source, order.steps)
    return regression(order, [lambda _: stage], result=card(order, same_path=True, free_steps=True))


def instaflow_recipe(order: Order) -> StudentRun:
    """InstaFlow: reflow on the teacher's pairs, then one-pass distillation on the same pairs."""
    need_pure_noise(order)
    need_one_step(order)
    source = pair_batches(obtained_pairs(order), order.guided.teacher)
    schedule, (first, second) = order.teacher.schedule, steps_of_stages(order, 2)
    return regression(
        order,
        [
            lambda _: Stage([Regression(reflow(schedule, ENDS))], source, first),
            lambda _: Stage([Regression(one_pass(schedule), distance_for(order))], source, second),
        ],
    )


def genie_recipe(order: Order) -> StudentRun:
    """GENIE: the teacher's network, and a small head by which its steps are of second order, in any number.

    Of a guided teacher the network first learns the guided prediction, for half of the run, so that each step is one
    evaluation. The paper has a head for both, conditional and not, and takes its first step without the network.
    """
    need_pure_noise(order)
    student, data = seeded_student(order, change=True), images(order)
    lengths = steps_of_stages(order, 1 if order.guidance_scale == 1 else 2)

    def guided(teacher: Teacher) -> Stage:
        return Stage([Regression(guidance_distillation(teacher))], data, lengths[0])

    def head(teacher: Teacher) -> Stage:
        student.learn_change_alone()
        return Stage([Regression(taylor_jump(teacher))], data, lengths[-1])

    stages = [head] if len(lengths) == 1 else [guided, head]
    return regression(order, stages, student, card(order, same_path=True, free_steps=True))
