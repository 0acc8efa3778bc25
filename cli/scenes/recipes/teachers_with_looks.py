"""For small teachers that can be asked for colours without light, and for normals."""

from __future__ import annotations

from dataclasses import replace

from cli.scenes.looks import LookShares
from cli.scenes.recipes.recipe import FieldRecipe, MeshRecipe
from cli.scenes.recipes.small_teachers import SMALL_TEACHER_GAUSSIANS, SMALL_TEACHER_METHODS
from sds.guidance import Guidance
from sds.ramps import Ramp, TimeRange

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

ONE_OBJECT = "a teacher that imagines one object, the same from all sides, needs no guidance; not tuned"

WITH_LOOKS_METHODS = SMALL_TEACHER_METHODS | {
    name: replace(SMALL_TEACHER_METHODS[name], scale=1.0, source=ONE_OBJECT) for name in ("sds", "sdi", "ism")
}
"""For teachers that know looks."""
