"""The options of `scoresmith generate`, in groups."""

from __future__ import annotations

import argparse
from pathlib import Path

from cli import numbers


def add_batch_options(parser: argparse.ArgumentParser) -> None:
    """Several prompts, several seeds, several processes."""
    parser.add_argument(
        "--workers",
        type=numbers.whole(1, 1024),
        default=1,
        metavar="N",
        help="processes that share many prompts, one thread each (default: 1). What is finished is skipped",
    )
    parser.add_argument(
        "--anyway", action="store_true", help="go on with a prompt that names nothing which the teacher knows"
    )
    parser.add_argument(
        "--tries",
        type=numbers.whole(1, 100),
        metavar="N",
        help="if the object is not recognised, try the next seed, N seeds at most, and keep the best (default: 2 where "
        "the teacher is the embedded one and neither --seed nor --steps was given; else 1)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and whose settings it is")
    parser.add_argument("--live", action="store_true", help="show the object in a browser as it forms")


def add_score_options(how: argparse._ArgumentGroup) -> None:
    """How the teacher is asked, and what becomes of its answer."""
    how.add_argument(
        "--method",
        choices=("sds", "nfsd", "vsd", "csd", "sdi", "ism", "bridge"),
        default="sds",
        help="the score gradient: sds (default, the steadiest), nfsd (less noise), vsd (trains a critic), "
        "csd (guidance alone: colours run wild), sdi and ism (noise that DDIM finds in the picture), bridge (sds, then "
        "from a description of what there is to the prompt)",
    )
    how.add_argument(
        "--guidance-scale", type=numbers.guidance_scale, metavar="G", help="how strongly to follow the prompt"
    )
    how.add_argument(
        "--weighting",
        choices=("constant", "sigma-squared", "dreamfusion", "uniform", "min-snr", "normalized"),
        help="of the noise levels (default: the recipe's): constant for images; sigma-squared for noise, the same as "
        "dreamfusion; uniform for noise; min-snr; normalized: every image moves equally far",
    )
    how.add_argument(
        "--times",
        choices=("dreamtime",),
        default="",
        help="noise levels that only fall, as in DreamTime (default: the recipe's, drawn between two bounds)",
    )
    how.add_argument(
        "--critic-rate",
        type=numbers.number(0, 1),
        default=0.0,
        metavar="R",
        help="learning rate of vsd's critic (default: 1e-3 of a small teacher, ProlificDreamer's 1e-4 of a large one)",
    )
    how.add_argument("--negative", default="", metavar="PROMPT", help="what to move away from")
    how.add_argument(
        "--perp-neg",
        action="store_true",
        help="push away from the views that a camera does not see (teachers that are told views in words)",
    )


def add_shape_options(how: argparse._ArgumentGroup) -> None:
    """What is optimised."""
    how.add_argument(
        "--stages",
        type=checked_stages,
        metavar="LIST",
        help="nerf,mesh (default: from a radiance field to a mesh), or only nerf, or only mesh; the last two may be "
        "followed by gaussians, as may both",
    )
    how.add_argument(
        "--representation",
        choices=("nerf", "mesh", "gaussians", "pixels", "svg"),
        help="one stage alone: a field, a mesh, a flat image, or a vector picture; gaussians: 3D Gaussians, which "
        "begin as the field's surface",
    )
    how.add_argument(
        "--shapes",
        type=numbers.whole(1, numbers.MOST_SHAPES),
        default=64,
        metavar="N",
        help="of a vector picture (default: 64)",
    )
    how.add_argument(
        "--encoding",
        choices=("grid", "hash"),
        default="grid",
        help="of fields and textures: voxels (default), or a hash grid",
    )
    how.add_argument(
        "--particles",
        type=numbers.whole(1, numbers.MOST_PARTICLES),
        default=1,
        metavar="N",
        help="objects that are made at once, in as many times the steps (default: 1); with --method vsd they share a "
        "critic that keeps them apart",
    )


def add_beginning_options(how: argparse._ArgumentGroup) -> None:
    """What it begins with."""
    how.add_argument(
        "--image",
        type=Path,
        metavar="FILE",
        help="a picture of an object, which is made, by a teacher that is told pictures (a Zero123); transparent "
        "around the object, or before one colour",
    )
    how.add_argument("--image-mask", type=Path, metavar="FILE", help="a picture that is white where the object is")
    how.add_argument(
        "--image-elevation",
        type=numbers.number(-90, 90),
        default=5.0,
        metavar="DEGREES",
        help="above the horizon from which the picture was taken (default: 5)",
    )
    how.add_argument(
        "--from",
        dest="begun_from",
        type=Path,
        metavar="DIR",
        help="a finished run to begin with: the prompt changes its object (stages and encoding are those of that run)",
    )
    how.add_argument("--init", type=Path, metavar="FILE", help="a mesh to begin with: the prompt refines it")
    how.add_argument("--retexture", action="store_true", help="leave the shape of --init alone, give it new colours")


def add_run_options(how: argparse._ArgumentGroup) -> None:
    """Who judges, how long, where, and from which random numbers."""
    how.add_argument(
        "--teacher",
        default="embedded",
        metavar="NAME",
        help="embedded (default), a diffusers folder, or ORG/NAME on the hub (only then is anything downloaded)",
    )
    how.add_argument("--preset", choices=("fast", "quality"), default="fast", help="about a minute, or several")
    how.add_argument("--steps", type=numbers.steps, metavar="N", help="steps of each stage (default: the preset's)")
    how.add_argument("--seed", type=numbers.seed, metavar="N", help="another seed is another object (default: 0)")
    how.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: cuda if there is one")


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """The options for many machines."""
    many = parser.add_argument_group("on many machines (pip install ray pyarrow)")
    many.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="of a Ray cluster; auto: the one that this machine belongs to; local: begin one here. An object is a task",
    )
    many.add_argument(
        "--results",
        metavar="PLACE",
        help="where a cluster's results go: a folder or any fsspec address (default: --out)",
    )
    many.add_argument(
        "--manifest", choices=("jsonl", "parquet"), default="jsonl", help="what was made and measured (default: jsonl)"
    )


def checked_stages(text: str) -> tuple[str, ...]:
    """The stages in a list such as "nerf,mesh"."""
    from cli.scenes.stages import STAGES

    stages = tuple(text.split(","))
    if stages not in STAGES:
        known = "  ".join(",".join(one) for one in STAGES)
        raise argparse.ArgumentTypeError(f"{numbers.shortened(text)} is none of {known}")
    return stages
