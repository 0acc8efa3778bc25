"""What a recipe says of a stage, and what of it depends on the method."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeVar

from cli.scenes.looks import LookShares
from sds.guidance import Guidance
from sds.noising import DDIMInversion, FreshNoise
from sds.ramps import DreamTime, Ramp, TimeRange


class TeacherKind(Enum):
    """What a recipe depends on of its teacher."""

    SMALL = "small"
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
        weighting: of the noise levels: a name in `sds.weightings.WEIGHTINGS`.
        times: the noise levels that are visited.
        noising: where the noise comes from.
        source: whose settings these are, in words.
        learning_rate: a factor on the representation's own learning rates.
        roughness: weight of the penalty on neighbouring voxels that differ.
        looks: how often each look is judged; None for a teacher that knows none.
        overhead: the share of views from high above, which look into what is hollow.
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
    overhead: float = 0.1


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
"""For NFSD: only t < 0.2 pulls an image back (`sds.baselines.nfsd`); visit it all along, more often towards the end."""
