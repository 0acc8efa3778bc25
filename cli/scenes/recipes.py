"""What a run does by default: for each stage a recipe for each kind of teacher, in two presets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeVar

from cli.scenes.looks import LookShares
from sds.guidance import Guidance
from sds.noising import NOISINGS, DDIMInversion, FreshNoise
from sds.ramps import DreamTime, Ramp, TimeRange


class TeacherKind(Enum):
    """What a recipe depends on of its teacher."""

    SMALL = "small"
    """Made for a CPU, all its pictures lit."""
    WITH_LOOKS = "with looks"
    """Made for a CPU, and asked for albedo and normals as well."""
    LARGE = "large"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything about a stage that depends on the teacher, the method and the patience of the user.

    Attributes:
        steps: of the generator.
        batch_size: views for each step.
        size: pixels along one side of a view; None stands for `oversampling` times the teacher's own.
        oversampling: the teacher's `encode` shrinks views again, so that edges are smooth and every detail is met by
            some ray.
        guidance: how strongly to follow the prompt.
        weighting: of the noise levels: a name in `sds.score.WEIGHTINGS`.
        times: the noise levels that are visited.
        noising: where the noise comes from.
        source: whose settings these are, in words.
        learning_rate: a factor on the representation's own learning rates.
        roughness: weight of the penalty on neighbouring voxels that differ.
        looks: how often each look is judged; None for a teacher that knows none.
    """

    steps: int
    batch_size: int
    size: int | None
    oversampling: int = 1
    guidance: Guidance
    weighting: str
    times: TimeRange | DreamTime
    learning_rate: Ramp
    roughness: float
    noising: FreshNoise | DDIMInversion = field(default=FreshNoise())
    source: str = ""
    looks: LookShares | None = None


@dataclass(frozen=True, kw_only=True)
class FieldRecipe(Recipe):
    """A radiance field (or, of what is here, the part that a flat image needs).

    Attributes:
        grid: voxels along one side of the finest level.
        samples: samples along a ray that crosses the whole scene.
        opacity_entropy: weight of the penalty on half-transparent rays, which grows over the run.
    """

    grid: int
    samples: int
    opacity_entropy: float


@dataclass(frozen=True, kw_only=True)
class MeshRecipe(Recipe):
    """A surface with a texture.

    Attributes:
        grid: cells along one side of the finest grid of distances.
        texture_grid: voxels along one side of the finest level of the texture, where it does not come from a field.
        shape_rate: learning rate of the distances, in cells.
        laplacian, normals: weights of `representations.surfaces.mesh_field.MeshPenaltyWeights`.
    """

    grid: int
    texture_grid: int
    shape_rate: float
    laplacian: float
    normals: float


@dataclass(frozen=True, kw_only=True)
class GaussianRecipe(Recipe):
    """An object as 3D Gaussians, which begins as the surface of another.

    Attributes:
        count: of Gaussians.
    """

    count: int


AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)

MEASURED = "measured on the embedded teacher"

SMALL_TEACHER = FieldRecipe(
    source=MEASURED,
    steps=300,
    batch_size=4,
    size=None,
    oversampling=2,
    guidance=Guidance(scale=2.0, contrast=0.5, limit=1.0),
    weighting="constant",
    # From the outline to the detail. High noise is visited to the end: it is what holds colours in place, which drift
    # where only the detail is judged.
    times=TimeRange(Ramp(0.3, 0.1), Ramp(0.98, 0.7)),
    learning_rate=Ramp(1.0, 0.3, begin=0.7),
    roughness=1.0,
    grid=64,
    samples=48,
    opacity_entropy=100.0,
)
"""For the embedded teacher and its kind: low guidance, since they predict badly far from what they have seen."""

