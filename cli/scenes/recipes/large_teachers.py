"""For teachers of the size of Stable Diffusion: the settings of each paper. Unverified without a GPU."""

from __future__ import annotations

from cli.scenes.recipes.recipe import ONLY_LOW_TIMES_HOLD, FieldRecipe, GaussianRecipe, MeshRecipe, MethodChoice
from sds.guidance import Guidance
from sds.noising import NOISINGS
from sds.ramps import Ramp, TimeRange

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
