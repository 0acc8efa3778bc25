"""What a run does by default: for each stage a recipe for small teachers and one for large ones, in two presets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from sds.guidance import Guidance
from sds.ramps import Ramp, TimeRange


@dataclass(frozen=True)
class Recipe:
    """Everything about a stage that depends on the teacher, the method and the patience of the user.

    Attributes:
        steps: of the generator.
        batch_size: views for each step.
        size: pixels along one side of a view; None stands for a multiple of the teacher's own. Its `encode` shrinks
            them again, so that edges are smooth and every detail is met by some ray.
        guidance: how strongly to follow the prompt.
        weighting: of the noise levels: a name in `sds.score.WEIGHTINGS`.
        times: the noise levels that are visited.
        learning_rate: a factor on the representation's own learning rates.
        roughness: weight of the penalty on neighbouring voxels that differ.
    """

    steps: int
    batch_size: int
    size: int | None
    guidance: Guidance
    weighting: str
    times: TimeRange
    learning_rate: Ramp
    roughness: float


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)

SMALL_TEACHER = FieldRecipe(
    steps=300,
    batch_size=4,
    size=None,
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
    steps=200,
    batch_size=4,
    size=None,
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

LARGE_TEACHER_GUIDANCE = {"sds": 100.0, "nfsd": 7.5, "vsd": 7.5, "csd": 7.5}
"""Each paper's own guidance scale."""

SMALL_TEACHER_GUIDANCE = {"sds": 2.0, "nfsd": 1.5, "vsd": 1.0, "csd": 1.0}
"""Where nothing but the critic or the null prompt holds colours in place, more guidance than this makes them drift."""


RATE_FROM_NOTHING = 0.1
"""`MeshRecipe.shape_rate` for a mesh that has to become something out of a ball."""


def field_recipe(method: str, preset: str, small: bool) -> FieldRecipe:
    """The recipe of the first stage in a preset ("fast" or "quality"), for a small teacher or a large one."""
    recipe = SMALL_TEACHER if small else LARGE_TEACHER
    scale = (SMALL_TEACHER_GUIDANCE if small else LARGE_TEACHER_GUIDANCE)[method]
    recipe = replace(recipe, guidance=replace(recipe.guidance, scale=scale))
    if method == "nfsd":
        # Only t < 0.2 pulls an image back (sds.score.nfsd): visit it all along, and more often towards the end.
        recipe = replace(recipe, times=TimeRange(Ramp(0.02, 0.02), Ramp(0.98, 0.3)))
    return replace(_patient(recipe), samples=2 * recipe.samples) if preset == "quality" else recipe


def mesh_recipe(method: str, preset: str, small: bool, from_nothing: bool) -> MeshRecipe:
    """The recipe of a mesh that refines what another stage has made, or begins as a gray ball or a blank model."""
    recipe = SMALL_TEACHER_MESH if small else LARGE_TEACHER_MESH
    field = field_recipe(method, "fast", small)
    recipe = replace(recipe, guidance=field.guidance, times=field.times if method == "nfsd" else recipe.times)
    if from_nothing:
        recipe = replace(
            recipe,
            steps=field.steps,
            times=field.times,
            learning_rate=field.learning_rate,
            shape_rate=RATE_FROM_NOTHING,
        )
    return _patient(recipe) if preset == "quality" else recipe


def _patient(recipe: AnyRecipe) -> AnyRecipe:
    return replace(recipe, steps=3 * recipe.steps, batch_size=2 * recipe.batch_size)