SMALL_TEACHER_MESH = MeshRecipe(
    source=MEASURED,
    steps=200,
    batch_size=4,
    size=None,
    oversampling=3,
    guidance=SMALL_TEACHER.guidance,
    weighting=SMALL_TEACHER.weighting,
    # High noise all along, as for the field: outlines that only low noise has seen grow frills.
    times=TimeRange(Ramp(0.2, 0.1), Ramp(0.98, 0.7)),
    learning_rate=Ramp(1.0, 0.2, begin=0.5),
    roughness=1.0,
    grid=96,
    texture_grid=64,
    shape_rate=0.015,
    laplacian=30.0,
    normals=20.0,
)
"""For the same teachers: fewer steps, since the field has made most decisions."""

SMALL_TEACHER_GAUSSIANS = GaussianRecipe(
    steps=200,
    batch_size=4,
    size=None,
    oversampling=2,
    guidance=SMALL_TEACHER.guidance,
    weighting=SMALL_TEACHER.weighting,
    times=SMALL_TEACHER_MESH.times,
    learning_rate=Ramp(1.0, 0.2, begin=0.5),
    roughness=0.0,
    count=6_000,
)
"""For the same teachers: more Gaussians than their pictures have pixels would not be seen."""

TEACHER_WITH_LOOKS = FieldRecipe(
    steps=120,
    batch_size=4,
    size=None,
    # What it imagines is the same thing from all sides, so that nothing has to be gained by guidance.
    guidance=Guidance(scale=1.0, limit=1.0),
    weighting="constant",
    times=TimeRange(Ramp(0.3, 0.1), Ramp(0.98, 0.7)),
    learning_rate=Ramp(1.0, 0.3, begin=0.7),
    roughness=1.0,
    looks=LookShares(albedo=1.0),
    grid=64,
    samples=64,
    opacity_entropy=100.0,
)
"""For teachers that can be asked for colours without light: none of it is baked into the field."""

TEACHER_WITH_LOOKS_MESH = MeshRecipe(
    steps=160,
    batch_size=4,
    size=None,
    oversampling=2,
    guidance=TEACHER_WITH_LOOKS.guidance,
    weighting=TEACHER_WITH_LOOKS.weighting,
    times=TimeRange(Ramp(0.2, 0.1), Ramp(0.98, 0.7)),
    learning_rate=Ramp(1.0, 0.2, begin=0.5),
    roughness=0.3,
    looks=LookShares(lit=0.1, albedo=0.4, normals=0.5),
    grid=96,
    texture_grid=96,
    shape_rate=0.015,
    laplacian=10.0,
    normals=5.0,
)
"""For the same teachers: normals carve the shape, albedo paints it, and what is lit is looked at now and then."""

TEACHER_WITH_LOOKS_GAUSSIANS = replace(
    SMALL_TEACHER_GAUSSIANS,
    guidance=TEACHER_WITH_LOOKS.guidance,
    oversampling=1,
    looks=TEACHER_WITH_LOOKS.looks,
)
"""For the same teachers: Gaussians have no surface that could be lit."""

LARGE_TEACHER = FieldRecipe(
    steps=10_000,
    batch_size=1,
    size=64,
    guidance=Guidance(scale=100.0),
    weighting="sigma-squared",
    times=TimeRange(Ramp(0.02, 0.02), Ramp(0.98, 0.5, begin=0.5, finish=0.5)),
    learning_rate=Ramp(1.0, 1.0),
    roughness=0.1,
    grid=128,
    samples=192,
    opacity_entropy=0.1,
)
"""For teachers of the size of Stable Diffusion: DreamFusion's and threestudio's settings, w(t) = sigma^2 among them.
Unverified without a GPU."""

LARGE_TEACHER_MESH = MeshRecipe(
    steps=5_000,
    batch_size=1,
    size=512,
    guidance=LARGE_TEACHER.guidance,
    weighting=LARGE_TEACHER.weighting,
    times=TimeRange(Ramp(0.02, 0.02), Ramp(0.5, 0.5)),
    learning_rate=Ramp(0.5, 0.1, begin=0.5),
    roughness=0.1,
    grid=128,
    texture_grid=256,
    shape_rate=0.015,
    laplacian=30.0,
    normals=30.0,
)
"""Magic3D's second stage (Lin et al. 2023, section 4.2) in its noise levels and size. Unverified without a GPU."""


