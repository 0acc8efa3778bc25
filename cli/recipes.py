"""What a run does by default: one recipe for the embedded teacher, one for large teachers, in two presets each."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sds.guidance import Guidance
from sds.ramps import Ramp, TimeRange


@dataclass(frozen=True)
class Recipe:
    """Everything about a run that depends on the teacher, the method and the patience of the user.

    Attributes:
        steps: of the generator.
        batch_size: views for each step.
        size: pixels along one side of a view; None stands for twice the teacher's own. Its `encode` shrinks them again,
            so that edges are smooth and every voxel is met by some ray.
        guidance: how strongly to follow the prompt.
        times: the noise levels that are visited.
        learning_rate: a factor on the representation's own learning rates.
        grid: voxels along one side of the finest level of a radiance field.
        samples: samples along a ray that crosses the whole scene.
        roughness: weight of the penalty on neighbouring voxels that differ.
        opacity_entropy: weight of the penalty on half-transparent rays, which grows over the run.
    """

    steps: int
    batch_size: int
    size: int | None
    guidance: Guidance
    times: TimeRange
    learning_rate: Ramp
    grid: int
    samples: int
    roughness: float
    opacity_entropy: float


SMALL_TEACHER = Recipe(
    steps=300,
    batch_size=4,
    size=None,
    guidance=Guidance(scale=2.0, rescale=0.5, limit=1.0),
    # From the outline to the detail. High noise is visited to the end: it is what holds colours in place, which drift
    # where only the detail is judged.
    times=TimeRange(Ramp(0.3, 0.1), Ramp(0.98, 0.7)),
    learning_rate=Ramp(1.0, 0.3, begin=0.7),
    grid=64,
    samples=48,
    roughness=1.0,
    opacity_entropy=100.0,
)
"""For the embedded teacher and its kind: low guidance, since they predict badly far from what they have seen."""

LARGE_TEACHER = Recipe(
    steps=10_000,
    batch_size=1,
    size=64,
    guidance=Guidance(scale=100.0, rescale=0.0),
    times=TimeRange(Ramp(0.02, 0.02), Ramp(0.98, 0.5, begin=0.5, finish=0.5)),
    learning_rate=Ramp(1.0, 1.0),
    grid=128,
    samples=192,
    roughness=0.1,
    opacity_entropy=0.1,
)
"""For teachers of the size of Stable Diffusion: DreamFusion's and threestudio's settings. Unverified without a GPU."""

LARGE_TEACHER_GUIDANCE = {"sds": 100.0, "nfsd": 7.5, "vsd": 7.5, "csd": 7.5}
"""Each paper's own guidance scale."""

SMALL_TEACHER_GUIDANCE = {"sds": 2.0, "nfsd": 1.5, "vsd": 1.0, "csd": 1.0}
"""Where nothing but the critic or the null prompt holds colours in place, more guidance than this makes them drift."""


def recipe_for(method: str, preset: str, small: bool) -> Recipe:
    """The recipe of a method in a preset ("fast" or "quality"), for a small teacher or a large one."""
    recipe = SMALL_TEACHER if small else LARGE_TEACHER
    scale = (SMALL_TEACHER_GUIDANCE if small else LARGE_TEACHER_GUIDANCE)[method]
    recipe = replace(recipe, guidance=replace(recipe.guidance, scale=scale))
    if method == "nfsd":
        # Only t < 0.2 pulls an image back (sds.score.nfsd): visit it all along, and more often towards the end.
        recipe = replace(recipe, times=TimeRange(Ramp(0.02, 0.02), Ramp(0.98, 0.3)))
    if preset == "quality":
        recipe = replace(recipe, steps=3 * recipe.steps, batch_size=2 * recipe.batch_size, samples=2 * recipe.samples)
    return recipe
