"""The options of commands that load a big teacher, beside its name. Nothing here loads torch."""

from __future__ import annotations

import argparse
from typing import Any

from sds.teachers.options import TeacherOptions


def add_teacher_options(parser: argparse.ArgumentParser, may_wait: bool = True) -> None:
    """Let a command change a big teacher's weights, and say how it computes.

    ``may_wait`` is whether the weights may wait in the computer's memory: not where copies of the network learn.
    """
    big = parser.add_argument_group("big teachers")
    big.add_argument(
        "--teacher-config",
        default="",
        metavar="NAME",
        help="what describes a teacher in one .safetensors file: a diffusers folder of its kind, or ORG/NAME on the "
        "hub; weights are needed, and fetched, only of parts that the file has none of",
    )
    big.add_argument(
        "--teacher-lora",
        action="append",
        default=[],
        metavar="FILE[:SCALE]",
        help="a LoRA on top of the teacher (.safetensors of diffusers, peft or kohya); may be repeated",
    )
    big.add_argument(
        "--teacher-word",
        action="append",
        default=[],
        metavar="FILE",
        help="a learned word for prompts (textual inversion, .safetensors); may be repeated",
    )
    big.add_argument(
        "--tiny-autoencoder",
        default="",
        metavar="NAME",
        help="a distilled autoencoder in place of the teacher's: a folder, or ORG/NAME on the hub "
        "(madebyollin/taesd, taesdxl, taesd3, taef1); much faster, a little softer",
    )
    big.add_argument(
        "--compile",
        action="store_true",
        help="compile the teacher: slow at the first step, then faster; needs a C++ compiler",
    )
    if not may_wait:
        parser.set_defaults(offload=False)
        return
    big.add_argument(
        "--offload",
        action="store_true",
        help="for small cards: the teacher's weights wait in the computer's memory, large pictures go in tiles; slower",
    )


def teacher_options_of(options: Any) -> TeacherOptions:
    """What was chosen of `add_teacher_options`, in whatever holds it under the names of the command line."""
    return TeacherOptions(
        config=options.teacher_config,
        loras=tuple(options.teacher_lora),
        words=tuple(options.teacher_word),
        tiny_autoencoder=options.tiny_autoencoder,
        compiled=options.compile,
        offload=options.offload,
    )
