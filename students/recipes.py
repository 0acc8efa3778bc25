"""Every method by its name, put together for a neural teacher with settings that are sensible for a small one.

A recipe is a function; a new method is a new function and a line of `RECIPES`. Each returns a `StudentRun`, which the
command line drives without knowing which method it is. Who wants other settings calls the parts, as these do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sds.critic import Critic, CriticSettings
from sds.denoiser import NeuralTeacher
from sds.engine import ScoreDistillation
from sds.guidance import Guidance
from sds.processes import first_process_says, is_first_process
from sds.ramps import Ramp, TimeRange
from students.adversarial import Adversary, Discriminator, NetworkFeatures
from students.adversarial_distillation import AddSettings, add
from students.batches import ImageSource, TeacherImages, noise_batches, pair_batches
from students.bootstrap import boot, consistency, even_levels, shortcut, tract, trajectory_consistency
from students.distances import pseudo_huber
from students.distillation import Distillation, DistillationSettings, Regression, Stage, StageBuilder
from students.distribution_matching import MatchingSettings, diff_instruct, dmd, dmd2
from students.flow_map import Student
from students.folder import StudentCard
from students.generator import FewStepGenerator
from students.health import regression_signals, score_signals
from students.pairs import Pairs, load_pairs, make_pairs
from students.prompts import Prompts, ViewSource
from students.targets import denoising, halved, one_pass, progressive, whole_path
from students.teachers import GuidedTeacher

PATH_STEPS = 32
"""Steps of the teacher's solver for pairs and for the first stages: a power of two, for methods that halve it."""


@dataclass(frozen=True)
class Order:
    """What a user wants.

    Attributes:
        teacher: who is distilled.
        texts: the prompts that the student shall know.
        views: from where, for teachers that know views.
        method: a key of `RECIPES`.
        steps: of training, in all stages together.
        student_steps: evaluations that the student takes for an image.
        start: the noise level in (0, 1] that the student is told to begin with. Below 1 what it is given is still pure
            noise, but it looks for an image in it, and noise decides what a prompt leaves open. Only methods that match
            distributions are free to choose it (Luo et al. 2023 do).
        guidance_scale: that the student learns.
        pairs: how many of the teacher's pairs methods use that need pairs or images.
        pairs_file: where they are kept, and looked for first; None keeps none.
        batch_size: images for each step.
        learning_rate: of the student's Adam; 0 stands for the recipe's.
        seed: of everything random.
    """

    teacher: NeuralTeacher
    texts: Sequence[str]
    views: ViewSource | None
    method: str
    steps: int = 1000
    student_steps: int = 1
    start: float = 1.0
    guidance_scale: float = 2.0
    pairs: int = 512
    pairs_file: Path | None = None
    batch_size: int = 16
    learning_rate: float = 0.0
    seed: int = 0

    @property
    def prompts(self) -> Prompts:
        """The prompts, told to the teacher."""
        return Prompts(self.teacher, self.texts, self.views)

    @property
    def guided(self) -> Prompts:
        """The prompts, told to the guided teacher."""
        return Prompts(GuidedTeacher(self.teacher, self.guidance_scale), self.texts, self.views)

    @property
    def times(self) -> list[float]:
        """Of the student's steps, even from the start."""
        return [self.start * (1 - i / self.student_steps) for i in range(self.student_steps)]

    def rate(self, default: float) -> float:
        """The learning rate: the user's, or else ``default``."""
        return self.learning_rate or default


