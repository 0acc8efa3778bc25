"""`scoresmith sample`: images from a student."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from cli import numbers

if TYPE_CHECKING:  # loads torch
    import torch
    from torch import Tensor

    from sds.denoiser import Condition, NeuralTeacher
    from students.folder import StudentCard
    from students.prompts import StoredView

SUMMARY = "draw images with a student"
DESCRIPTION = """Draws images with a student that `scoresmith distill` made, in as many evaluations as it was made for.

With --sampler the folder is a teacher, which draws in as many steps as are asked for.

Without a folder the student that is shipped draws: it knows what the embedded teacher knows, and needs one step."""
EXAMPLES = """examples:
  scoresmith sample "a blue mug" --count 16 --grid
  scoresmith sample "a red chair" --azimuth 90 --elevation 20 --out chair
  scoresmith sample outputs/student "a blue mug" --seed 7
  scoresmith sample embedded "a blue mug" --sampler dpm-solver++ --sampler-steps 20 --guidance-scale 2"""
SAMPLER_NAMES = (
    "ddim",
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
    add_teacher_options(parser.add_argument_group("a teacher, in many steps"))
    parser.add_argument("--seed", type=numbers.seed, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: cuda if there is one"
    )


def add_teacher_options(how: argparse._ArgumentGroup) -> None:
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


def run(options: argparse.Namespace) -> int:
    """Draw what was asked for; returns the exit code."""
    import sys

    import torch

    from cli.errors import UserError
    from cli.scenes.understanding import understood
    from cli.teachers import choose_device, load_teacher, warnings_about
    from students.folder import read_card, sample
    from students.inputs import load_student
    from students.teachers import can_be_guided

    folder, asked = folder_and_prompt(options.words)
    card = None if options.sampler else with_steps(read_card(folder), options.student_steps)
    teacher = load_teacher(str(folder), choose_device(options.device))
    prompt = prompt_for(folder, asked, teacher)
    if understanding := understood(prompt, teacher):
        print(f"scoresmith: {understanding.sentence()}", file=sys.stderr)
    for warning in warnings_about(prompt, teacher):
        print(f"scoresmith: warning: {warning}", file=sys.stderr)
    if options.azimuth is not None and not teacher.knows_views:
        raise UserError("--azimuth: this student knows no views; say the view in the prompt")
    values = math.prod(teacher.shape)
    numbers.require_memory(options.count * (40 * values + 2**15), f"--count {options.count}")
    # All images are of one prompt and view: what depends on these alone is computed once.
    view = view_from(options.azimuth, options.elevation)
    condition = teacher.condition([prompt], view)[torch.zeros(options.count, dtype=torch.long)]
    rng = torch.Generator().manual_seed(options.seed)
    if card is None:
        null = teacher.condition([""], view) if can_be_guided(teacher) else condition[:1]
        x = drawn_by_teacher(teacher, condition, null, options, rng)
    else:
        student = load_student(folder, teacher)
        card = with_guidance_scale(card, student, options.guidance_scale)
        x = sample(student, card, teacher.shape, condition, rng)
    write_images(teacher.decode(x).clamp(0, 1), prompt, options.out, options.grid)
    return 0


def drawn_by_teacher(
    teacher: NeuralTeacher, condition: Condition, null: Condition, options: argparse.Namespace, rng: torch.Generator
) -> Tensor:
    """x0 (rows of ``condition``, ...) by the sampler, steps and guidance scale of the options; ``null`` has one row.

    Raises UserError for impossible numbers.
    """
    import torch

    from cli.errors import UserError
    from sds.denoiser import Condition
    from sds.guidance import Guidance
    from sds.samplers import SAMPLERS, sample_with
    from sds.sampling import Guided

    scale = 1.0 if options.guidance_scale is None else options.guidance_scale
    rows = len(condition)
    told = Condition.concatenate([condition, null[torch.zeros(rows, dtype=torch.long)]])
    device = next(iter(told.tensors.values())).device
    noise = torch.randn(rows, *teacher.shape, generator=rng).to(device)
    try:
        denoiser, told = (teacher, condition) if scale == 1 else (Guided(teacher, Guidance(scale)), told)
        return sample_with(SAMPLERS[options.sampler], denoiser, noise, told, options.sampler_steps, rng=rng)
    except ValueError as error:
        raise UserError(f"--sampler-steps: {error}") from None


def prompt_for(folder: Path, asked: str | None, teacher: NeuralTeacher) -> str:
    """What is drawn: what was asked for, or nothing in particular by who cannot be asked. Raises UserError else."""
    from cli.errors import UserError

    if asked is not None:
        return asked
    if list(getattr(teacher, "vocabulary", None) or []) != [""]:
        raise UserError(f"{folder} is a folder: say what its student shall draw, too")
    return ""


def folder_and_prompt(words: list[str]) -> tuple[Path, str | None]:
    """The student's folder, or that of the shipped one, and the prompt if there is one.

    Raises UserError for anything else.
    """
    from cli.errors import UserError
    from students.shipped import SHIPPED_STUDENT

    if len(words) > 2:
        raise UserError(f"sample takes a folder and a prompt, not {len(words)} things: put the prompt in quotes")
    if len(words) == 1 and Path(words[0]).is_dir():
        return Path(words[0]), None
    return Path(words[0]) if len(words) == 2 else SHIPPED_STUDENT, numbers.checked_prompt(words[-1])


def with_steps(card: StudentCard, steps: int | None) -> StudentCard:
    """The card with the number of steps that the user wishes. Raises UserError or StudentFolderError if it cannot."""

    if steps is None:
        return card
    return card.with_steps(steps)


def with_guidance_scale(card: StudentCard, student: object, guidance_scale: float | None) -> StudentCard:
    """The card with the guidance scale that the user wishes. Raises UserError if the student is not told one."""
    from dataclasses import replace

    from cli.errors import UserError
    from students.flow_map import Student

    if guidance_scale is None:
        return card
    if not isinstance(student, Student) or not student.told_guidance:
        raise UserError(
            f"--guidance-scale: this student has learned the scale {card.guidance_scale:g} and no other; "
            "distil by guidance or lcm for a student that is told it"
        )
    return replace(card, guidance_scale=guidance_scale)


def view_from(azimuth: float | None, elevation: float) -> StoredView | None:
    """One view over white, from degrees; None without an azimuth."""
    import torch

    from students.prompts import StoredView

    if azimuth is None:
        return None
    angles = torch.tensor([[azimuth, elevation]]) * (math.pi / 180)
    return StoredView(angles[:, 0], angles[:, 1], torch.ones(1, 3))


def write_images(images: Tensor, prompt: str, out: Path | None, grid: bool) -> None:
    """Write images (count, 3, height, width) in [0, 1], each or all on one sheet, and print where they are."""
    import imageio.v3 as imageio

    from cli.pictures import to_bytes, write_sheet
    from cli.scenes.run_folder import folder_name
    from sds.checkpoint import written_whole

    out = out or Path("outputs") / folder_name(prompt)
    if grid:
        columns = math.ceil(math.sqrt(len(images)))
        write_sheet(out / "grid.png", list(images.split(columns)), size=max(96, images.shape[-1]))
        print(out / "grid.png")
        return
    for number, image in enumerate(images):
        with written_whole(out / f"{number:04}.png") as temporary:
            imageio.imwrite(temporary, to_bytes(image))
        print(out / f"{number:04}.png")