LARGE_TEACHER_GAUSSIANS = GaussianRecipe(
    steps=5_000,
    batch_size=4,
    size=512,
    guidance=LARGE_TEACHER.guidance,
    weighting=LARGE_TEACHER.weighting,
    times=TimeRange(Ramp(0.02, 0.02), Ramp(0.98, 0.5, finish=0.3)),
    learning_rate=Ramp(1.0, 0.1, begin=0.5),
    roughness=0.0,
    count=100_000,
)
"""LucidDreamer's size, steps and noise levels (its README and guidance/sd_utils.py). Unverified without a GPU."""


@dataclass(frozen=True)
class MethodChoice:
    """What of a recipe depends on the method.

    Attributes:
        scale: of guidance, in the convention of `sds.guidance`.
        source: where it is from.
        noising, times, weighting: None leaves what the recipe has.
    """

    scale: float
    source: str
    noising: FreshNoise | DDIMInversion | None = None
    times: TimeRange | None = None
    weighting: str | None = None

    def applied(self, recipe: AnyRecipe) -> AnyRecipe:
        """The recipe for this method."""
        return replace(
            recipe,
            guidance=replace(recipe.guidance, scale=self.scale),
            source=self.source,
            noising=self.noising or recipe.noising,
            times=self.times or recipe.times,
            weighting=self.weighting or recipe.weighting,
        )


ONLY_LOW_TIMES_HOLD = TimeRange(Ramp(0.02, 0.02), Ramp(0.98, 0.3))
"""For NFSD: only t < 0.2 pulls an image back (`sds.score.nfsd`); visit it all along, and more often towards the end."""

HALVED_AT_A_FIFTH = TimeRange(Ramp(0.02, 0.02), Ramp(0.98, 0.5, begin=0.2, finish=0.2))
"""threestudio's max_step_percent [5000, 0.98, 0.5, 5001] of 25,000 steps."""

LARGE_TEACHER_METHODS = {
    "sds": MethodChoice(100.0, "threestudio configs/dreamfusion-sd.yaml (its 100 is 101 here; DreamFusion says 100)"),
    "nfsd": MethodChoice(7.5, "Katzir et al. 2023, section 4", times=ONLY_LOW_TIMES_HOLD),
    "vsd": MethodChoice(7.5, "threestudio configs/prolificdreamer.yaml", times=HALVED_AT_A_FIFTH),
    "csd": MethodChoice(7.5, "Yu et al. 2023 with the scale of Stable Diffusion's samplers"),
    "sdi": MethodChoice(
        8.5,
        "threestudio configs/sdi.yaml: its 7.5 and -7.5 count from the conditional prediction, so 8.5 and -6.5 here; "
        "without its inversion_eta",
        NOISINGS["sdi"],
        TimeRange(Ramp(0.98, 0.25), Ramp(0.98, 0.25)),
    ),
    "ism": MethodChoice(
        7.5,
        "LucidDreamer's guidance/sd_utils.py: w = sigma / alpha, delta_T 80 of 1000, t up to 0.5 after a warm-up",
        NOISINGS["ism"],
        TimeRange(Ramp(0.02, 0.02), Ramp(0.98, 0.5, finish=0.3)),
        "constant",
    ),
    "bridge": MethodChoice(
        100.0, "SDS-Bridge's configs/sds-bridge.yaml: second stage at step 20,000 of 25,000", None, HALVED_AT_A_FIFTH,
        "uniform",
    ),
}  # fmt: skip
"""Each paper's own settings for Stable Diffusion, and where they are written."""

AS_SDS = "SDS on the embedded teacher, with fewer steps of inversion than the paper; not tuned"

