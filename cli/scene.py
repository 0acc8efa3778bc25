"""From a request to a run: which representation, which teacher, which method, put together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from cli.recipes import Recipe, recipe_for
from cli.teachers import EMBEDDED, small_teacher_folder
from representations.cameras import Cameras, CameraSampler
from representations.fields import DenseGrid, HashGrid
from representations.nerf import NeRF, PenaltyWeights
from representations.pixels import PixelImage
from representations.rays import Marching
from sds.critic import Critic, CriticSettings
from sds.denoiser import NeuralTeacher, View
from sds.engine import ScoreDistillation, Settings
from sds.guidance import PromptConditions
from sds.prompts import BAD_IMAGE, Directions, PerpNeg, PromptSet, condition_for
from sds.score import METHODS
from sds.teachers.embedded import EmbeddedTeacher

NEGATIVE_FOR_EMBEDDED = ""
"""The embedded teacher knows no words for a bad image: NFSD compares with its null prompt."""


@dataclass(frozen=True)
class Request:
    """What the user asked for: with the versions of the software, it determines a run completely.

    Attributes:
        prompt: what to make.
        negative: a prompt to be told in place of the null prompt, or "".
        perp_neg: whether to push away from the view prompts that do not apply to a camera.
        method: a row of `sds.score.METHODS`.
        representation: "nerf" or "pixels".
        encoding: of a radiance field, "grid" or "hash".
        teacher: "embedded", a folder, or a name on the hub.
        preset: "fast" or "quality".
        steps: of the generator; 0 stands for the preset's.
        guidance_scale: None stands for the method's.
        seed: of everything random; also which of the objects that the prompt may mean is made.
    """

    prompt: str
    negative: str = ""
    perp_neg: bool = False
    method: str = "sds"
    representation: str = "nerf"
    encoding: str = "grid"
    teacher: str = EMBEDDED
    preset: str = "fast"
    steps: int = 0
    guidance_scale: float | None = None
    seed: int = 0

    def recipe(self) -> Recipe:
        """The preset's recipe with what the user changed."""
        recipe = recipe_for(self.method, self.preset, small_teacher_folder(self.teacher) is not None)
        if self.steps:
            recipe = replace(recipe, steps=self.steps)
        if self.guidance_scale is not None:
            recipe = replace(recipe, guidance=replace(recipe.guidance, scale=self.guidance_scale))
        return recipe


@dataclass(frozen=True)
class Scene:
    """A run that is ready to begin.

    Attributes:
        generator: what is optimised, a `NeRF` or a `PixelImage`.
        distillation: the loop.
        recipe: what it does.
    """

    generator: Any
    distillation: ScoreDistillation
    recipe: Recipe
    prompts: PromptSet
    teacher: NeuralTeacher

    def told(self, view: View | None, count: int) -> PromptConditions:
        """What the teacher is told about ``count`` pictures from these views."""
        return condition_for(self.teacher, self.prompts, view, count)

    def step(self) -> Any:
        """One step of the loop."""
        if isinstance(self.generator, NeRF):
            self.generator.update_occupancy(self.distillation.done)
        return self.distillation.step()


def build_scene(request: Request, teacher: NeuralTeacher, device: torch.device) -> Scene:
    """Put a run together. A function of its arguments alone, so that a checkpoint can be continued."""
    recipe = request.recipe()
    torch.manual_seed(request.seed)
    teacher = with_mind_made_up(teacher, request)
    bad_image = NEGATIVE_FOR_EMBEDDED if isinstance(teacher, EmbeddedTeacher) else BAD_IMAGE
    prompts = PromptSet(
        request.prompt,
        # "chair, side view" is no class: a teacher of classes is not told views in words
        directions=Directions() if getattr(teacher, "takes_sentences", True) else None,
        unconditional=request.negative,
        perp_neg=PerpNeg() if request.perp_neg else None,
        negative=bad_image if request.method == "nfsd" else None,
    )
    generator = build_generator(request, recipe, teacher).to(device)
    critic = Critic(teacher, CriticSettings()) if request.method == "vsd" else None

    def told(draw: Any) -> PromptConditions:
        if isinstance(draw, Cameras):
            return condition_for(teacher, prompts, draw, len(draw), critic)
        return condition_for(teacher, prompts, None, draw, critic)

    groups = generator.parameter_groups()
    distillation = ScoreDistillation(
        generator,
        teacher,
        told,
        torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15, fused=True),
        Settings(
            steps=recipe.steps,
            batch_size=recipe.batch_size,
            method=METHODS[request.method],
            guidance=recipe.guidance,
            times=recipe.times,
            learning_rate=recipe.learning_rate,
            seed=request.seed,
        ),
        critic=critic,
        penalty=getattr(generator, "penalty", None),
    )
    return Scene(generator, distillation, recipe, prompts, teacher)


def with_mind_made_up(teacher: NeuralTeacher, request: Request) -> NeuralTeacher:
    """The embedded teacher thinking of one object only, another for another seed; any other teacher as it is."""
    if isinstance(teacher, EmbeddedTeacher):
        return teacher.with_one_object(request.prompt, request.seed)
    return teacher


def build_generator(request: Request, recipe: Recipe, teacher: NeuralTeacher) -> Any:
    """What is optimised."""
    size = recipe.size or 2 * teacher.shape[-1]
    if request.representation == "pixels":
        return PixelImage(size=size)
    field = DenseGrid((recipe.grid // 4, recipe.grid // 2, recipe.grid)) if request.encoding == "grid" else HashGrid()
    return NeRF(
        field,
        CameraSampler(size=size),
        Marching(step=2 / recipe.samples),
        PenaltyWeights(roughness=recipe.roughness, opacity_entropy=recipe.opacity_entropy),
    )
