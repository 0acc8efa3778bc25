"""One stage of a run, and what is optimised in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from cli.scenes.looks import COLOURS_ALONE, SHADINGS, STUDIO
from cli.scenes.recipes.recipe import FieldRecipe, GaussianRecipe, MeshRecipe, Recipe
from cli.scenes.request import Request
from representations.cameras import CameraSampler
from representations.fields.field import DenseGrid, Field, HashGrid
from representations.fields.nerf import NeRF, PenaltyWeights
from representations.gaussians.cloud import GaussianCloud
from representations.images.pixels import PixelImage
from representations.images.vector import VectorImage
from representations.particles import Particles
from representations.rays import Marching
from representations.shading import Shading
from representations.surfaces.distance_grid import DistanceGrid
from representations.surfaces.fixed_shape import FixedShape
from representations.surfaces.mesh_field import MeshField, MeshPenaltyWeights
from sds.denoiser import NeuralTeacher, views_together


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
        return CameraSampler(
            self.size,
            overhead_probability=self.recipe.overhead,
            together=self.together,
            looks=() if looks is None else looks.in_order(),
        )

    @property
    def shading(self) -> tuple[Shading, ...] | None:
        """How each look that is judged is drawn; None for bare colours, where those alone are."""
        return None if self.recipe.looks in (None, COLOURS_ALONE) else SHADINGS


def stages_of(request: Request, teacher: NeuralTeacher | None) -> list[Stage]:
    """The stages of a run, judged by one teacher throughout."""
    return [Stage(name, request.recipe(name), teacher) for name in request.stages]


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
        stage.shading,
        lighting=STUDIO,
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
        stage.shading,
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
