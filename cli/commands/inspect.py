"""`scoresmith inspect`: what is right and wrong with a mesh file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from representations.assets.reading import MeshFile

SUMMARY = "what is right and wrong with a mesh file"
DESCRIPTION = """Reads a mesh file (glb, gltf, obj, ply, stl, off) and prints what matters to somebody who is about to
use it: size, holes, winding, degenerate faces, texture coordinates, textures. Lines that begin with ! are faults.

The exit code is 0 if the mesh is sound, 1 if it has faults, 2 if the file cannot be read. `scoresmith export` repairs
what can be repaired."""
EXAMPLES = """examples:
  scoresmith inspect outputs/armchair/mesh.glb
  scoresmith inspect scan.stl --watertight        holes count as faults too"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="mesh files")
    parser.add_argument("--watertight", action="store_true", help="a mesh that is not watertight has a fault")


def run(options: argparse.Namespace) -> int:
    """Inspect each file; returns the exit code."""
    from representations.assets.reading import read_mesh_file

    sound = True
    for path in options.files:
        file = read_mesh_file(path)
        lines, faults = report(file, options.watertight)
        print(f"{path}: {path.suffix[1:].upper()}, {size_in_words(file.bytes)}")
        print("\n".join(lines))
        sound &= not faults
    return 0 if sound else 1


def report(file: MeshFile, must_be_watertight: bool) -> tuple[list[str], list[str]]:
    """The lines of the table, and the names of the faults."""
    from representations.assets.inspection import inspect_asset

    lines, faults = [], []
    for finding in inspect_asset(file.asset):
        fault = finding.fault or (must_be_watertight and finding.name == "watertight" and finding.value != "yes")
        faults += [finding.name] if fault else []
        lines.append(f"{'!' if fault else ' '} {finding.name:18}{finding.value}")
    lines += [f"  {'note':18}{note}" for note in file.notes]
    lines.append(f"  {'verdict':18}{'sound' if not faults else 'faults: ' + ', '.join(faults)}")
    return lines, faults


def size_in_words(count: int) -> str:
    """Bytes for people."""
    return f"{count / 2**20:.1f} MB" if count >= 2**20 else f"{count / 2**10:.1f} kB"
