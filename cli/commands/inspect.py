"""`scoresmith inspect`: what is right and wrong with a mesh file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cli.output import add_json_option, tell

if TYPE_CHECKING:
    from representations.assets.inspection import Finding
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
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Inspect each file; returns the exit code."""
    from representations.assets.reading import read_mesh_file

    reports = []
    for path in options.files:
        file = read_mesh_file(path)
        findings = findings_of(file, options.watertight)
        print(f"{path}: {path.suffix[1:].upper()}, {size_in_words(file.bytes)}")
        print("\n".join(lines_of(findings, file.notes)))
        reports.append(
            {
                "file": path,
                "bytes": file.bytes,
                "findings": [asdict(finding) for finding in findings],
                "notes": file.notes,
                "sound": not any(finding.fault for finding in findings),
            }
        )
    tell(options, {"inspected": reports})
    return 0 if all(report["sound"] for report in reports) else 1


def findings_of(file: MeshFile, must_be_watertight: bool) -> list[Finding]:
    """What was found, with holes as faults if the mesh must be watertight."""
    from representations.assets.inspection import inspect_asset

    return [
        replace(one, fault=True) if must_be_watertight and one.name == "watertight" and one.value != "yes" else one
        for one in inspect_asset(file.asset)
    ]


def lines_of(findings: Sequence[Finding], notes: Sequence[str]) -> list[str]:
    """The lines of the table, the verdict last."""
    lines = [f"{'!' if one.fault else ' '} {one.name:18}{one.value}" for one in findings]
    lines += [f"  {'note':18}{note}" for note in notes]
    faults = [one.name for one in findings if one.fault]
    return [*lines, f"  {'verdict':18}{'sound' if not faults else 'faults: ' + ', '.join(faults)}"]


def size_in_words(count: int) -> str:
    """Bytes for people."""
    return f"{count / 2**20:.1f} MB" if count >= 2**20 else f"{count / 2**10:.1f} kB"
