"""The `scoresmith` command."""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from cli.commands import (
    blender_addon,
    completion,
    distill,
    doctor,
    evaluate,
    export,
    generate,
    inspect,
    sample,
    studio,
    teacher,
    view,
)
from cli.configuration import with_configuration
from cli.errors import UserError
from cli.output import LOG, add_output_options, output_as_asked, tell, timed
from cli.parser import Parser

COMMANDS = {
    "generate": generate,
    "view": view,
    "studio": studio,
    "export": export,
    "inspect": inspect,
    "evaluate": evaluate,
    "distill": distill,
    "sample": sample,
    "teacher": teacher,
    "blender-addon": blender_addon,
    "doctor": doctor,
    "completion": completion,
}
"""Each module has SUMMARY, DESCRIPTION, EXAMPLES, `add_arguments(parser)` and `run(options) -> exit code`.

A default of its parser named `check` is called with the options first of all, before anything is loaded.

They import torch and diffusers only when they run, so that `--help` and misspelled options answer at once.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, 2 for an error that is the user's to mend."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of another encoding shows what it can
            stream.reconfigure(errors="backslashreplace")
    try:
        options = options_of(arguments)
    except UserError as error:
        print(f"scoresmith: {error}", file=sys.stderr)
        if "--json" in (sys.argv[1:] if arguments is None else arguments):
            print(json.dumps({"error": str(error)}, ensure_ascii=False))
        return 2
    from representations.threads import choose_threads

    choose_threads()  # before anything loads torch
    with output_as_asked(options):
        return carried_out(options)


def carried_out(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code, and says in one line what is the user's to mend."""
    try:
        with timed(f"{options.command} in all"):
            code = COMMANDS[options.command].run(options)
        sys.stdout.flush()  # what does not reach a full disk is an error here, not a traceback at the end
    except BrokenPipeError:  # as of `scoresmith doctor | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        LOG.error("stopped")
        return 130
    except Exception as error:
        from cli.errors import is_expected, one_line

        if not is_expected(error):
            raise
        line = one_line(error, options.command)
        LOG.error("%s", line)
        LOG.debug("it came from here:", exc_info=error)
        tell(options, {"error": line})
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            os._exit(2)  # the rest of standard output cannot be written either, and Python would say so at length
        return 2
    return code


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for, and the file that its `--config` names.

    Raises UserError about that file, and for options that make no sense together.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in COMMANDS:
        parser = Parser(prog=f"scoresmith {words[0]}")
        COMMANDS[words[0]].add_arguments(parser)
        add_output_options(parser)
        words[1:] = with_configuration(parser, words[1:])
    options = build_parser().parse_args(words)
    if "check" in options:
        options.check(options)
    return options


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = Parser(
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
        add_output_options(command)
    parser.set_defaults(whole_parser=parser)
    return parser


def installed_version() -> str:
    """The version of the installed distribution."""
    try:
        return version("scoresmith")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