class Trainer(Protocol):
    """What drives a run: `ScoreDistillation` or `Distillation`."""

    def step(self) -> Any:
        """One step."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that a step changes."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        ...


@dataclass(frozen=True)
class StudentRun:
    """A run that is ready to begin.

    Attributes:
        trainer: takes the steps.
        card: how the student will be sampled.
        student: what is trained.
        weights: the weights that shall be kept, for a module like ``student``: the present or the averaged ones.
        signals: from what a step returned to numbers for a log, see `students.health`.
    """

    trainer: Trainer
    card: StudentCard
    student: Student
    weights: Callable[[], dict[str, Tensor]]
    signals: Callable[[Any], dict[str, float]]

    def network(self) -> nn.Module:
        """The student's network as it will be saved: in its teacher's architecture, frozen."""
        present = {name: tensor.clone() for name, tensor in self.student.state_dict().items()}
        self.student.load_state_dict(self.weights())
        network = self.student.plain_network()
        self.student.load_state_dict(present)
        return network


Recipe = Callable[[Order], StudentRun]
"""A method."""


def obtained_pairs(order: Order, keep: Sequence[int] = ()) -> Pairs:
    """The guided teacher's pairs: read from the file if it is there, else made and written.

    Raises students.pairs.PairsError if the file holds pairs of another teacher or another guidance scale.
    """
    if order.pairs_file is not None and first_process_says(order.pairs_file.exists()):
        return load_pairs(order.pairs_file, order.guided.teacher)
    rng = torch.Generator().manual_seed(order.seed)
    pairs = make_pairs(order.guided, order.pairs, rng, steps=PATH_STEPS, keep=keep)
    if order.pairs_file is not None and is_first_process():
        pairs.save(order.pairs_file)
    return pairs


def teacher_images(order: Order) -> TeacherImages:
    """Images that the guided teacher has drawn, for methods that learn from images when there are no real ones."""
    return TeacherImages(obtained_pairs(order), order.guided.teacher)


def need_one_step(order: Order) -> None:
    """Raise ValueError for a student of several steps, of a method that learns nothing but the way from pure noise."""
    if order.student_steps != 1:
        raise ValueError(
            f"{order.method} only teaches the jump from pure noise to the image, not {order.student_steps} steps; for "
            "several steps choose progressive, tract, consistency, ctm, diff-instruct or dmd"
        )


def matching(order: Order, engine: Callable[[FewStepGenerator, MatchingSettings], ScoreDistillation]) -> StudentRun:
    """A student that is trained through the engine."""
    torch.manual_seed(order.seed)
    student = Student(order.teacher)
    generator = FewStepGenerator(student, order.teacher.shape, order.prompts, order.times)
    settings = MatchingSettings(
        order.steps,
        batch_size=order.batch_size,
        learning_rate=order.rate(1e-4),
        critic=CriticSettings(rank=None, learning_rate=3 * order.rate(1e-4)),
        guidance=Guidance(order.guidance_scale),
        decay=Ramp(1.0, 0.1, begin=0.5),
        seed=order.seed,
    )
    run = engine(generator, settings)
    signals = partial(score_signals, run)
    return StudentRun(run, card(order, same_path=False), student, student.state_dict, signals)


def regression(
    order: Order, stages: Sequence[StageBuilder], *, told_end: bool = False, same_path: bool = False, rate: float = 2e-4
) -> StudentRun:
    """A student that is trained by regression, by the guided teacher. Raises ValueError for a start other than 1."""
    if order.start != 1:
        raise ValueError(f"{order.method} follows the teacher's paths, which begin at pure noise: start at 1")
    torch.manual_seed(order.seed)
    student = Student(order.teacher, told_end=told_end)
    settings = DistillationSettings(order.batch_size, order.rate(rate), smoothing=0.99, seed=order.seed)
    run = Distillation(student, order.guided.teacher, stages, settings)
    result = card(order, same_path=same_path)
    return StudentRun(run, result, student, lambda: run.result.state_dict(), regression_signals)


def card(order: Order, same_path: bool) -> StudentCard:
    """What the student's folder will say."""
    return StudentCard(order.method, order.times, same_path, order.guidance_scale)


def diff_instruct_recipe(order: Order) -> StudentRun:
    """Diff-Instruct: the engine with a full critic."""
    return matching(order, lambda generator, settings: diff_instruct(generator, order.teacher, settings))


def dmd_recipe(order: Order) -> StudentRun:
    """DMD: with a regression on the teacher's pairs."""
    pairs = obtained_pairs(order)
    return matching(order, lambda generator, settings: dmd(generator, order.teacher, settings, pairs))


def dmd2_recipe(order: Order) -> StudentRun:
    """DMD2: without pairs, with a discriminator on the critic's features."""
    images = teacher_images(order)

    def engine(generator: FewStepGenerator, settings: MatchingSettings) -> ScoreDistillation:
        critic = Critic(order.teacher, settings.critic)
        adversary = adversary_on(order, critic.network, images, weight=3e-3)
        return dmd2(generator, order.teacher, settings, critic, adversary)

    return matching(order, engine)


def add_recipe(order: Order) -> StudentRun:
    """ADD, with a discriminator on the teacher's own features."""
    images = teacher_images(order)

    def engine(generator: FewStepGenerator, settings: MatchingSettings) -> ScoreDistillation:
        adversary = adversary_on(order, order.teacher.network, images, weight=0.1)
        how = AddSettings(
            order.steps,
            order.batch_size,
            settings.learning_rate,
            distillation_weight=0.5,
            guidance=settings.guidance,
            seed=order.seed,
        )
        return add(generator, order.teacher, how, adversary)

    return matching(order, engine)


def adversary_on(order: Order, network: nn.Module, images: ImageSource, weight: float) -> Adversary:
    """A discriminator on the features of a UNet's lower half, at moderate noise."""
    blocks = [name for name, _ in network.named_modules() if name in ("down_blocks.1.resnets.0", "mid_block")]
    if not blocks:
        raise ValueError(f"a {type(network).__name__} has no down_blocks and mid_block for a discriminator to look at")
    looks = NetworkFeatures(order.teacher, network, blocks, TimeRange(Ramp(0.05, 0.05), Ramp(0.6, 0.6)))
    with torch.no_grad():
        rng = torch.Generator().manual_seed(0)
        example = images(1, rng)
        seen = looks(example.x0, example.condition, rng)
    return Adversary(Discriminator(looks, [feature.shape[1] for feature in seen]), images, weight=weight)


