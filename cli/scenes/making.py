"""The loop of a run, without its files: all stages, one after the other, and what is seen of them meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cli.scenes.curves import CurvePoint
from cli.scenes.judging import ELEVATION, Judge, judge_for, pictures_with_colours
from cli.scenes.request import Request
from cli.scenes.scene import Scene, build_scene
from cli.scenes.stage import stages_of
from representations.cameras import turntable
from representations.images.pixels import FlatImage
from sds.checkpoint import CheckpointError
from sds.denoiser import NeuralTeacher
from sds.engine import Step, image_of

JUDGED_EVERY = 10
"""Steps between two looks at how well the object is recognised."""


@dataclass(frozen=True)
class Moment:
    """A run just after one of its steps.

    Attributes:
        step: counted from 1, over all stages.
        steps: of all stages.
        point: what was measured.
        scene: the stage; what it optimises goes on changing.
    """

    step: int
    steps: int
    point: CurvePoint
    scene: Scene

    @property
    def is_looked_at(self) -> bool:
        """Whether this is one of the steps at which the judge looks, `JUDGED_EVERY` apart."""
        return self.scene.distillation.done % JUDGED_EVERY == 0

    @property
    def ends_a_stage(self) -> bool:
        """Whether the next step, if there is one, is of another stage."""
        return self.scene.distillation.done == self.scene.recipe.steps

    @torch.no_grad()
    def pictures(self, count: int = 4, size: int = 128) -> Tensor:
        """(count, 3, size, size) in [0, 1]: the object as it is now, from all round; (1, 3, H, W) of a flat image."""
        if isinstance(self.scene.shown, FlatImage):
            return image_of(self.scene.shown(1)).cpu()
        return image_of(self.scene.shown(turntable(count, ELEVATION, size))).clamp(0, 1).cpu()


class Making:
    """A run that is being made: iterating takes its steps, and ends with the last.

    Args:
        request: what is asked for.
        teacher: judges all stages. Whoever knows all that it will be asked may let its text encoders go before
            (`cli.scenes.told.release_text_encoders`).
        device: where to work.
        checkpoint: what to continue with, as `state_dict` gave it; None begins.
        begun: the first stage, if it has been put together already.

    Raises `sds.checkpoint.CheckpointError` for a checkpoint of another run.

    Attributes:
        scene: the stage that the run is in.
        steps: of all stages.
        judge: knows the object by name, if anybody does.
    """

    def __init__(
        self,
        request: Request,
        teacher: NeuralTeacher,
        device: torch.device,
        checkpoint: dict[str, Any] | None = None,
        begun: Scene | None = None,
    ) -> None:
        self.request, self.device = request, device
        self.judge: Judge | None = judge_for(request)
        self.stages = stages_of(request, teacher)
        self.steps = sum(stage.recipe.steps for stage in self.stages)
        self._number = 0 if checkpoint is None else self._stage_of(checkpoint)
        stage, restored = self.stages[self._number], checkpoint is not None
        self.scene = begun or build_scene(request, stage, device, restored=restored)
        if checkpoint is not None:
            self._restore(checkpoint)

    @property
    def done(self) -> int:
        """Steps over all stages that have been taken."""
        return sum(stage.recipe.steps for stage in self.stages[: self._number]) + self.scene.distillation.done

    def __iter__(self) -> Iterator[Moment]:
        """Take the steps that are left; between two of them the caller may look, save, or stop."""
        while True:
            while self.scene.distillation.done < self.scene.recipe.steps:
                step = self.scene.step()
                yield Moment(self.done, self.steps, self._measured(step), self.scene)
            if self._number + 1 == len(self.stages):
                return
            self._number += 1
            self.scene = build_scene(self.request, self.stages[self._number], self.device, self.scene)

    def _stage_of(self, checkpoint: dict[str, Any]) -> int:
        if checkpoint.get("stage") not in self.request.stages:
            raise CheckpointError("of no stage of it")
        return self.request.stages.index(checkpoint["stage"])

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        try:
            self.scene.distillation.load_state_dict(checkpoint)
        except (KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(str(error)) from error

    def state_dict(self) -> dict[str, Any]:
        """What the run is continued with."""
        return self.scene.distillation.state_dict() | {"stage": self.scene.stage}

    def _measured(self, step: Step) -> CurvePoint:
        """What is noted of a step; every `JUDGED_EVERY` steps also how surely the noun is recognised."""
        judge = self.judge if self.scene.distillation.done % JUDGED_EVERY == 0 else None
        return CurvePoint(
            step=self.done,
            stage=self.scene.stage,
            gradient_size=step.gradient_size,
            distance=step.distance,
            learning_rate=step.learning_rate,
            critic_loss=step.critic_loss,
            recognition=judge.recognition(pictures_with_colours(step)) if judge else None,
        )
