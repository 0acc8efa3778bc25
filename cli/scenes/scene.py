"""From a request to a run: which representation, which teacher, which method, put together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from cli import numbers
from cli.errors import UserError
from cli.guidance import changed_guidance
from cli.scenes.beginning import begin_with_run
from cli.scenes.initial_mesh import Placement, begin_with_asset, read_initial_mesh
from cli.scenes.looks import SHADINGS, STUDIO
from cli.scenes.photo import LikeThePhoto, Photo, read_photo
from cli.scenes.recipes import (
    FieldRecipe,
    GaussianRecipe,
    MeshRecipe,
    Recipe,
    TeacherKind,
    field_recipe,
    gaussian_recipe,
    mesh_recipe,
)
from cli.scenes.stages import COARSE_TO_FINE, FLAT, STAGES
from cli.teachers import EMBEDDED, knows_looks, small_teacher_folder
from representations.cameras import Cameras, CameraSampler
from representations.fields.field import DenseGrid, Field, HashGrid
from representations.fields.nerf import NeRF, PenaltyWeights
from representations.gaussians.cloud import GaussianCloud
from representations.images.pixels import PixelImage
from representations.images.vector import VectorImage
from representations.particles import ParticleDraw, Particles
from representations.rays import Marching
from representations.surfaces.distance_grid import DistanceGrid
from representations.surfaces.fixed_shape import FixedShape
from representations.surfaces.mesh_field import MeshField, MeshPenaltyWeights, begin_with
from sds.critic import Critic, CriticSettings
from sds.denoiser import NeuralTeacher, Teacher, View, views_together
from sds.engine import ScoreDistillation, Settings
from sds.guidance import Guidance, PromptConditions
from sds.prompts import NEGATIVES, Directions, PerpNeg, PromptSet, condition_for
from sds.ramps import DreamTime
from sds.score import METHODS, WEIGHTINGS
from sds.teachers.diffusers import DiffusersTeacher
from sds.teachers.embedded import SmallTeacher
from sds.teachers.onnx_runtime import OnnxTeacher
from sds.teachers.options import TeacherOptions

ENCODINGS, PRESETS = ("grid", "hash"), ("fast", "quality")

NEVER_ASK_NULL = ("sds", "vsd")
"""Methods that need what the null prompt means for guidance only."""

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
        stages: what is optimised, one after the other, each beginning with what the one before it has made: "nerf",
            "mesh", "gaussians", "pixels" or "svg".
        encoding: of a radiance field and of a texture, "grid" or "hash".
        image: a picture whose object is to be made, by a teacher that is told pictures, or "".
        image_mask: a picture that is white where that object is, or "".
        image_elevation: degrees above the horizon from which the picture was taken.
        init: a mesh file that the mesh stage begins with, or "".
        begun_from: the folder of a run whose result is changed, or "".
        retexture: whether that mesh keeps its shape and is only given new colours.
        placement: where that mesh was, which is where the result is put; None: on the floor, as large as its kind.
        shapes: of a vector picture.
        particles: how many objects are made at once; a critic keeps them apart.
        critic_rate: learning rate of a critic; 0 stands for the teacher's usual one.
        teacher: "embedded", a folder, or a name on the hub.
        preset: "fast" or "quality".
        steps: of each stage; 0 stands for the preset's.
        guidance_scale: None stands for the method's.
        weighting: of the noise levels, a name in `sds.score.WEIGHTINGS`; "" stands for the recipe's.
        teacher_config, teacher_lora, teacher_word, tiny_autoencoder, compile, offload: see `teacher_options`.
        times: "dreamtime", or "" for the recipe's noise levels.
        guidance_interval, guidance_parallel, guidance_rescale: see `sds.guidance.Guidance`; None is the recipe's.
        seed: of everything random; also which of the objects that the prompt may mean is made.
    """

    prompt: str
    negative: str = ""
    perp_neg: bool = False
    method: str = "sds"
    stages: tuple[str, ...] = COARSE_TO_FINE
    encoding: str = "grid"
    image: str = ""
    image_mask: str = ""
    image_elevation: float = 5.0
    init: str = ""
    begun_from: str = ""
    retexture: bool = False
    placement: Placement | None = None
    teacher: str = EMBEDDED
    preset: str = "fast"
    steps: int = 0
    guidance_scale: float | None = None
    weighting: str = ""
    teacher_config: str = ""
    teacher_lora: tuple[str, ...] = ()
    teacher_word: tuple[str, ...] = ()
    tiny_autoencoder: str = ""
    compile: bool = False
    offload: bool = False
    times: str = ""
    guidance_interval: tuple[float, float] | None = None
    guidance_parallel: float | None = None
    guidance_rescale: float | None = None
    shapes: int = 64
    particles: int = 1
    critic_rate: float = 0.0
    seed: int = 0
    __pydantic_config__: ClassVar = {"extra": "forbid"}
    """In a file, a wish that this version does not know is an error: it could not be met."""

    def __post_init__(self) -> None:
        for name in ("stages", "teacher_lora", "teacher_word"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON knows lists only,
        if isinstance(self.guidance_interval, list):
            object.__setattr__(self, "guidance_interval", tuple(self.guidance_interval))
        if isinstance(self.placement, dict):  # and no dataclasses
            placement = Placement(tuple(self.placement["centre"]), self.placement["scale"])
            object.__setattr__(self, "placement", placement)
        self._require_sound()

    def _require_sound(self) -> None:
        """Raises ValueError for what cannot be made, whoever asks for it: the command line or a file."""
        numbers.require_prompt(self.prompt)
        for name, chosen, known in (
            ("method", self.method, tuple(METHODS)),
            ("encoding", self.encoding, ENCODINGS),
            ("preset", self.preset, PRESETS),
            ("times", self.times, ("", "dreamtime")),
        ):
            if chosen not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {chosen!r}")
        if not -90 <= self.image_elevation <= 90:
            raise ValueError(f"image_elevation must lie between -90 and 90 degrees, not {self.image_elevation}")
        if self.image and self.is_flat:
            raise ValueError(f"an image is of a thing in space: stages cannot be {self.representation}")
        if self.image and self.particles > 1:
            raise ValueError("an image is of one thing: particles must be 1")
        if self.offload and self.method == "vsd":
            raise ValueError("method vsd trains a copy of the teacher, which cannot be left in memory: no offload")
        if self.begun_from and (len(self.stages) != 1 or self.particles > 1):
            raise ValueError("what another run has made is changed in one stage, and alone")
        if self.stages not in STAGES and not (self.begun_from and self.stages == ("gaussians",)):
            raise ValueError(f"stages cannot be {self.stages!r}")
        if not 0 <= self.steps <= numbers.MOST_STEPS:
            raise ValueError(f"steps must lie between 0 and {numbers.MOST_STEPS}, not {self.steps}")
        if self.guidance_scale is not None and not 0 <= self.guidance_scale <= numbers.LARGEST_GUIDANCE:
            raise ValueError(f"guidance_scale must lie in [0, {numbers.LARGEST_GUIDANCE:g}], not {self.guidance_scale}")
        if not 1 <= self.shapes <= numbers.MOST_SHAPES:
            raise ValueError(f"shapes must lie between 1 and {numbers.MOST_SHAPES}, not {self.shapes}")
        if not 1 <= self.particles <= numbers.MOST_PARTICLES:
            raise ValueError(f"particles must lie between 1 and {numbers.MOST_PARTICLES}, not {self.particles}")
        if not 0 <= self.critic_rate <= 1:
            raise ValueError(f"critic_rate must lie in [0, 1], not {self.critic_rate}")
        if not 0 <= self.seed <= numbers.LARGEST_SEED:
            raise ValueError(f"seed must lie between 0 and {numbers.LARGEST_SEED}, not {self.seed}")
        changed_guidance(Guidance(1.0), self.guidance_interval, self.guidance_parallel, self.guidance_rescale)
        place = self.placement
        if place is not None and not (math.isfinite(sum(place.centre)) and 0 < place.scale < 1e12):
            raise ValueError(f"placement must be a finite place, not {place}")

    @property
    def is_flat(self) -> bool:
        """Whether the result is a picture and no object."""
        return self.representation in FLAT

    @property
    def has_mesh(self) -> bool:
        """Whether the result is an object with a surface."""
        return self.representation in COARSE_TO_FINE

    @property
    def representation(self) -> str:
        """The stage whose result is written."""
        return self.stages[-1]

    @property
    def teacher_options(self) -> TeacherOptions:
        """What is changed about a big teacher, and how it computes."""
        return TeacherOptions(
            config=self.teacher_config,
            loras=tuple(self.teacher_lora),
            words=tuple(self.teacher_word),
            tiny_autoencoder=self.tiny_autoencoder,
            compiled=self.compile,
            offload=self.offload,
        )

    def recipe(self, stage: str) -> Recipe:
        """The preset's recipe of a stage with what the user changed."""
        kind = kind_of(self.teacher)
        recipe: Recipe
        if stage == "mesh":
            from_nothing = self.stages[0] == "mesh" and (self.retexture or not self.init) and not self.begun_from
            recipe = mesh_recipe(self.method, self.preset, kind, from_nothing)
        elif stage == "gaussians":
            recipe = gaussian_recipe(self.method, self.preset, kind)
        else:
            recipe = field_recipe(self.method, self.preset, kind)
        if self.steps:
            recipe = replace(recipe, steps=self.steps)
        if self.image:
            recipe = replace(recipe, guidance=replace(recipe.guidance, scale=STABLE_ZERO123_GUIDANCE))
        if self.guidance_scale is not None:
            recipe = replace(recipe, guidance=replace(recipe.guidance, scale=self.guidance_scale))
        if self.weighting:
            recipe = replace(recipe, weighting=self.weighting)
        if self.times:
            recipe = replace(recipe, times=DreamTime())
        wishes = self.guidance_interval, self.guidance_parallel, self.guidance_rescale
        return replace(recipe, guidance=changed_guidance(recipe.guidance, *wishes))


STABLE_ZERO123_GUIDANCE = 3.0
"""Teachers that are told a picture need little, as its authors advise."""


def kind_of(teacher: str) -> TeacherKind:
    """What recipes depend on of a teacher."""
    if small_teacher_folder(teacher) is None:
        return TeacherKind.LARGE
    return TeacherKind.WITH_LOOKS if knows_looks(teacher) else TeacherKind.SMALL


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Attributes:
        name: one of `Request.stages`.
        recipe: what it does.
        teacher: who judges it; stages may have different ones, such as one for larger pictures at the end. None where
            nothing will be judged, and the recipe says how large a picture is.
    """

    name: str
    recipe: Recipe
    teacher: NeuralTeacher | None

    @property
    def together(self) -> int:
        """How many pictures in a row are views of one object to the teacher."""
        return views_together(self.teacher)

    @property
    def size(self) -> int:
        """Pixels along one side of a picture: the recipe's, or a multiple of the teacher's."""
        if self.recipe.size is not None:
            return self.recipe.size
        assert self.teacher is not None
        return self.recipe.oversampling * self.teacher.shape[-1]

    def cameras(self) -> CameraSampler:
        """From where pictures are taken, and of which look they are."""
        looks = self.recipe.looks
        return CameraSampler(self.size, together=self.together, looks=() if looks is None else looks.in_order())


def stages_of(request: Request, teacher: NeuralTeacher | None) -> list[Stage]:
    """The stages of a run, judged by one teacher throughout."""
    return [Stage(name, request.recipe(name), teacher) for name in request.stages]


@dataclass(frozen=True)
class Scene:
    """A stage that is ready to begin.

    Attributes:
        stage: its name.
        generator: what is optimised, a `NeRF`, a `MeshField` or a `PixelImage`, or several as `Particles`.
        distillation: the loop.
        recipe: what it does.
    """

    stage: str
    generator: Any
    distillation: ScoreDistillation
    recipe: Recipe
    prompts: PromptSet
    teacher: NeuralTeacher

    @property
    def particles(self) -> list[Any]:
        """Everything that is optimised; of one object, that alone."""
        return list(self.generator.particles) if isinstance(self.generator, Particles) else [self.generator]

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
    recipe = stage.recipe
    torch.manual_seed(request.seed)
    assert stage.teacher is not None
    if stage.together > 1 and (stage.name == "pixels" or request.method == "vsd"):
        raise UserError("this teacher sees several views of an object together: no flat pictures, and no method vsd")
    teacher = with_mind_made_up(stage.teacher, request)
    photo = shown_photo(request, teacher)
    prompts = prompts_of(request, teacher)
    generator = build_generator(request, stage).to(device)
    particles = list(generator.particles) if isinstance(generator, Particles) else [generator]
    for number, particle in enumerate(particles):
        if isinstance(particle, MeshField | GaussianCloud) and not (restored or request.begun_from):
            _begin(particle, request, before.particles[number] if before is not None else None)
    if request.begun_from and not restored:
        begin_with_run(generator, Path(request.begun_from), stage.name)
    critic = _critic(request, teacher, before)

    with_null = recipe.guidance.scale != 1 or request.method not in NEVER_ASK_NULL or request.perp_neg

    def told(draw: Any) -> PromptConditions:
        draw = draw.draw if isinstance(draw, ParticleDraw) else draw
        view, count = (draw, len(draw)) if isinstance(draw, Cameras) else (None, draw)
        return condition_for(teacher, prompts, view, count, critic, with_null)

    elevation = math.radians(request.image_elevation)
    terms = [LikeThePhoto(generator, photo, elevation, stage.size, device)] if photo is not None else []
    groups = generator.parameter_groups()
    distillation = ScoreDistillation(
        generator,
        teacher,
        told,
        torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15, fused=True),
        Settings(
            steps=recipe.steps,
            batch_size=-(-recipe.batch_size // stage.together) * stage.together,
            method=METHODS[request.method],
            guidance=recipe.guidance,
            weighting=WEIGHTINGS[recipe.weighting],
            times=recipe.times.on(teacher.schedule),
            noising=recipe.noising,
            learning_rate=recipe.learning_rate,
            seed=request.seed,
        ),
        critic=critic,
        penalty=getattr(generator, "penalty", None),
        terms=terms,
    )
    return Scene(stage.name, generator, distillation, recipe, prompts, teacher)


def shown_photo(request: Request, teacher: Teacher) -> Photo | None:
    """The user's picture, which the teacher has now been shown; None if there is none.

    Raises UserError if the teacher is not told pictures, or is told nothing else.
    """
    sees = isinstance(teacher, DiffusersTeacher) and teacher.sees_pictures
    if not request.image:
        if sees:
            raise UserError("this teacher is told a picture, and draws other views of it: generate --image FILE")
        return None
    if not isinstance(teacher, DiffusersTeacher) or not sees:
        raise UserError(
            "--image needs a teacher that draws other views of a picture: --teacher FOLDER with a Zero123 in it"
        )
    photo = read_photo(Path(request.image), Path(request.image_mask) if request.image_mask else None)
    teacher.show(photo.image, math.radians(request.image_elevation))
    return photo


def prompts_of(request: Request, teacher: Teacher) -> PromptSet:
    """All that a run says to its teacher."""
    negative = NEGATIVES[request.method].replace("{prompt}", request.prompt) if request.method in NEGATIVES else None
    if negative is not None and isinstance(teacher, SmallTeacher):
        negative = NEGATIVE_FOR_EMBEDDED
    return PromptSet(
        request.prompt,
        # "chair, side view" is no class: a teacher of classes is not told views in words
        directions=Directions() if getattr(teacher, "takes_sentences", True) else None,
        unconditional=request.negative,
        perp_neg=PerpNeg() if request.perp_neg else None,
        negative=negative,
    )


def release_text_encoders(teacher: Teacher, requests: Sequence[Request]) -> None:
    """Let a big teacher's text encoders go, often its largest part, after all that the runs will say is encoded."""
    if isinstance(teacher, DiffusersTeacher | OnnxTeacher):
        teacher.release_text_encoders([text for request in requests for text in prompts_of(request, teacher).texts()])


def with_mind_made_up(teacher: NeuralTeacher, request: Request) -> NeuralTeacher:
    """A small teacher thinking of one object only, another for another seed; any other teacher as it is.

    Several particles shall become several objects: then it thinks of all that the prompt may mean.
    """
    if isinstance(teacher, SmallTeacher) and request.particles == 1:
        return teacher.with_one_object(request.prompt, request.seed)
    return teacher


def build_generator(request: Request, stage: Stage) -> Any:
    """What is optimised in a stage, before it has been given anything to begin with."""
    particles = [_GENERATORS[stage.name](request, stage) for _ in range(request.particles)]
    return particles[0] if len(particles) == 1 else Particles(particles)


def _pixels(request: Request, stage: Stage) -> PixelImage:
    del request
    return PixelImage(size=stage.size)


def _svg(request: Request, stage: Stage) -> VectorImage:
    return VectorImage(stage.size, request.shapes, torch.Generator().manual_seed(request.seed))


def _nerf(request: Request, stage: Stage) -> NeRF:
    recipe = stage.recipe
    assert isinstance(recipe, FieldRecipe)
    return NeRF(
        _field(request.encoding, recipe.grid),
        stage.cameras(),
        Marching(step=2 / recipe.samples),
        PenaltyWeights(roughness=recipe.roughness, opacity_entropy=recipe.opacity_entropy),
    )


def _mesh(request: Request, stage: Stage) -> MeshField:
    recipe = stage.recipe
    assert isinstance(recipe, MeshRecipe)
    cells = (recipe.grid // 4, recipe.grid // 2, recipe.grid)
    return MeshField(
        FixedShape() if request.retexture else DistanceGrid(cells, recipe.shape_rate),
        _field(request.encoding, recipe.texture_grid),
        stage.cameras(),
        MeshPenaltyWeights(recipe.laplacian, recipe.normals, roughness=recipe.roughness),
        None if recipe.looks is None else SHADINGS,
        STUDIO,
    )


def _gaussians(request: Request, stage: Stage) -> GaussianCloud:
    del request
    assert isinstance(stage.recipe, GaussianRecipe)
    return GaussianCloud(stage.recipe.count, stage.cameras())


_GENERATORS: dict[str, Callable[[Request, Stage], Any]] = {
    "nerf": _nerf,
    "mesh": _mesh,
    "gaussians": _gaussians,
    "pixels": _pixels,
    "svg": _svg,
}


def _field(encoding: str, grid: int) -> Field:
    return DenseGrid((grid // 4, grid // 2, grid)) if encoding == "grid" else HashGrid()


def _begin(generator: MeshField | GaussianCloud, request: Request, before: Any) -> None:
    """Give a later stage what it begins with: what a finished one has made, or the user's file."""
    if isinstance(generator, GaussianCloud):
        generator.begin_with(before)
    elif before is not None:
        begin_with(generator, before)
    elif request.init:
        begin_with_asset(generator, read_initial_mesh(Path(request.init)))


def _critic(request: Request, teacher: NeuralTeacher, before: Scene | None) -> Critic | None:
    """A critic for the methods that need one; that of the stage before has learnt how such pictures look."""
    if before is not None and before.distillation.critic is not None:
        return before.distillation.critic
    if request.method != "vsd":
        return None
    small = small_teacher_folder(request.teacher) is not None
    usual = CriticSettings() if small else CriticSettings(learning_rate=PROLIFIC_DREAMERS_RATE)
    return Critic(teacher, replace(usual, learning_rate=request.critic_rate or usual.learning_rate))


PROLIFIC_DREAMERS_RATE = 1e-4
"""Of the critic of a large teacher (Wang et al. 2023, appendix); small ones take ten times as much."""
