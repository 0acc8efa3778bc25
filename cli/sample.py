"""`scoresmith sample`: images from a student."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

SUMMARY = "draw images with a student"
DESCRIPTION = (
    """Draws images with a student that `scoresmith distill` made, in as many evaluations as it was made for."""
)
EXAMPLES = """examples:
  scoresmith sample outputs/student "a blue mug"
  scoresmith sample outputs/student "a blue mug" --count 16 --grid
  scoresmith sample outputs/student "a red chair" --azimuth 90 --elevation 20 --out chair"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("student", type=Path, metavar="DIR", help="the student's folder")
    parser.add_argument("prompt", metavar="PROMPT", help="what to draw")
    parser.add_argument("--count", type=int, default=4, metavar="N", help="number of images (default: 4)")
    parser.add_argument("--grid", action="store_true", help="one picture of all images, instead of one file each")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: outputs/<the prompt>)")
    parser.add_argument("--azimuth", type=float, metavar="DEGREES", help="of the camera, for teachers that know views")
    parser.add_argument("--elevation", type=float, default=15.0, metavar="DEGREES", help="default: 15")
    parser.add_argument(
        "--student-steps", type=int, metavar="N", help="evaluations for an image, for students that leave it open"
    )
    parser.add_argument(
        "--guidance-scale", type=float, metavar="G", help="for students that are told it (made by guidance or lcm)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: cuda if there is one"
    )


def run(options: argparse.Namespace) -> int:
    """Draw what was asked for; returns the exit code."""
    import sys
    from dataclasses import replace

    import imageio.v3 as imageio
    import torch

    from cli.errors import UserError
    from cli.generate import checked_prompt
    from cli.pictures import to_bytes, write_sheet
    from cli.run_folder import folder_name
    from cli.teachers import choose_device, load_teacher, warnings_about
    from sds.checkpoint import written_whole
    from students.flow_map import Student
    from students.folder import read_card, sample
    from students.inputs import load_student
    from students.prompts import StoredView

    if options.count < 1:
        raise UserError(f"--count must be positive, not {options.count}")
    prompt = checked_prompt(options.prompt)
    card = read_card(options.student)
    if options.student_steps is not None:
        if options.student_steps < 1:
            raise UserError(f"--student-steps must be positive, not {options.student_steps}")
        card = card.with_steps(options.student_steps)
    student = load_teacher(str(options.student), choose_device(options.device))
    able = load_student(options.student, student)
    if options.guidance_scale is not None:
        if not isinstance(able, Student) or not able.told_guidance:
            raise UserError(
                f"--guidance-scale: this student has learned the scale {card.guidance_scale:g} and no other; "
                "distil by guidance or lcm for a student that is told it"
            )
        if options.guidance_scale <= 0:
            raise UserError(f"--guidance-scale must be positive, not {options.guidance_scale}")
        card = replace(card, guidance_scale=options.guidance_scale)
    for warning in warnings_about(prompt, student):
        print(f"scoresmith: warning: {warning}", file=sys.stderr)
    view = None
    if options.azimuth is not None:
        if not student.knows_views:
            raise UserError("--azimuth: this student knows no views; say the view in the prompt")
        angles = torch.tensor([[options.azimuth, options.elevation]]).expand(options.count, 2) * (math.pi / 180)
        view = StoredView(angles[:, 0], angles[:, 1], torch.ones(options.count, 3))
    condition = student.condition([prompt] * options.count, view)
    x = sample(able, card, student.shape, condition, torch.Generator().manual_seed(options.seed))
    images = student.decode(x).clamp(0, 1)

    out = options.out or Path("outputs") / folder_name(prompt)
    columns = math.ceil(math.sqrt(options.count))
    if options.grid:
        write_sheet(out / "grid.png", list(images.split(columns)), size=max(96, images.shape[-1]))
        print(out / "grid.png")
        return 0
    for number, image in enumerate(images):
        with written_whole(out / f"{number:04}.png") as temporary:
            imageio.imwrite(temporary, to_bytes(image))
        print(out / f"{number:04}.png")
    return 0
