"""For small teachers whose pictures are all lit: low guidance, since they predict badly far from all they know."""

from __future__ import annotations

from cli.scenes.recipes.recipe import ONLY_LOW_TIMES_HOLD, FieldRecipe, GaussianRecipe, MeshRecipe, MethodChoice
from sds.guidance import Guidance
from sds.noising import DDIMInversion
from sds.ramps import Ramp, TimeRange

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

AS_SDS = "SDS on the embedded teacher, with fewer steps of inversion than the paper; not tuned"

SMALL_TEACHER_METHODS = {
    "sds": MethodChoice(2.0, MEASURED),
    "nfsd": MethodChoice(1.5, MEASURED, times=ONLY_LOW_TIMES_HOLD),
    "vsd": MethodChoice(1.0, MEASURED),
    "csd": MethodChoice(1.0, MEASURED),
    "sdi": MethodChoice(2.0, AS_SDS, DDIMInversion(steps=3, scale=0.0)),
    "ism": MethodChoice(2.0, AS_SDS, DDIMInversion(steps=2, interval=0.08)),
    "bridge": MethodChoice(2.0, "SDS on the embedded teacher, to which the prompt itself is what there is; not tuned"),
}
"""Where nothing but a critic or the null prompt holds colours in place, more guidance than this makes them drift."""
