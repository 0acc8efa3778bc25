"""`scoresmith blender-addon`: scoresmith in Blender's sidebar."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "write the add-on for Blender, as one zip"
DESCRIPTION = """Writes a zip for Blender 4.2 and newer: Edit > Preferences > Get Extensions > Install from Disk.

The sidebar of the 3D view (N) then has a tab Scoresmith: a prompt becomes an object that refines while you watch, or
new colours for the selected mesh. It runs the scoresmith of this environment, in a process of its own."""
EXAMPLES = """examples:
  scoresmith blender-addon
  scoresmith blender-addon --out ~/Downloads/scoresmith.zip"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("scoresmith-blender.zip"),
        metavar="FILE",
        help="the zip to write (default: scoresmith-blender.zip)",
    )


def run(options: argparse.Namespace) -> int:
    """Write the zip; returns the exit code."""
    from cli.blender.packing import pack_addon

    print(pack_addon(options.out))
    return 0
