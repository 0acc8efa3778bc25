"""A stage that is ready to begin: what is optimised, who judges it and by which method, put together."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from cli.errors import UserError
from cli.scenes.beginning import begin_with_run
from cli.scenes.initial_mesh import begin_with_asset, read_initial_mesh
from cli.scenes.photo import LikeThePhoto
from cli.scenes.recipes.recipe import Recipe
from cli.scenes.request import Request
from cli.scenes.stage import Stage, build_generator
from cli.scenes.told import minds_of, prompts_of, shown_photo
from cli.teachers import small_teacher_folder
from representations.cameras import Cameras
from representations.fields.nerf import NeRF
from representations.gaussians.cloud import GaussianCloud
from representations.particles import ParticleDraw, Particles
from representations.surfaces.mesh_field import MeshField, begin_with
from sds.baselines import METHODS
from sds.critic import Critic, CriticSettings
from sds.denoiser import NeuralTeacher, View
from sds.engine import ScoreDistillation, Settings
from sds.guidance import PromptConditions
from sds.prompts import PromptSet, condition_for
from sds.schedule import NoiseSchedule
from sds.weightings import WEIGHTINGS

NEVER_ASK_NULL = ("sds", "vsd")
"""Methods that need what the null prompt means for guidance only."""

PROLIFIC_DREAMERS_RATE = 1e-4
"""Of the critic of a large teacher (Wang et al. 2023, appendix); small ones take ten times as much."""


@dataclass(frozen=True)
class Scene:
    """A stage that is ready to begin.

    Attributes:
        stage: its name.
        generator: what is optimised, a `NeRF`, a `MeshField` or a `PixelImage`, or several as `Particles`.
        distillation: the loop.
        recipe: what it does.
        minds: who judges each of several particles: the teacher, thinking of another object for each.
    """

    stage: str
    generator: Any
    distillation: ScoreDistillation
    recipe: Recipe
    prompts: PromptSet
    minds: tuple[NeuralTeacher, ...]

    @property
    def teacher(self) -> NeuralTeacher:
        """Who judges what is shown."""
        return self.minds[0]

    def of_particle(self, number: int) -> Scene:
        """The same scene as if there were this particle alone."""
        return replace(self, generator=self.particles[number], minds=(self.minds[number],))

    @property
    def particles(self) -> list[Any]:
        """Everything that is optimised; of one object, that alone."""
        return particles_of(self.generator)

    @property
    def shown(self) -> Any:
        """What is looked at while the run goes on: the first particle."""
        return self.particles[0]

    def told(self, view: View | None, count: int) -> PromptConditions:
        """What the teacher is told about ``count`` pictures from these views."""
        return condition_for(self.teacher, self.prompts, view, count)

    def step(self) -> Any:
        """One step of the loop."""
        for particle in self.particles:
            if isinstance(particle, NeRF):
                particle.update_occupancy(self.distillation.done)
            if isinstance(particle, GaussianCloud):
                particle.move_unseen(self.distillation.done, self.distillation.optimizer)
        return self.distillation.step()


def build_scene(
    request: Request, stage: Stage, device: torch.device, before: Scene | None = None, restored: bool = False
) -> Scene:
    """Put a stage together. A function of its arguments alone, so that a checkpoint can be continued.

    Args:
        request: what the user asked for.
        stage: one of its stages.
        device: where to work.
        before: the finished stage that this one begins with; None if it is the first.
        restored: whether a checkpoint is about to be loaded, so that nothing has to be begun with.
    """
    torch.manual_seed(request.seed)
    assert stage.teacher is not None
    if stage.together > 1 and (stage.name == "pixels" or request.method == "vsd"):
        raise UserError("this teacher sees several views of an object together: no flat pictures, and no method vsd")
    minds = minds_of(stage.teacher, request)
    teacher = minds[0]
    photo = shown_photo(request, teacher)
    prompts = prompts_of(request, teacher)
    generator = build_generator(request, stage).to(device)
    if not restored:
        _begin(generator, request, stage, before)
    critic = _critic(request, teacher, before)
    with_null = stage.recipe.guidance.scale != 1 or request.method not in NEVER_ASK_NULL or request.perp_neg

    def told(draw: Any) -> PromptConditions:
        number, draw = (draw.particle, draw.draw) if isinstance(draw, ParticleDraw) else (0, draw)
        view, count = (draw, len(draw)) if isinstance(draw, Cameras) else (None, draw)
        return condition_for(minds[number], prompts, view, count, critic, with_null)

    elevation = math.radians(request.image_elevation)
    distillation = ScoreDistillation(
        generator,
        teacher,
        told,
        torch.optim.Adam(generator.parameter_groups(), betas=(0.9, 0.99), eps=1e-15, fused=True),
        _settings(request, stage, teacher.schedule),
        critic=critic,
        penalty=getattr(generator, "penalty", None),
        terms=[LikeThePhoto(generator, photo, elevation, stage.size, device)] if photo is not None else [],
    )
    return Scene(stage.name, generator, distillation, stage.recipe, prompts, minds)


def particles_of(generator: Any) -> list[Any]:
    """Everything that a generator optimises; of one object, that alone."""
    return list(generator.particles) if isinstance(generator, Particles) else [generator]


def _settings(request: Request, stage: Stage, schedule: NoiseSchedule) -> Settings:
    """What the loop is told; a batch is of whole groups of views that the teacher sees together."""
    recipe = stage.recipe
    return Settings(
        steps=recipe.steps,
        batch_size=-(-recipe.batch_size // stage.together) * stage.together,
        method=METHODS[request.method],
        guidance=recipe.guidance,
        weighting=WEIGHTINGS[recipe.weighting],
        times=recipe.times.on(schedule),
        noising=recipe.noising,
        learning_rate=recipe.learning_rate,
        seed=request.seed,
    )


def _begin(generator: Any, request: Request, stage: Stage, before: Scene | None) -> None:
    """Give a stage what it begins with: another run, a finished stage, the user's file; or nothing."""
    if request.begun_from:
        begin_with_run(generator, Path(request.begun_from), stage.name)
        return
    for number, particle in enumerate(particles_of(generator)):
        _begin_particle(particle, request, None if before is None else before.particles[number])


def _begin_particle(particle: Any, request: Request, before: Any) -> None:
    if isinstance(particle, GaussianCloud):
        particle.begin_with(before)
    elif isinstance(particle, MeshField) and before is not None:
        begin_with(particle, before)
    elif isinstance(particle, MeshField) and request.init:
        begin_with_asset(particle, read_initial_mesh(Path(request.init)))


def _critic(request: Request, teacher: NeuralTeacher, before: Scene | None) -> Critic | None:
    """A critic for the methods that need one; that of the stage before has learnt how such pictures look."""
    if before is not None and before.distillation.critic is not None:
        return before.distillation.critic
    if request.method != "vsd":
        return None
    small = small_teacher_folder(request.teacher) is not None
    usual = CriticSettings() if small else CriticSettings(learning_rate=PROLIFIC_DREAMERS_RATE)
    return Critic(teacher, replace(usual, learning_rate=request.critic_rate or usual.learning_rate))
