"""What a user wants of a student, and the two kinds of training that recipes put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sds.critic import CriticSettings
from sds.denoiser import NeuralTeacher
from sds.engine import ScoreDistillation
from sds.guidance import Guidance
from sds.ramps import Ramp
from students.answerable import amplification, answerable
from students.features.discriminators import Features
from students.features.distances import Distance, squared
from students.features.sources import FeatureSource
from students.folder import StudentCard
from students.generator import FewStepGenerator
from students.guided_teacher import GuidedTeacher
from students.measures.health import regression_signals, score_signals
from students.methods.distribution_matching import MatchingSettings
from students.methods.levels import time_of
from students.prompts import Asked, Prompts, ViewSource
from students.recipes.rates import (
    ADVERSARIAL_BETAS,
    ADVERSARIAL_SMOOTHING,
    LORA_FASTER,
    MATCHING,
    REGRESSION,
    scaled_rate,
)
from students.student import Student
from students.training.batches import ImageSource
from students.training.loop import Distillation, DistillationSettings, StageBuilder
from students.training.smoothed import Smoothed


@dataclass(frozen=True)
class Order:
    """What a user wants.

    Attributes:
        teacher: who is distilled; of one that predicts noise, the part that `students.answerable.answerable` keeps.
        texts: the prompts that the student shall know.
        views: from where, for teachers that know views.
        method: a key of `students.recipes.catalogue.RECIPES`.
        steps: of training, in all stages together.
        student_steps: evaluations that the student takes for an image.
        start: the noise level in (0, 1] that the student is told to begin with; None stands for the recipe's. Below 1
            what it is given is still pure noise, but it looks for an image in it, and noise decides what a prompt
            leaves open. Only methods that match distributions are free to choose it, see `from_within`.
        guidance_scale: that the student learns.
        guidance: all else about guidance: where it acts, and what is taken back; its own scale is not used.
        path_steps: of the teacher's solver, for pairs and for first stages; some methods halve it again and again.
        pairs: how many of the teacher's pairs methods use that need pairs or images.
        pairs_file: where they are kept, and looked for first; None keeps none.
        batch_size: images for each step.
        learning_rate: of the student's Adam; 0 stands for the recipe's, see `students.recipes.rates`.
        seed: of everything random.
        images: real images, for methods that learn from images; None takes the teacher's own.
        together: prompts and views that belong together, see `students.prompts.Prompts`; None takes any of each.
        features: what discriminators look at; None is the recipe's.
        distance: between images in regressions on pairs; None is the recipe's. It is measured in the teacher's x.
        critic_steps: of the critic before each of the student's; 0 stands for the recipe's.
        lora: rank of the corrections that student and critic learn in place of all weights; None trains all.
        report: called with how many of the teacher's pairs there are, and shall be, while they are made.
    """

    teacher: NeuralTeacher
    texts: Sequence[str]
    views: ViewSource | None
    method: str
    steps: int = 1000
    student_steps: int = 1
    start: float | None = None
    guidance_scale: float = 2.0
    guidance: Guidance = field(default_factory=lambda: Guidance(1.0))
    path_steps: int = 32
    pairs: int = 512
    pairs_file: Path | None = None
    batch_size: int = 16
    learning_rate: float = 0.0
    seed: int = 0
    images: ImageSource | None = None
    together: Callable[[int, torch.Generator], Asked] | None = None
    features: FeatureSource | None = None
    distance: Distance | None = None
    critic_steps: int = 0
    lora: int | None = None
    report: Callable[[int, int], None] | None = None

    def __post_init__(self) -> None:
        # A recipe meets a teacher that can be asked at every t, whatever it predicts.
        object.__setattr__(self, "teacher", answerable(self.teacher))

    @property
    def prompts(self) -> Prompts:
        """The prompts, told to the teacher."""
        return Prompts(self.teacher, self.texts, self.views, together=self.together)

    @property
    def guided(self) -> Prompts:
        """The prompts, told to the guided teacher."""
        teacher = GuidedTeacher(self.teacher, self.guidance_scale, guidance=self.guidance)
        return Prompts(teacher, self.texts, self.views, together=self.together)

    @property
    def times(self) -> list[float]:
        """Of the student's steps, even from the start."""
        start = 1.0 if self.start is None else self.start
        return [start * (1 - i / self.student_steps) for i in range(self.student_steps)]

    def rate(self, measured: float) -> float:
        """The learning rate: the user's, or else what was ``measured`` scaled to this network and this batch.

        A step of Adam is as large whatever a loss is multiplied by; so where errors of the network are amplified in
        the student's first image, it is made smaller by as much.
        """
        start = torch.tensor([1.0 if self.start is None else self.start], dtype=torch.float64)
        amplified = amplification(self.teacher, start)
        scaled = scaled_rate(measured, self.teacher.network, self.batch_size) / float(amplified)
        return self.learning_rate or (scaled if self.lora is None else LORA_FASTER * scaled)

    def looks(self, default: FeatureSource, network: nn.Module | None = None) -> Features:
        """What discriminators look at: the user's choice, or else ``default``; ``network`` is that of a critic."""
        return (self.features or default)(self.teacher, network or self.teacher.network)

    def smoothing(self, share: float = 1 / 20) -> float:
        """Decay of the average of weights that is kept: over about a ``share`` of the run, at most 1000 steps."""
        return max(0.0, 1 - 1 / min(1000, max(1, self.steps * share)))