def one_pass_recipe(order: Order) -> StudentRun:
    """One-pass distillation of the sampler."""
    need_one_step(order)
    source = pair_batches(obtained_pairs(order), order.guided.teacher)
    return regression(order, [lambda _: Stage([Regression(one_pass(order.teacher.schedule))], source, order.steps)])


def progressive_recipe(order: Order) -> StudentRun:
    """Progressive distillation: half the steps in each stage. Raises ValueError if halving does not lead there."""
    counts, images = halved(PATH_STEPS, order.student_steps), teacher_images(order)

    def stage(count: int) -> StageBuilder:
        return lambda teacher: Stage([Regression(progressive(teacher, count))], images, order.steps // len(counts))

    return regression(order, [stage(count) for count in counts], same_path=True)


def reflow_recipe(order: Order) -> StudentRun:
    """InstaFlow: reflow on the teacher's pairs, then one-pass distillation on the same pairs."""
    need_one_step(order)
    source = pair_batches(obtained_pairs(order), order.guided.teacher)
    schedule, half = order.teacher.schedule, order.steps // 2
    return regression(
        order,
        [
            lambda _: Stage([Regression(denoising(schedule, TimeRange(Ramp(0.1, 0.1), Ramp(1.0, 1.0))))], source, half),
            lambda _: Stage([Regression(one_pass(schedule))], source, order.steps - half),
        ],
    )


def consistency_recipe(order: Order) -> StudentRun:
    """Consistency distillation of the guided teacher (latent consistency models are this, in latents)."""
    images = teacher_images(order)

    def stage(teacher: Any) -> Stage:
        return Stage([Regression(consistency(teacher, even_levels(PATH_STEPS)), pseudo_huber)], images, order.steps)

    return regression(order, [stage])


def trajectory_recipe(order: Order) -> StudentRun:
    """Consistency trajectory models, with denoising beside it."""
    images = teacher_images(order)

    def stage(teacher: Any) -> Stage:
        terms = [
            Regression(trajectory_consistency(teacher, even_levels(PATH_STEPS // 2), 4)),
            Regression(denoising(teacher.schedule, TimeRange(Ramp(0.1, 0.1), Ramp(1.0, 1.0))), weight=0.1),
        ]
        return Stage(terms, images, order.steps, average_decay=0.95)

    return regression(order, [stage], told_end=True)


def tract_recipe(order: Order) -> StudentRun:
    """TRACT: to four steps for each of the student's, then to the student's."""
    images, final = teacher_images(order), order.student_steps
    half = order.steps // 2
    return regression(
        order,
        [
            lambda teacher: Stage(
                [Regression(tract(teacher, even_levels(8 * 4 * final), 4 * final))], images, half, average_decay=0.5
            ),
            lambda teacher: Stage(
                [Regression(tract(teacher, even_levels(4 * final), final))],
                images,
                order.steps - half,
                average_decay=0.5,
            ),
        ],
        same_path=True,
    )


def boot_recipe(order: Order) -> StudentRun:
    """BOOT: no data, no pairs."""
    need_one_step(order)
    noise = noise_batches(order.guided)
    return regression(
        order,
        [lambda teacher: Stage([Regression(boot(teacher, even_levels(PATH_STEPS // 2)))], noise, order.steps)],
        told_end=True,
    )


def whole_path_recipe(order: Order) -> StudentRun:
    """DSNO's objective: all states of the teacher's paths."""
    need_one_step(order)
    keep = [PATH_STEPS // 4, PATH_STEPS // 2, 3 * PATH_STEPS // 4]
    source = pair_batches(obtained_pairs(order, keep), order.guided.teacher)
    stage = Stage([Regression(whole_path(order.teacher.schedule))], source, order.steps)
    return regression(order, [lambda _: stage], told_end=True)


def shortcut_recipe(order: Order) -> StudentRun:
    """Shortcut models on the teacher's images."""
    images, schedule = teacher_images(order), order.teacher.schedule
    terms = [
        Regression(shortcut(schedule, 5), pseudo_huber),
        Regression(denoising(schedule, TimeRange(Ramp(0.05, 0.05), Ramp(1.0, 1.0))), weight=0.1),
    ]
    stage = Stage(terms, images, order.steps, average_decay=0.98)
    return regression(order, [lambda _: stage], told_end=True)


RECIPES: dict[str, Recipe] = {
    "diff-instruct": diff_instruct_recipe,
    "dmd": dmd_recipe,
    "dmd2": dmd2_recipe,
    "add": add_recipe,
    "one-pass": one_pass_recipe,
    "progressive": progressive_recipe,
    "instaflow": reflow_recipe,
    "consistency": consistency_recipe,
    "ctm": trajectory_recipe,
    "tract": tract_recipe,
    "boot": boot_recipe,
    "dsno": whole_path_recipe,
    "shortcut": shortcut_recipe,
}
"""The methods by the names that the field uses."""
