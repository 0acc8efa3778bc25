"""The options of `scoresmith distill`, in groups."""

from __future__ import annotations

import argparse
from pathlib import Path

from cli import numbers
from cli.guidance import add_guidance_options

METHODS = {
    "diff-instruct": "match distributions: teacher against a critic of the student's own images (Luo et al. 2023)",
    "dmd": "the same with normalised steps, and a regression on the teacher's pairs (Yin et al. 2024)",
    "dmd2": "the same with a discriminator in place of the pairs (Yin et al. 2024)",
    "f-distill": "DMD2 for the forward divergence: more variety (Xu et al. 2025)",
    "sid": "score identity distillation: through teacher and critic, data-free (Zhou et al. 2024)",
    "add": "adversarial diffusion distillation: discriminator and SDS (Sauer et al. 2023)",
    "ladd": "the same on the teacher's own features, a little denoising for SDS: for latents (Sauer et al. 2024)",
    "asm": "adversarial score matching: a denoiser that does not blur; any steps (Jolicoeur-Martineau et al. 2021)",
    "ufogen": "denoising and a discriminator, at the levels the student is used at, not at all (Xu et al. 2023)",
    "ddgan": "denoising diffusion GAN: large steps that are drawn, not averaged (Xiao et al. 2022)",
    "density": "an invertible flow, its density known; for very simple teachers (van den Oord et al. 2018)",
    "one-pass": "regression on noise-image pairs, one step (Luhman & Luhman 2021)",
    "progressive": "half the steps, again and again (Salimans & Ho 2022)",
    "guidance": "any guidance scale in one evaluation, then fewer steps (Meng et al. 2023)",
    "reflow": "rectified flow on the teacher's pairs: straight paths, any steps (Liu et al. 2023)",
    "instaflow": "reflow, then one step (Liu et al. 2023)",
    "dsno": "all states of the teacher's path at once, by temporal layers in a UNet (Zheng et al. 2023)",
    "genie": "the teacher and a small head: steps of second order, one evaluation each (Dockhorn et al. 2022)",
    "consistency": "consistency distillation: any point of a path leads to its image; any steps (Song et al. 2023)",
    "lcm": "latent consistency: the same, at any guidance scale (Luo et al. 2023)",
    "consistency-training": "the same from images alone (Song et al. 2023)",
    "ict": "improved consistency training (Song & Dhariwal 2024)",
    "scm": "continuous-time consistency distillation (Lu & Song 2025)",
    "ctm": "consistency trajectories: from any time to any other; any steps (Kim et al. 2024)",
    "tract": "transitive closure: one step for each segment of the path (Berthelot et al. 2023)",
    "boot": "bootstrapping from noise, data-free, one step (Gu et al. 2023)",
    "shortcut": "one jump equals two of half its length; any steps (Frans et al. 2024)",
    "mean-flow": "the mean velocity over a jump, by its derivative; any steps (Geng et al. 2025)",
}
"""The keys of `students.recipes.catalogue.RECIPES`, not imported here since it loads torch, and what each is."""


def add_method(how: argparse._ArgumentGroup) -> None:
    """The options of what is learned from whom: the method, the teacher, the prompts."""
    how.add_argument("--method", choices=METHODS, metavar="NAME", default="dmd", help="see below (default: dmd)")
    how.add_argument(
        "--teacher",
        default="embedded",
        metavar="NAME",
        help="embedded (default), a diffusers folder, or a file of weights",
    )
    how.add_argument(
        "--prompt",
        action="append",
        default=[],
        help="what the student shall draw; may be repeated (default: every class of a teacher that knows classes, all "
        "nouns of the embedded one; a teacher that cannot be asked for anything takes none)",
    )
    how.add_argument("--prompts-file", type=Path, metavar="FILE", help="more prompts, one a line; # begins a comment")


def add_student(how: argparse._ArgumentGroup) -> None:
    """The options of what the student becomes: its steps, where it begins, the guidance that it has learned."""
    how.add_argument(
        "--student-steps",
        type=numbers.whole(1, 1000),
        metavar="N",
        help="evaluations for an image (default: 1, of asm and genie 10, of ddgan 4)",
    )
    how.add_argument(
        "--start",
        type=numbers.number(0, 1, without_lowest=True),
        metavar="T",
        help="noise level in (0, 1] that the student is told to begin with (default: the method's: 1, or where "
        "sigma / alpha is 2.5 for dmd, dmd2, diff-instruct, f-distill, sid, add, ladd, ufogen). Below 1 noise decides "
        "what a prompt leaves open. What a student begins with is standard noise there too, not sigma times it: it was "
        "trained on that, and "
        "only `scoresmith sample` knows how to begin",
    )
    how.add_argument(
        "--guidance-scale",
        type=numbers.number(0, numbers.LARGEST_GUIDANCE, without_lowest=True),
        metavar="G",
        help="that is learned (default: 2, or 1 of a teacher without a null prompt)",
    )
    add_guidance_options(how)


