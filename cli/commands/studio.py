"""`scoresmith studio`: a page on which objects are ordered, seen as they form, and found again."""

from __future__ import annotations

import argparse
from pathlib import Path

from cli.commands.page_options import add_page_options, serve

SUMMARY = "make objects on a page in the browser"
DESCRIPTION = """Opens a page with a prompt box: what you order is made one after the other, forms before your eyes, and
stays in the gallery below, where each object can be turned, judged, and taken away in every format.

The page is at 127.0.0.1 only and needs no network. Ctrl-C ends it; a run that is interrupted is continued by
`scoresmith generate --resume`."""
EXAMPLES = """examples:
  scoresmith studio
  scoresmith studio --out chairs --port 8000 --no-browser
  scoresmith studio --teacher /models/my-diffusers-folder"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "--out", type=Path, default=Path("outputs"), metavar="DIR", help="the folder of all runs (default: outputs)"
    )
    parser.add_argument(
        "--teacher", default="embedded", metavar="NAME", help="as of `scoresmith generate` (default: embedded)"
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: cuda if there is one"
    )
    add_page_options(parser)


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C; returns the exit code."""
    from cli.scenes.workers import Workplace
    from cli.studio.server import Studio, checked_root
    from cli.studio.workshop import Workshop
    from cli.teachers import choose_device
    from cli.viewer.server import PageServer

    root = checked_root(options.out)
    workplace = Workplace(options.teacher, choose_device(options.device).type, overwrite=False)
    with Workshop(workplace) as workshop:
        studio = Studio(root, options.teacher, workshop)
        with PageServer(studio.lookup, options.port, studio.act) as server:
            serve(server, options)
    return 0
