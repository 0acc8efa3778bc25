"""`scoresmith sample`: images from a student."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from cli import numbers
from cli.guidance import add_guidance_options
from cli.output import LOG, add_json_option, tell
from cli.teacher_options import add_teacher_options, teacher_options_of

if TYPE_CHECKING:  # loads torch
    from torch import Tensor

    from sds.denoiser import NeuralTeacher

SUMMARY = "draw images with a student"
DESCRIPTION = """Draws images with a student that `scoresmith distill` made, in as many evaluations as it was made for.

With --sampler the folder (or a file of weights) is a teacher, which draws in as many steps as are asked for.

Without a folder the student that is shipped draws: it knows what the embedded teacher knows, and needs one step."""
EXAMPLES = """examples:
  scoresmith sample "a blue mug" --count 16 --grid
  scoresmith sample "a red chair" --azimuth 90 --elevation 20 --out chair
  scoresmith sample outputs/student "a blue mug" --seed 7
  scoresmith sample embedded "a blue mug" --sampler dpm-solver++ --sampler-steps 20 --guidance-scale 2"""
SAMPLER_NAMES = (
    "ddim",
    "cfg++",
    "heun",
    "pndm",
    "deis",
    "dpm-solver",
    "dpm-solver++",
    "ddpm",
    "ancestral",
    "churn",
    "euler-maruyama",
    "sde-dpm-solver++",
)
"""The keys of `sds.samplers.SAMPLERS`, which is not imported here since it loads torch."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.usage = "scoresmith sample [options] [DIR] PROMPT"  # argparse would write [[DIR] PROMPT ...]
    parser.add_argument(
        "words",
        nargs="+",
        metavar="[DIR] PROMPT",
        help="the student's folder (default: the student that is shipped), and what to draw",
    )
    parser.add_argument(
        "--count", type=numbers.whole(1, 10**9), default=4, metavar="N", help="number of images (default: 4)"
    )
    parser.add_argument("--grid", action="store_true", help="one picture of all images, instead of one file each")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: outputs/<the prompt>)")
    parser.add_argument(
        "--azimuth",
        type=numbers.number(-3600, 3600),
        metavar="DEGREES",
        help="of the camera, for teachers that know views",
    )
    parser.add_argument(
        "--elevation", type=numbers.number(-90, 90), default=15.0, metavar="DEGREES", help="default: 15"
    )
    parser.add_argument(
        "--student-steps",
        type=numbers.whole(1, 1000),
        metavar="N",
        help="evaluations for an image, for students that leave it open",
    )
    parser.add_argument(
        "--guidance-scale",
        type=numbers.number(0, numbers.LARGEST_GUIDANCE, without_lowest=True),
        metavar="G",
        help="for students that are told it (made by guidance or lcm)",
    )
    add_sampler_options(parser.add_argument_group("a teacher, in many steps"))
    add_teacher_options(parser)
    parser.add_argument("--seed", type=numbers.seed, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: cuda if there is one"
    )
    add_json_option(parser)


def add_sampler_options(how: argparse._ArgumentGroup) -> None:
    """The options of drawing with a teacher, and not with a student."""
    how.add_argument(
        "--sampler",
        choices=SAMPLER_NAMES,
        metavar="NAME",
        help=f"draw with the diffusers folder DIR, or with the teacher `embedded`, by {', '.join(SAMPLER_NAMES)}",
    )
    how.add_argument(
        "--sampler-steps", type=numbers.whole(1, 10_000), default=25, metavar="N", help="of the sampler (default: 25)"
    )
    add_guidance_options(how)


def run(options: argparse.Namespace) -> int:
    """Draw what was asked for; returns the exit code."""
    from cli.last_teacher import last_teacher
    from cli.sampling import sample_student, sample_teacher
    from cli.scenes.understanding import understood
    from cli.teachers import choose_device
    from students.folder import read_card

    folder, asked = folder_and_prompt(options.words)
    if not options.sampler:
        read_card(folder)  # whether there is a student at all, before anything is loaded
    changes = teacher_options_of(options)
    teacher = last_teacher(str(folder), choose_device(options.device), changes)
    prompt = prompt_for(folder, asked, teacher)
    if understanding := understood(prompt, teacher):
        LOG.info("%s", understanding.sentence())
    common = {name: getattr(options, name) for name in ("count", "seed", "azimuth", "elevation", "device")}
    common["changes"] = changes
    if options.sampler:
        scale = 1.0 if options.guidance_scale is None else options.guidance_scale
        how = {"sampler": options.sampler, "steps": options.sampler_steps, "guidance_scale": scale}
        acts = {name: getattr(options, name) for name in ("guidance_interval", "guidance_parallel", "guidance_rescale")}
        images = sample_teacher(prompt, folder, **how, **acts, **common)
    else:
        how = {"steps": options.student_steps, "guidance_scale": options.guidance_scale}
        images = sample_student(prompt, folder, **how, **common)
    written = write_images(images, prompt, options.out, options.grid)
    for path in written:
        print(path)
    tell(options, {"prompt": prompt, "seed": options.seed, "files": written})
    return 0


def prompt_for(folder: Path, asked: str | None, teacher: NeuralTeacher) -> str:
    """What is drawn: what was asked for, or nothing in particular by who cannot be asked. Raises UserError else."""
    from cli.errors import UserError

    if asked is not None:
        return asked
    if list(getattr(teacher, "vocabulary", None) or []) != [""]:
        kind = "folder" if folder.is_dir() else "file"
        raise UserError(f"{folder} is a {kind}: say what its student shall draw, too")
    return ""


def folder_and_prompt(words: list[str]) -> tuple[Path, str | None]:
    """The student's folder, or that of the shipped one, and the prompt if there is one.

    Raises UserError for anything else.
    """
    from cli.errors import UserError
    from students.shipped import SHIPPED_STUDENT

    if len(words) > 2:
        raise UserError(f"sample takes a folder and a prompt, not {len(words)} things: put the prompt in quotes")
    if len(words) == 1 and words[0] and (Path(words[0]).is_dir() or words[0].endswith(".safetensors")):
        return Path(words[0]), None
    return Path(words[0]) if len(words) == 2 else SHIPPED_STUDENT, numbers.checked_prompt(words[-1])


def write_images(images: Tensor, prompt: str, out: Path | None, grid: bool) -> list[Path]:
    """Write images (count, 3, height, width) in [0, 1], each or all on one sheet; returns where they are."""
    import imageio.v3 as imageio

    from cli.pictures import to_bytes, write_sheet
    from cli.scenes.run_folder import folder_name
    from sds.checkpoint import written_whole

    out = out or Path("outputs") / folder_name(prompt)
    if grid:
        columns = math.ceil(math.sqrt(len(images)))
        write_sheet(out / "grid.png", list(images.split(columns)), size=max(96, images.shape[-1]))
        return [out / "grid.png"]
    paths = [out / f"{number:04}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        with written_whole(path) as temporary:
            imageio.imwrite(temporary, to_bytes(image))
    return paths
