"""The `scoresmith` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from cli.commands import distill, doctor, evaluate, export, generate, inspect, sample, teacher, view

COMMANDS = {
    "generate": generate,
    "view": view,
    "export": export,
    "inspect": inspect,
    "evaluate": evaluate,
    "distill": distill,
    "sample": sample,
    "teacher": teacher,
    "doctor": doctor,
}
"""Each module has SUMMARY, DESCRIPTION, EXAMPLES, `add_arguments(parser)` and `run(options) -> exit code`.

They import torch and diffusers only when they run, so that `--help` and misspelled options answer at once.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, 2 for an error that is the user's to mend."""
    options = build_parser().parse_args(arguments)
    from representations.threads import choose_threads

    choose_threads()  # before anything loads torch
    try:
        return COMMANDS[options.command].run(options)
    except KeyboardInterrupt:
        print("scoresmith: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        from cli.errors import expected, one_line

        if not isinstance(error, expected()):
            raise
        print(f"scoresmith: {one_line(error)}", file=sys.stderr)
        return 2


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="scoresmith",
        description="Turns a prompt into a mesh by score distillation of a diffusion teacher, on any computer.",
        epilog='Begin with:  scoresmith generate "a red armchair" --out outputs/armchair',
    )
    parser.add_argument("--version", action="version", version=f"scoresmith {installed_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.DESCRIPTION,
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
    return parser


def installed_version() -> str:
    """The version of the installed distribution."""
    try:
        return version("scoresmith")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
