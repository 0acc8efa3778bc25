"""The loop of all regressions: a batch, a target, a step; and stages, each taught by the student of the one before.

    for each stage:                                     progressive distillation, TRACT, reflow ... have several
        for each step:
            batch = source()                            noise | real images | pairs
            loss  = sum of terms(student, batch)        see `students.methods.targets`
            step; averages follow

Score distillation of a student runs in `sds.engine`, like that of a scene; here are the methods whose target is an
image and not a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from sds.checkpoint import require_form, restore_optimizer
from sds.denoiser import Teacher
from sds.precision import Descent
from sds.ramps import Ramp
from students.answerable import amplification
from students.average import AverageStudent
from students.features.distances import Distance, squared
from students.methods.targets import Learning, Objective
from students.student import Student
from students.teachers import StudentAsTeacher
from students.training.batches import Batch, BatchSource


class LearningTerm(Protocol):
    """A scalar loss of a student; it may learn itself (a discriminator)."""

    def __call__(self, learning: Learning, batch: Batch) -> Tensor:
        """The loss on a batch."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that a call changes; empty if there is nothing."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Continue from a `state_dict`."""
        ...


@dataclass(frozen=True)
class Regression:
    """weight * mean of target.weight / amplification * distance(prediction, target).

    The amplification of `students.answerable` takes back the sigma / alpha of d x0 / d output of a network that
    predicts noise: what it is told of an error then grows no more with the noise. It is 1 for all others.

    Attributes:
        objective: the method.
        distance: between prediction and target.
        weight: beside other terms.
    """

    objective: Objective
    distance: Distance = squared
    weight: float = 1.0

    def __call__(self, learning: Learning, batch: Batch) -> Tensor:
        """The loss; only the student's prediction is differentiated."""
        with torch.no_grad():
            target = self.objective(learning, batch)
            wanted = target.compared(target.x0)
        predicted = target.compared(learning.student(target.x_t, target.t, target.s, target.condition))
        student = learning.student
        amplified = amplification(student, target.t)
        weight = (target.weight / amplified).to(predicted)
        return self.weight * (weight * self.distance(predicted, wanted)).mean()

    def state_dict(self) -> dict[str, Any]:
        """Empty: it learns nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to do."""


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Attributes:
        terms: what is minimised, at least one.
        source: where batches come from.
        steps: how many.
        average_decay: of the average of weights that makes targets (`Learning.average`), or a function of the progress
            of the stage; 0 is the student itself.
    """

    terms: Sequence[LearningTerm]
    source: BatchSource
    steps: int
    average_decay: float | Callable[[float], float] = 0.0

    def decay_at(self, progress: float) -> float:
        """The decay of the average at a progress in [0, 1]."""
        return self.average_decay(progress) if callable(self.average_decay) else self.average_decay


StageBuilder = Callable[[Teacher], Stage]
"""From the teacher of a stage to the stage. The first has the teacher of the run, each further one the student that the
stage before has made, frozen, in its place. It must be a function of its argument alone, so that a run can resume."""


@dataclass(frozen=True)
class DistillationSettings:
    """What all stages share.

    Attributes:
        batch_size: images for each step.
        learning_rate: of Adam, new at each stage.
        betas: of Adam.
        decay: a factor on the learning rate over each stage.
        clip: largest norm of the gradient.
        smoothing: decay of the average that is kept as the result; 0 keeps the last weights.
        seed: of everything random.
    """

    batch_size: int = 32
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    decay: Ramp = field(default_factory=lambda: Ramp(1.0, 0.0, begin=0.3))
    clip: float = 1.0
    smoothing: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class DistillationStep:
    """What happened in one step.

    Attributes:
        stage: its number, from 0.
        losses: of each term.
        gradient_norm: before clipping.
    """

    stage: int
    losses: list[float]
    gradient_norm: float


class Distillation:
    """Trains a student by regression, stage after stage.

    Args:
        student: what is trained; every stage goes on with its weights.
        teacher: of the first stage.
        stages: at least one.
        settings: everything else.

    Attributes:
        stage: the present one.
        average: of weights, for targets.
        result: the smoothed student of the present stage: what to sample from.
        optimizer: of the present stage.
    """

    stage: Stage
    average: AverageStudent
    result: AverageStudent
    optimizer: torch.optim.Adam
    descent: Descent

    def __init__(
        self,
        student: Student,
        teacher: Teacher,
        stages: Sequence[StageBuilder],
        settings: DistillationSettings | None = None,
    ) -> None:
        if not stages:
            raise ValueError("a distillation needs one stage or more")
        self.student, self.teacher, self.stages = student, teacher, stages
        self.settings = settings or DistillationSettings()
        self.rng = torch.Generator().manual_seed(self.settings.seed)
        self._begin(0, None)

    @property
    def progress(self) -> float:
        """The share of the present stage that is done, in [0, 1]."""
        return self.done / max(1, self.stage.steps)

    @property
    def finished(self) -> bool:
        """Whether the last stage is done."""
        return self.number == len(self.stages) - 1 and self.done >= self.stage.steps

    def step(self) -> DistillationStep:
        """One step, of the next stage if the present one is done.

        Raises NonFiniteGradientError, before anything is changed, if a gradient is infinite or not a number.
        """
        if self.done >= self.stage.steps and not self.finished:
            self._begin(self.number + 1, self.result.state_dict())
        batch = self.stage.source(self.settings.batch_size, self.rng)
        learning = Learning(self.student, self.average, self.progress, self.rng)
        losses = [term(learning, batch) for term in self.stage.terms]
        norm = self._descend(sum(losses, start=torch.zeros(())))
        self.average.decay = self.stage.decay_at(learning.progress)
        self.average.update()
        self.result.update()
        self.done += 1
        return DistillationStep(self.number, [float(loss.detach()) for loss in losses], norm)

    def state_dict(self) -> dict[str, Any]:
        """Everything that `step` changes: continuing from it equals never having stopped."""
        return {
            "number": self.number,
            "done": self.done,
            "before": self.before,
            "student": self.student.state_dict(),
            "average": self.average.state_dict(),
            "result": self.result.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scale": self.descent.state_dict(),
            "terms": [term.state_dict() for term in self.stage.terms],
            "rng": self.rng.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`. Raises ValueError if it belongs to a run of other stages."""
        require_form(state["number"], 0, "the checkpoint's number of a stage")
        require_form(state["done"], 0, "the checkpoint's count of steps")
        if not 0 <= state["number"] < len(self.stages):
            raise ValueError(f"the checkpoint is in stage {state['number'] + 1}, the run has only {len(self.stages)}")
        self._begin(state["number"], state["before"])
        if len(state["terms"]) != len(self.stage.terms):
            raise ValueError("the checkpoint is of another method: its terms are not those of this run")
        self.student.load_state_dict(state["student"])
        self.average.load_state_dict(state["average"])
        self.result.load_state_dict(state["result"])
        restore_optimizer(self.optimizer, state["optimizer"])
        self.descent.load_state_dict(state["scale"])
        for term, saved in zip(self.stage.terms, state["terms"], strict=True):
            term.load_state_dict(saved)
        self.rng.set_state(state["rng"])
        self.done = state["done"]

    def _begin(self, number: int, before: dict[str, Any] | None) -> None:
        """Enter a stage whose teacher is the student with the weights ``before``, or the run's teacher."""
        self.number, self.done = number, 0
        self.before = None if before is None else {name: tensor.clone() for name, tensor in before.items()}
        teacher = self.teacher
        if self.before is not None:
            self.student.load_state_dict(self.before)
            teacher = StudentAsTeacher(teacher, AverageStudent(self.student, 0.0))
        self.stage = self.stages[number](teacher)
        self.average = AverageStudent(self.student, self.stage.decay_at(0.0))
        self.result = AverageStudent(self.student, self.settings.smoothing)
        rate, betas = self.settings.learning_rate, self.settings.betas
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=rate, betas=betas)
        self.descent = Descent(self.optimizer, self.student.computed_in)

    def _descend(self, loss: Tensor) -> float:
        """One clipped step of Adam; returns the gradient's norm."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * self.settings.decay(self.progress)
        return self.descent(loss, f"the student at step {self.done} of stage {self.number + 1}", self.settings.clip)
