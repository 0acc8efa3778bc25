"""`scoresmith export`: a run's mesh in another format."""

from __future__ import annotations

import argparse
from pathlib import Path

FORMATS = ("glb", "obj", "ply", "stl")

SUMMARY = "write a run's mesh in another format"
DESCRIPTION = """Traces the surface of a run's radiance field again and writes it.

Meshes are in metres, +Y up, front towards +Z, standing on the floor. GLB, OBJ and PLY have vertex colours."""
EXAMPLES = """examples:
  scoresmith export outputs/armchair --format obj
  scoresmith export outputs/armchair --format stl --faces 20000 --out armchair.stl"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("run_folder", type=Path, metavar="DIR", help="the folder of a run")
    parser.add_argument("--format", choices=FORMATS, default="glb", help="default: glb")
    parser.add_argument("--faces", type=int, metavar="N", help="simplify to about N triangles")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: mesh.<format> in DIR")


def run(options: argparse.Namespace) -> int:
    """Export; returns the exit code."""
    import torch

    from cli.errors import UserError
    from cli.judging import judge_for
    from cli.loading import load_object
    from cli.results import delivered, finished
    from cli.run_folder import RunFolder
    from representations.export import write_asset

    if options.faces is not None and options.faces < 100:
        raise UserError(f"--faces must be at least 100, not {options.faces}")
    folder = RunFolder(options.run_folder)
    path = options.out or folder.mesh.with_suffix(f".{options.format}")
    if path.suffix.lower() != f".{options.format}":
        raise UserError(f"--out {path} does not end in .{options.format}")
    loaded = load_object(folder, torch.device("cpu"))
    judge = judge_for(loaded.request)
    for written in write_asset(delivered(finished(loaded.solid, options.faces), loaded.request, judge), path):
        print(written)
    return 0
