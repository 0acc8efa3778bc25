"""What the user asks for, and which recipe that is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from cli import numbers
from cli.guidance import changed_guidance
from cli.scenes.initial_mesh import Placement
from cli.scenes.looks import COLOURS_ALONE
from cli.scenes.recipes.choosing import field_recipe, gaussian_recipe, mesh_recipe
from cli.scenes.recipes.recipe import Recipe, TeacherKind
from cli.scenes.stages import COARSE_TO_FINE, FLAT, STAGES
from cli.teacher_options import teacher_options_of
from cli.teachers import EMBEDDED, small_teacher_folder
from sds.baselines import METHODS
from sds.guidance import Guidance
from sds.ramps import DreamTime
from sds.teachers.options import TeacherOptions
from sds.weightings import WEIGHTINGS

ENCODINGS, PRESETS = ("grid", "hash"), ("fast", "quality")

STABLE_ZERO123_GUIDANCE = 3.0
"""Teachers that are told a picture need little, as its authors advise."""


@dataclass(frozen=True)
class Request:
    """What the user asked for: with the versions of the software, it determines a run completely.

    Attributes:
        prompt: what to make.
        negative: a prompt to be told in place of the null prompt, or "".
        perp_neg: whether to push away from the view prompts that do not apply to a camera.
        method: a row of `sds.baselines.METHODS`.
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
        weighting: of the noise levels, a name in `sds.weightings.WEIGHTINGS`; "" stands for the recipe's.
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
        self._require_known_names()
        self._require_what_goes_together()
        self._require_sane_numbers()

    def _require_known_names(self) -> None:
        for name, chosen, known in (
            ("method", self.method, tuple(METHODS)),
            ("encoding", self.encoding, ENCODINGS),
            ("preset", self.preset, PRESETS),
            ("weighting", self.weighting, ("", *WEIGHTINGS)),
            ("times", self.times, ("", "dreamtime")),
        ):
            if chosen not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {chosen!r}")

    def _require_what_goes_together(self) -> None:
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

    def _require_sane_numbers(self) -> None:
        for name, number, lowest, highest in (
            ("image_elevation", self.image_elevation, -90.0, 90.0),
            ("steps", self.steps, 0, numbers.MOST_STEPS),
            ("guidance_scale", self.guidance_scale, 0.0, numbers.LARGEST_GUIDANCE),
            ("shapes", self.shapes, 1, numbers.MOST_SHAPES),
            ("particles", self.particles, 1, numbers.MOST_PARTICLES),
            ("critic_rate", self.critic_rate, 0.0, 1.0),
            ("seed", self.seed, 0, numbers.LARGEST_SEED),
        ):
            if number is not None and not lowest <= number <= highest:
                raise ValueError(f"{name} must lie between {lowest} and {highest}, not {number}")
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
        return teacher_options_of(self)

    def recipe(self, stage: str) -> Recipe:
        """The preset's recipe of a stage with what the user changed."""
        recipe = self._usual_recipe(stage)
        # A step is one particle's: each gets as many as an object that is made alone.
        recipe = replace(recipe, steps=self.steps or self.particles * recipe.steps)
        if self.weighting:
            recipe = replace(recipe, weighting=self.weighting)
        if self.times:
            recipe = replace(recipe, times=DreamTime())
        guidance = recipe.guidance
        if self.image:
            guidance = replace(guidance, scale=STABLE_ZERO123_GUIDANCE)
        if self.guidance_scale is not None:
            guidance = replace(guidance, scale=self.guidance_scale)
        wishes = self.guidance_interval, self.guidance_parallel, self.guidance_rescale
        return replace(recipe, guidance=changed_guidance(guidance, *wishes))

    def _usual_recipe(self, stage: str) -> Recipe:
        """The preset's recipe of a stage."""
        kind = kind_of(self.teacher)
        if stage == "mesh":
            from_nothing = self.stages[0] == "mesh" and (self.retexture or not self.init) and not self.begun_from
            return mesh_recipe(self.method, self.preset, kind, from_nothing)
        if stage == "gaussians":
            return gaussian_recipe(self.method, self.preset, kind)
        recipe = field_recipe(self.method, self.preset, kind)
        if recipe.looks is not None and self.encoding == "hash":
            # Its normals take six more looks at the hash table for each sample: minutes become an hour.
            recipe = replace(recipe, looks=COLOURS_ALONE)
        return recipe


def kind_of(teacher: str) -> TeacherKind:
    """What recipes depend on of a teacher."""
    return TeacherKind.LARGE if small_teacher_folder(teacher) is None else TeacherKind.SMALL
