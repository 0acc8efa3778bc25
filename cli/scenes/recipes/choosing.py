"""Which recipe a stage gets: by the kind of teacher, the method and the preset."""

from __future__ import annotations

from dataclasses import replace

from cli.scenes.recipes import large_teachers as large
from cli.scenes.recipes import small_teachers as small
from cli.scenes.recipes.recipe import (
    ONLY_LOW_TIMES_HOLD,
    AnyRecipe,
    FieldRecipe,
    GaussianRecipe,
    MeshRecipe,
    MethodChoice,
    TeacherKind,
)

RATE_FROM_NOTHING = 0.1
"""`MeshRecipe.shape_rate` for a mesh that has to become something out of a ball."""


def field_recipe(method: str, preset: str, kind: TeacherKind) -> FieldRecipe:
    """The recipe of the first stage in a preset ("fast" or "quality"), for a kind of teacher."""
    recipe = _choices_for(kind)[method].applied(_recipes_for(kind)[0])
    return replace(_patient(recipe), samples=2 * recipe.samples) if preset == "quality" else recipe


def gaussian_recipe(method: str, preset: str, kind: TeacherKind) -> GaussianRecipe:
    """The recipe of Gaussians that refine what another stage has made."""
    recipe = _later_choice(method, kind).applied(_recipes_for(kind)[2])
    return _patient(recipe) if preset == "quality" else recipe


def mesh_recipe(method: str, preset: str, kind: TeacherKind, from_nothing: bool) -> MeshRecipe:
    """The recipe of a mesh that refines what another stage has made, or begins as a gray ball or a blank model."""
    recipe = _later_choice(method, kind).applied(_recipes_for(kind)[1])
    if from_nothing:
        before = field_recipe(method, "fast", kind)
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
        TeacherKind.SMALL: (
            small.SMALL_TEACHER,
            small.SMALL_TEACHER_MESH,
            small.SMALL_TEACHER_GAUSSIANS,
        ),
        TeacherKind.LARGE: (
            large.LARGE_TEACHER,
            large.LARGE_TEACHER_MESH,
            large.LARGE_TEACHER_GAUSSIANS,
        ),
    }[kind]


def _choices_for(kind: TeacherKind) -> dict[str, MethodChoice]:
    """What each method changes."""
    return {
        TeacherKind.SMALL: small.SMALL_TEACHER_METHODS,
        TeacherKind.LARGE: large.LARGE_TEACHER_METHODS,
    }[kind]


def _later_choice(method: str, kind: TeacherKind) -> MethodChoice:
    """What a method changes of a later stage: its noise levels only where the method is nothing without them."""
    choice = _choices_for(kind)[method]
    return choice if choice.times is ONLY_LOW_TIMES_HOLD else replace(choice, times=None)


def _patient(recipe: AnyRecipe) -> AnyRecipe:
    return replace(recipe, steps=3 * recipe.steps, batch_size=2 * recipe.batch_size)