SMALL_TEACHER_METHODS = {
    "sds": MethodChoice(2.0, MEASURED),
    "nfsd": MethodChoice(1.5, MEASURED, times=ONLY_LOW_TIMES_HOLD),
    "vsd": MethodChoice(1.0, MEASURED),
    "csd": MethodChoice(1.0, MEASURED),
    "sdi": MethodChoice(2.0, AS_SDS, DDIMInversion(steps=3, scale=0.0)),
    "ism": MethodChoice(2.0, AS_SDS, DDIMInversion(steps=2, interval=0.08)),
    "bridge": MethodChoice(2.0, "SDS on the embedded teacher, whose null prompt stands for what there is; not tuned"),
}
"""Where nothing but a critic or the null prompt holds colours in place, more guidance than this makes them drift."""

ONE_OBJECT = "a teacher that imagines one object, the same from all sides, needs no guidance; not tuned"

WITH_LOOKS_METHODS = SMALL_TEACHER_METHODS | {
    name: replace(SMALL_TEACHER_METHODS[name], scale=1.0, source=ONE_OBJECT) for name in ("sds", "sdi", "ism")
}
"""For teachers that know looks."""

RATE_FROM_NOTHING = 0.1
"""`MeshRecipe.shape_rate` for a mesh that has to become something out of a ball."""


def field_recipe(method: str, preset: str, kind: TeacherKind) -> FieldRecipe:
    """The recipe of the first stage in a preset ("fast" or "quality"), for a kind of teacher."""
    recipe = _choices_for(kind)[method].applied(_recipes_for(kind)[0])
    return replace(_patient(recipe), samples=2 * recipe.samples) if preset == "quality" else recipe


def gaussian_recipe(method: str, preset: str, kind: TeacherKind) -> GaussianRecipe:
    """The recipe of Gaussians that refine what another stage has made."""
    choice = _choices_for(kind)[method]
    recipe = replace(choice, times=choice.times if method == "nfsd" else None).applied(_recipes_for(kind)[2])
    return _patient(recipe) if preset == "quality" else recipe


def mesh_recipe(method: str, preset: str, kind: TeacherKind, from_nothing: bool) -> MeshRecipe:
    """The recipe of a mesh that refines what another stage has made, or begins as a gray ball or a blank model."""
    before, choice = field_recipe(method, "fast", kind), _choices_for(kind)[method]
    recipe = replace(choice, times=choice.times if method == "nfsd" else None).applied(_recipes_for(kind)[1])
    if from_nothing:
        recipe = replace(
            recipe,
            steps=before.steps,
            times=before.times,
            learning_rate=before.learning_rate,
            shape_rate=RATE_FROM_NOTHING,
        )
    return _patient(recipe) if preset == "quality" else recipe


def _recipes_for(kind: TeacherKind) -> tuple[FieldRecipe, MeshRecipe, GaussianRecipe]:
    """The recipes of all stages, before a method is chosen."""
    return {
        TeacherKind.SMALL: (SMALL_TEACHER, SMALL_TEACHER_MESH, SMALL_TEACHER_GAUSSIANS),
        TeacherKind.WITH_LOOKS: (TEACHER_WITH_LOOKS, TEACHER_WITH_LOOKS_MESH, TEACHER_WITH_LOOKS_GAUSSIANS),
        TeacherKind.LARGE: (LARGE_TEACHER, LARGE_TEACHER_MESH, LARGE_TEACHER_GAUSSIANS),
    }[kind]


def _choices_for(kind: TeacherKind) -> dict[str, MethodChoice]:
    """What each method changes."""
    return {
        TeacherKind.SMALL: SMALL_TEACHER_METHODS,
        TeacherKind.WITH_LOOKS: WITH_LOOKS_METHODS,
        TeacherKind.LARGE: LARGE_TEACHER_METHODS,
    }[kind]


def _patient(recipe: AnyRecipe) -> AnyRecipe:
    return replace(recipe, steps=3 * recipe.steps, batch_size=2 * recipe.batch_size)