class Trainer(Protocol):
    """What drives a run."""

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
        weights: the weights that shall be kept, for a module like ``student``: averages over the last steps.
        signals: from what a step returned to numbers for a log, see `students.measures.health`.
    """

    trainer: Trainer
    card: StudentCard
    student: Student
    weights: Callable[[], dict[str, Tensor]]
    signals: Callable[[Any], dict[str, float]]

    def finished_student(self) -> Student:
        """A student with the weights that shall be kept, apart from the one that is trained."""
        finished = self.student.copied()
        finished.load_state_dict(self.weights())
        return finished

    def network(self) -> nn.Module:
        """The student's network as it will be saved: in its teacher's architecture, frozen."""
        return self.finished_student().plain_network(guidance_scale=self.card.guidance_scale)


Recipe = Callable[[Order], StudentRun]
"""A method."""


def need_one_step(order: Order) -> None:
    """Raise ValueError for a student of several steps, of a method that learns nothing but the way from pure noise."""
    if order.student_steps != 1:
        raise ValueError(
            f"{order.method} only teaches the jump from pure noise to the image, not {order.student_steps} steps; for "
            "several steps choose progressive, tract, consistency, ctm, diff-instruct or dmd"
        )


FIRST_DEVIATION = 2.5
"""sigma / alpha where students begin that are free to choose: Diff-Instruct's, SiD's and, for latents, SiD-LSG's."""


def from_within(order: Order) -> Order:
    """The order, beginning where its user wishes or else where sigma / alpha is `FIRST_DEVIATION`.

    Where nothing but noise is left, a teacher answers all noise with the same mean, and a student that begins as its
    copy would have to invent the use of its noise. Told that there is a little of an image in it, it sees a different
    one in each.
    """
    if order.start is not None:
        return order
    return replace(order, start=time_of(order.teacher.schedule, FIRST_DEVIATION))


def need_pure_noise(order: Order) -> None:
    """Raise ValueError for a start other than 1, of a method that learns from paths of the teacher."""
    if order.start not in (None, 1):
        raise ValueError(f"{order.method} follows the teacher's paths, which begin at pure noise: start at 1")


def matching(
    order: Order,
    engine: Callable[[FewStepGenerator, MatchingSettings], ScoreDistillation],
    rate: float = MATCHING,
) -> StudentRun:
    """A student that is trained through the engine, at a ``rate`` as `Order.rate` takes it."""
    torch.manual_seed(order.seed)
    student = Student(order.teacher, lora=order.lora)
    generator = FewStepGenerator(student, order.teacher.shape, order.prompts, order.times)
    settings = MatchingSettings(
        order.steps,
        batch_size=order.batch_size,
        learning_rate=order.rate(rate),
        critic=CriticSettings(rank=order.lora, learning_rate=3 * order.rate(rate)),
        guidance=replace(order.guidance, scale=order.guidance_scale),
        decay=Ramp(1.0, 0.1, begin=0.5),
        seed=order.seed,
    )
    run = engine(generator, settings)
    trainer = Smoothed(run, student, order.smoothing())
    return StudentRun(
        trainer, card(order, same_path=False), student, trainer.result.state_dict, partial(score_signals, run)
    )


def regression(
    order: Order,
    stages: Sequence[StageBuilder],
    student: Student | None = None,
    result: StudentCard | None = None,
    rate: float = REGRESSION,
    judged: bool = False,
) -> StudentRun:
    """A student that is trained in the loop of regressions, by the guided teacher.

    Args:
        order: what is wanted.
        stages: of the training.
        student: what is trained; by default a student that is told nothing but the time. Made after
            ``torch.manual_seed(order.seed)`` if it has new weights.
        result: its card; by default that of a student that starts anew from its image between steps.
        rate: learning rate as `Order.rate` takes it.
        judged: whether a discriminator is what it learns most from, see `ADVERSARIAL_BETAS`.
    """
    student = student or seeded_student(order)
    settings = DistillationSettings(order.batch_size, order.rate(rate), smoothing=order.smoothing(), seed=order.seed)
    if judged:
        settings = replace(settings, betas=ADVERSARIAL_BETAS, smoothing=order.smoothing(ADVERSARIAL_SMOOTHING))
    run = Distillation(student, order.guided.teacher, stages, settings)
    return StudentRun(
        run,
        result or card(order, same_path=False),
        student,
        lambda: run.result.state_dict(),
        partial(regression_signals, run),
    )


def seeded_student(order: Order, teacher: NeuralTeacher | None = None, **told: Any) -> Student:
    """A student whose new weights, those by which it is told more, are drawn from the order's seed."""
    torch.manual_seed(order.seed)
    return Student(teacher or order.teacher, lora=order.lora, **told)


def steps_of_stages(order: Order, stages: int) -> list[int]:
    """The order's steps, dealt out to a number of stages. Raises ValueError if there is not one for each."""
    if order.steps < stages:
        raise ValueError(f"{order.method} has {stages} stages here, but only {order.steps} steps: give it more --steps")
    return [order.steps * (i + 1) // stages - order.steps * i // stages for i in range(stages)]


def card(order: Order, same_path: bool, times: Sequence[float] | None = None, free_steps: bool = False) -> StudentCard:
    """What the student's folder will say; ``free_steps`` if the student knows the way from any time."""
    return StudentCard(order.method, list(times or order.times), same_path, order.guidance_scale, not free_steps)


def distance_for(order: Order, default: Distance = squared) -> Distance:
    """Between images in regressions on pairs: the user's, or else ``default``."""
    return order.distance or default