def add_lessons(how: argparse._ArgumentGroup) -> None:
    """What the method takes: paths and pairs of the teacher, critics, real pictures, and who looks at them."""
    how.add_argument(
        "--path-steps",
        type=numbers.whole(1, 10_000),
        default=32,
        metavar="N",
        help="of the teacher's solver, where a method follows its paths (default: 32)",
    )
    how.add_argument(
        "--critic-steps",
        type=numbers.whole(0, 1000),
        default=0,
        metavar="N",
        help="of the critic before each of the student's (default: the method's)",
    )
    how.add_argument(
        "--lora",
        type=numbers.whole(1, 1024),
        metavar="RANK",
        help="student and critic learn corrections of this rank in place of all weights: a fraction of the memory, and "
        "beside the student a small file of corrections that diffusers' load_lora_weights takes",
    )
    how.add_argument(
        "--pairs",
        type=numbers.whole(1, 10**9),
        default=512,
        metavar="N",
        help="images of the teacher for methods that need them",
    )
    how.add_argument(
        "--images",
        type=Path,
        metavar="PATH",
        help="real pictures in place of the teacher's: a folder whose names say what they show (chair/01.png, "
        "a_red_chair_2.png), or a .txt beside each, or metadata.jsonl; shards of webdataset (.tar); or parquet files",
    )
    how.add_argument(
        "--features",
        default="recipe",
        metavar="NAME",
        help="what discriminators look at: recipe (the method's, default), teacher, learning (a copy of it that learns "
        "with them), imagenet, or a folder with a DINOv2",
    )
    how.add_argument(
        "--distance",
        default="recipe",
        metavar="NAME",
        help="between images in regressions on pairs and consistency: recipe (the method's, default), imagenet "
        "(perceptual), or a folder with the files of LPIPS",
    )


def add_training(how: argparse._ArgumentGroup) -> None:
    """The options of how long it is learned, and of what is told meanwhile."""
    how.add_argument(
        "--steps", type=numbers.whole(1, numbers.MOST_STEPS), default=1000, metavar="N", help="default: 1000"
    )
    how.add_argument("--batch-size", type=numbers.whole(1, 10**9), default=16, metavar="N", help="default: 16")
    how.add_argument(
        "--learning-rate", type=numbers.number(0, 10), default=0.0, metavar="R", help="default: the method's"
    )
    how.add_argument(
        "--look-every",
        type=numbers.whole(0, numbers.MOST_STEPS),
        default=0,
        metavar="N",
        help="steps after which a sheet of samples is kept and the student is measured (default: ten times in a run)",
    )
    how.add_argument(
        "--look-images",
        type=numbers.whole(0, 10**6),
        default=256,
        metavar="N",
        help="how many images are measured then, beside real ones where there are some; 0 for none (default: 256)",
    )
    how.add_argument(
        "--track",
        action="append",
        default=[],
        metavar="NAME",
        help="log to a tracker of accelerate's too: wandb, mlflow, aim ...; may be repeated. log.jsonl is always "
        "written, TensorBoard's files wherever it is installed",
    )
    how.add_argument("--seed", type=numbers.seed, default=0, metavar="N", help="default: 0")


def add_computing(how: argparse._ArgumentGroup) -> None:
    """The options of where it is computed, and with how much memory."""
    how.add_argument(
        "--bfloat16",
        action="store_true",
        help="compute networks in half precision: faster on cards, and on processors that have it; slower elsewhere",
    )
    how.add_argument(
        "--micro-batch",
        type=numbers.whole(0, 10**9),
        default=0,
        metavar="N",
        help="networks that learn see N images at a time and gradients accumulate over the batch: the memory of N, a "
        "third more time, the same student (default: the whole batch)",
    )
    how.add_argument(
        "--checkpointing", action="store_true", help="networks keep less for the gradient and compute it again"
    )
    how.add_argument(
        "--shard",
        action="store_true",
        help="processes share the weights of student, critic, averages and optimisers too (FSDP2): for networks that "
        "do not fit one card",
    )
    how.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: cuda if there is one")
    how.add_argument(
        "--processes",
        type=numbers.whole(0, 100_000),
        default=0,
        metavar="N",
        help="how many processes torchrun has started for this run: any other number is refused (default: not checked)",
    )
