"""`scoresmith view`: a run, a folder of runs or a model in the browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from cli.commands.page_options import add_page_options, serve

SUMMARY = "look at a run, a folder of runs or a model in the browser"
DESCRIPTION = """Opens a page with the model to turn: its colours, lit, as wireframe, its normals, its size in metres.

For a run it also shows the views beside what the teacher would draw, the curves, the prompt and the recipe; for a
distilled student its samples and curves; for a folder of runs a gallery to search, sort and open them.

The page is at 127.0.0.1 only, needs no network, and ends with Ctrl-C. Every run has the same page as a file of its own,
report.html."""
EXAMPLES = """examples:
  scoresmith view outputs/armchair
  scoresmith view outputs                                         all runs below a folder
  scoresmith view chair.obj
  scoresmith view outputs/armchair --port 8000 --no-browser       for example, to tunnel it to another machine"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "path", type=Path, metavar="FOLDER-OR-FILE", help="a run, a folder of runs, or a file with a model"
    )
    add_page_options(parser)


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C; returns the exit code."""
    from cli.viewer.pages import lookup_for
    from cli.viewer.server import PageServer

    with PageServer(lookup_for(options.path), options.port) as server:
        serve(server, options)
    return 0
