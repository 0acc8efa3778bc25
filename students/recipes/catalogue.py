"""Every method by its name, put together for a neural teacher with settings that are sensible for a small one.

A recipe is a function; a new method is a new function and a line of `RECIPES`. Each returns a `StudentRun`, which the
command line drives without knowing which method it is. Who wants other settings calls the parts, as these do.
"""

from __future__ import annotations

from students.recipes.adversarial import (
    adversarial_score_matching_recipe,
    denoising_diffusion_gan_recipe,
    latent_adversarial_recipe,
    ufogen_recipe,
)
from students.recipes.bootstrap import (
    boot_recipe,
    consistency_recipe,
    consistency_training_recipe,
    continuous_recipe,
    improved_consistency_training_recipe,
    latent_consistency_recipe,
    mean_flow_recipe,
    shortcut_recipe,
    tract_recipe,
    trajectory_recipe,
)
from students.recipes.matching import (
    add_recipe,
    density_recipe,
    diff_instruct_recipe,
    dmd2_recipe,
    dmd_recipe,
    f_distill_recipe,
    sid_recipe,
)
from students.recipes.order import Recipe
from students.recipes.paths import (
    genie_recipe,
    guidance_recipe,
    instaflow_recipe,
    one_pass_recipe,
    progressive_recipe,
    reflow_recipe,
    whole_path_recipe,
)

RECIPES: dict[str, Recipe] = {
    "diff-instruct": diff_instruct_recipe,
    "dmd": dmd_recipe,
    "dmd2": dmd2_recipe,
    "f-distill": f_distill_recipe,
    "sid": sid_recipe,
    "add": add_recipe,
    "ladd": latent_adversarial_recipe,
    "asm": adversarial_score_matching_recipe,
    "ufogen": ufogen_recipe,
    "ddgan": denoising_diffusion_gan_recipe,
    "density": density_recipe,
    "one-pass": one_pass_recipe,
    "progressive": progressive_recipe,
    "guidance": guidance_recipe,
    "reflow": reflow_recipe,
    "instaflow": instaflow_recipe,
    "dsno": whole_path_recipe,
    "genie": genie_recipe,
    "consistency": consistency_recipe,
    "lcm": latent_consistency_recipe,
    "consistency-training": consistency_training_recipe,
    "ict": improved_consistency_training_recipe,
    "scm": continuous_recipe,
    "ctm": trajectory_recipe,
    "tract": tract_recipe,
    "boot": boot_recipe,
    "shortcut": shortcut_recipe,
    "mean-flow": mean_flow_recipe,
}
"""The methods by the names that the field uses."""


SEVERAL_STEPS = {"ddgan": 4, "asm": 10, "genie": 10}
"""Methods that are made for several steps, and how many a student takes unless its user says otherwise."""


def usual_steps(method: str) -> int:
    """How many evaluations a student by this method takes for an image, unless its user says otherwise."""
    return SEVERAL_STEPS.get(method, 1)
