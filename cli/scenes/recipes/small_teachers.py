"""For small teachers, made for a CPU, that can be asked for colours without light and for normals."""

from __future__ import annotations

from cli.scenes.looks import COLOURS_ALONE, LookShares
from cli.scenes.recipes.recipe import ONLY_LOW_TIMES_HOLD, FieldRecipe, GaussianRecipe, MeshRecipe, MethodChoice
from sds.guidance import Guidance
from sds.noising import DDIMInversion
from sds.ramps import Ramp, TimeRange

EARLIER = "measured on an earlier embedded teacher"

SMALL_TEACHER = FieldRecipe(
    steps=200,
    batch_size=4,
    size=None,
    # What it imagines is the same thing from all sides, so that nothing has to be gained by guidance.
    guidance=Guidance(scale=1.0, limit=1.0),
    weighting="constant",
    times=TimeRange(Ramp(0.3, 0.1), Ramp(0.98, 0.7)),
    learning_rate=Ramp(1.0, 0.3, begin=0.7),
    roughness=1.0,
    looks=LookShares(lit=0.1, albedo=0.3, normals=0.6),
    overhead=0.3,
    grid=64,
    samples=64,
    opacity_entropy=100.0,
)
"""Normals hollow out what has one colour inside and outside, such as a mug, whose albedo is the same with and without.
It is dug out layer by layer, which takes these steps: after 120 a pillar still stood in it."""

SMALL_TEACHER_MESH = MeshRecipe(
    steps=110,
    batch_size=4,
    size=None,
    oversampling=2,
    guidance=SMALL_TEACHER.guidance,
    weighting=SMALL_TEACHER.weighting,
    times=TimeRange(Ramp(0.2, 0.1), Ramp(0.98, 0.7)),
    learning_rate=Ramp(1.0, 0.2, begin=0.5),
    roughness=0.3,
    looks=LookShares(lit=0.1, albedo=0.4, normals=0.5),
    overhead=SMALL_TEACHER.overhead,
    grid=96,
    texture_grid=96,
    shape_rate=0.015,
    laplacian=10.0,
    normals=5.0,
)
"""For the same teachers: normals carve the shape, albedo paints it, and what is lit is looked at now and then."""

SMALL_TEACHER_GAUSSIANS = GaussianRecipe(
    steps=200,
    batch_size=4,
    size=None,
    # In pictures of the teacher's own size all Gaussians are a pixel wide at least, and gaps between them would be seen
    # from nearby only: they are drawn at twice that size.
    oversampling=2,
    guidance=SMALL_TEACHER.guidance,
    weighting=SMALL_TEACHER.weighting,
    times=SMALL_TEACHER_MESH.times,
    learning_rate=Ramp(1.0, 0.2, begin=0.5),
    roughness=0.0,
    looks=COLOURS_ALONE,  # Gaussians have no surface that could be lit.
    overhead=SMALL_TEACHER.overhead,
    count=6_000,
)
"""For the same teachers: more Gaussians than their pictures have pixels would not be seen."""

ONE_OBJECT = "measured on the embedded teacher: it imagines one object, the same from all sides, and needs no guidance"

OWN_PATH = DDIMInversion(steps=1, scale=1.0, begin=0.002)
"""For a teacher that imagines: one step of the prompt's own path, from where its prediction still is the image. The
null prompt imagines another thing, which noise found on its path then holds. Measured: see the README of
examples/compare_gradients."""

SMALL_TEACHER_METHODS = {
    "sds": MethodChoice(1.0, ONE_OBJECT),
    "nfsd": MethodChoice(1.5, EARLIER, times=ONLY_LOW_TIMES_HOLD),
    "vsd": MethodChoice(1.0, EARLIER),
    "csd": MethodChoice(1.0, EARLIER),
    "sdi": MethodChoice(1.0, f"{ONE_OBJECT}; noise of the prompt's own path", OWN_PATH),
    "ism": MethodChoice(1.0, f"{ONE_OBJECT}; the interval is the prompt's own path", OWN_PATH),
    "bridge": MethodChoice(1.0, f"{ONE_OBJECT}; the bridge leads from the prompt itself"),
}
"""Where nothing but a critic or the null prompt holds colours in place, more guidance than this makes them drift."""
