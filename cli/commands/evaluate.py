"""`scoresmith evaluate`: measure a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cli import numbers
from cli.output import add_json_option, tell

SUMMARY = "measure a run or a student"
DESCRIPTION = """Measures what a run made, prints a table and writes metrics.json.

recognition   by a small classifier that has seen renders of real models only, never anything generated; strict: the
              noun of the prompt must come first among all nouns it knows
Janus score   share of side and back views that look clearly more like the front to the teacher; 0 is best
mesh          counts, size in metres, whether it is watertight

A student and fifty steps of its teacher are measured beside the same reference: fidelity (Frechet and kernel distance,
precision), diversity (recall, distinctness of images of one prompt) and speed. For the embedded teacher the reference
are renders of real models, whose features are shipped; with --reference it is your pictures, and otherwise the
teacher's. Without a folder the shipped student is measured."""
EXAMPLES = """example:
  scoresmith evaluate outputs/armchair outputs/cactus
  scoresmith evaluate outputs/student --images 2048
  scoresmith evaluate"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("run_folders", type=Path, nargs="*", metavar="DIR", help="folders of runs, or of students")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: cuda if there is one"
    )
    parser.add_argument(
        "--images",
        type=numbers.whole(1, 10**6),
        default=512,
        metavar="N",
        help="that student and teacher draw each (default: 512)",
    )
    parser.add_argument(
        "--features",
        default="classifier",
        metavar="NAME",
        help="with what students' images are looked at: classifier (the shipped one, default), imagenet, or a folder "
        "with a DINOv2",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="PATH",
        help="real pictures that nobody has learned from, as `distill --images` takes them: student and teacher are "
        "asked for what they show, and copies of training pictures are told from them",
    )
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Evaluate each run; returns the exit code."""
    from cli.api import open_run
    from cli.errors import UserError
    from cli.scenes.run_folder import RunFolder, write_json
    from cli.teachers import choose_device
    from cli.trainings.student_folder import StudentFolder
    from cli.trainings.student_metrics import measure_student
    from students.folder import CARD
    from students.measures.evaluation import FEWEST_IMAGES
    from students.shipped import SHIPPED_STUDENT

    if options.images < FEWEST_IMAGES:
        raise UserError(f"--images must be at least {FEWEST_IMAGES}, not {options.images}: fewer say nothing")
    device = choose_device(options.device)
    measured = []
    for path in options.run_folders or [SHIPPED_STUDENT]:
        if (path / CARD).exists():
            metrics = measure_student(path, device, options.images, options.features, options.reference)
            if path != SHIPPED_STUDENT:
                write_json(StudentFolder(path).metrics, metrics)
            print_metrics(str(path), metrics)
            measured.append({"folder": path, "metrics": metrics})
            continue
        made = open_run(path, options.device)
        metrics = made.metrics()
        RunFolder(path).write_metrics(metrics)
        print_metrics(f"{path}: {made.request.prompt}", metrics)
        measured.append({"folder": path, "prompt": made.request.prompt, "metrics": metrics})
    tell(options, {"measured": measured})
    return 0


def print_metrics(title: str, metrics: dict[str, dict[str, Any]]) -> None:
    """A table for people."""
    print(title)
    for section, values in metrics.items():
        for name, value in values.items():
            print(f"  {section:15} {name.replace('_', ' '):24} {shown(value)}")


def shown(value: object) -> str:
    """A measurement for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(f"{name} {number}" for name, number in value.items())
    return str(value)
