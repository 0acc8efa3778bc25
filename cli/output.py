"""What a command says: results on standard output, for people or as JSON for scripts; all else on standard error.

Whatever happens on the way (warnings, notes, bars) goes to the log `scoresmith`, which `--quiet` and `--verbose` make
quieter and louder. Programs that call `cli.api` set that logger up as any other.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

LOG = logging.getLogger("scoresmith")


class LinesOnStandardError(logging.Handler):
    """A line for each message, ``scoresmith: ...``, without tearing a bar apart."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write it to what is standard error now."""
        warning = "warning: " if record.levelno == logging.WARNING else ""
        lines = [f"scoresmith: {warning}{record.getMessage()}"]
        if record.exc_info:
            lines += traceback.format_exception(*record.exc_info)
        with suppress(OSError):  # nobody is there to read it
            tqdm.write("\n".join(lines).rstrip(), file=sys.stderr)


HANDLER = LinesOnStandardError()


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """How much a command says."""
    how_much = parser.add_argument_group("output").add_mutually_exclusive_group()
    how_much.add_argument(
        "--quiet", action="store_true", help="no bars and no notes: only results, warnings and errors"
    )
    how_much.add_argument("--verbose", action="store_true", help="how long things take, and where an error came from")


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """For commands that call `tell`."""
    parser.add_argument("--json", action="store_true", help="print the result as one JSON document, for scripts")


@contextmanager
def output_as_asked(options: argparse.Namespace) -> Iterator[None]:
    """Set up the log; with ``--json`` nothing but `tell` reaches standard output."""
    level = logging.WARNING if options.quiet else logging.DEBUG if options.verbose else logging.INFO
    before, in_full = LOG.level, warnings.formatwarning

    def in_one_line(message: Warning | str, category: type[Warning], *place: Any, **line: Any) -> str:
        """Without the line of the program, which says nothing to who uses it; deprecations are for others to read."""
        return (
            f"scoresmith: warning: {message}\n"
            if category is UserWarning
            else in_full(message, category, *place, **line)
        )

    warnings.formatwarning = in_one_line
    LOG.setLevel(level)
    LOG.addHandler(HANDLER)  # once, however often it is called
    options.standard_output = sys.stdout
    try:
        if getattr(options, "json", False):
            with redirect_stdout(sys.stderr):
                yield
        else:
            yield
    finally:
        warnings.formatwarning = in_full
        LOG.setLevel(before)
        LOG.removeHandler(HANDLER)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Says, to those who want to hear much, how long the block took."""
    began = time.monotonic()
    yield
    LOG.debug("%s: %.1f s", what, time.monotonic() - began)


def tell(options: argparse.Namespace, document: Mapping[str, Any]) -> None:
    """The result for scripts: one line of JSON on standard output if ``--json`` asks for it, else nothing.

    Numbers that JSON has no word for are null, paths are text.
    """
    if getattr(options, "json", False):
        print(
            json.dumps(plain(document), ensure_ascii=False, allow_nan=False), file=options.standard_output, flush=True
        )


def plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def bar(**how: Any) -> tqdm:
    """A bar of progress on standard error; none if the log is quiet. Arguments as of `tqdm.tqdm`."""
    shown = {"dynamic_ncols": True, "mininterval": 0.5} | how
    shown["disable"] = bool(how.get("disable")) or LOG.level >= logging.WARNING
    return tqdm(**shown)
