"""`scoresmith export`: a run's object or any mesh, as the file that a program wants."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cli import numbers
from cli.output import LOG, add_json_option, tell, timed

if TYPE_CHECKING:
    from representations.assets.asset import Asset
    from representations.assets.writing import Convention

FORMATS = ("glb", "obj", "ply", "stl", "usdz")

SUMMARY = "write a run's object, or any mesh, in another format"
DESCRIPTION = """Writes the object of a run, or a mesh file of any origin (glb, gltf, obj, ply, stl, off), as a file
that an artist's program, a game engine or a printer wants. It is checked first, and every repair is reported.

glb   metres, +Y up by definition; texture, normal map, material
obj   with .mtl and images beside it
ply   colours at the vertices; +Y up, where Blender takes +Z for up: --up z for it
stl   shape only; millimetres and +Z up unless you say otherwise, since that is what printing programs take it for
usdz  for Apple's and Pixar's programs; needs `pip install usd-core`

The front of a run's object looks towards +Z (-Y where +Z is up), and it stands on the origin."""
EXAMPLES = """examples:
  scoresmith export outputs/armchair --format usdz
  scoresmith export outputs/armchair --format stl --watertight --out armchair.stl
  scoresmith export outputs/armchair --texture 2048 --faces 20000 --out armchair.glb
  scoresmith export scan.ply --format glb --faces 8000 --texture 2048        a normal map keeps the details
  scoresmith export chair.glb --format obj --units cm --up z
  scoresmith export outputs/armchair --format glb --lods 3                    mesh_LOD1.glb ... for game engines"""

SMALLEST_TEXTURE, LARGEST_TEXTURE = 16, 8192
SLOW_TEXTURE = 2048


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("source", type=Path, metavar="RUN-OR-MESH", help="the folder of a run, or a mesh file")
    parser.add_argument("--format", choices=FORMATS, help="default: as --out is named, else glb")
    parser.add_argument("--faces", type=numbers.whole(100, 10**8), metavar="N", help="simplify to about N triangles")
    parser.add_argument(
        "--texture",
        type=numbers.whole(0, LARGEST_TEXTURE),
        metavar="N",
        help="paint a texture and a normal map of N x N texels; 0: colours at the vertices "
        "(default: 1024 for a run; a mesh file's own)",
    )
    parser.add_argument("--size", type=numbers.number(1e-6, 1e6), metavar="METRES", help="length of the longest side")
    parser.add_argument("--units", choices=("m", "cm", "mm"), help="of the file's numbers (default: m; mm for stl)")
    parser.add_argument("--up", choices=("y", "z"), help="axis to the sky (default: y; z for stl)")
    parser.add_argument("--watertight", action="store_true", help="close all holes, or say that it cannot be done")
    parser.add_argument(
        "--quads",
        action="store_true",
        help="build the surface of even quadrilaterals, easy to edit; needs `pip install pynanoinstantmeshes`",
    )
    parser.add_argument(
        "--lods",
        type=numbers.whole(1, 8),
        default=0,
        metavar="N",
        help="beside the file, up to N coarser ones for game engines, each with half the faces and texels of the one "
        "before it: chair_LOD1.glb ...",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="default: mesh.<format> in a run, else beside the mesh"
    )
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Export; returns the exit code."""
    from cli.errors import UserError
    from representations.assets.writing import losses, write_asset
    from representations.geometry.mesh import faces_inwards, standing

    path = checked_target(options)
    convention = convention_for(options, path)
    if options.texture and options.texture >= SLOW_TEXTURE:
        LOG.info("painting %d x %d texels, which takes a while", options.texture, options.texture)
    with timed("reading, mending and painting"):
        asset, notes = asset_of_run(options, path) if options.source.is_dir() else asset_of_file(options)
    if options.size is not None:
        asset = replace(asset, mesh=standing(asset.mesh, options.size))
    if options.watertight and not asset.mesh.is_watertight:
        raise UserError(f"{options.source} could not be made watertight; nothing was written")
    notes = [*notes, *losses(asset, path, convention)]
    if not asset.mesh.is_watertight:
        notes.append("the mesh is not watertight (--watertight closes it)")
    of_others = not options.source.is_dir()
    if of_others and faces_inwards(asset.mesh):
        notes.append("its front is inside all over, as that of a room: left as it is")
    for note in notes:
        LOG.info("note: %s", note)
    levels = levels_of(asset, path, options.lods)
    written = write_asset(asset, path, convention, may_face_inwards=of_others)
    for file, level in levels.items():
        written += write_asset(level, file, convention, may_face_inwards=of_others)
    for file in written:
        print(file)
    tell(options, {"files": written, "notes": notes, "watertight": asset.mesh.is_watertight})
    return 0


def levels_of(asset: Asset, path: Path, count: int) -> dict[Path, Asset]:
    """The coarser ones of an asset, by the files beside its own; says so if there are fewer than ``count``."""
    from representations.assets.finishing import coarser_levels

    levels = coarser_levels(asset, count)
    for level in levels:
        LOG.info("note: a level of detail has %d faces", len(level.mesh.faces))
    if len(levels) < count:
        LOG.warning("%d of %d levels of detail: the mesh cannot be simplified any further", len(levels), count)
    return {path.with_stem(f"{path.stem}_LOD{number}"): level for number, level in enumerate(levels, 1)}


def checked_target(options: argparse.Namespace) -> Path:
    """The file to write. Raises UserError for options that make no sense, before any work is done."""
    from cli.errors import UserError

    if options.texture and not SMALLEST_TEXTURE <= options.texture <= LARGEST_TEXTURE:
        raise UserError(f"--texture must be 0 or {SMALLEST_TEXTURE} to {LARGEST_TEXTURE}, not {options.texture}")
    if not options.source.exists():
        raise UserError(f"{options.source} does not exist; give the folder of a run or a mesh file")
    suffix = f".{options.format}" if options.format else (options.out.suffix.lower() if options.out else ".glb")
    if suffix.removeprefix(".") not in FORMATS:
        raise UserError(f"--out {options.out} must end in one of .{', .'.join(FORMATS)}")
    inside = options.source.is_dir()
    path: Path = options.out or (options.source / f"mesh{suffix}" if inside else options.source.with_suffix(suffix))
    if path.suffix.lower() != suffix:
        raise UserError(f"--out {path} does not end in {suffix}")
    if not path.parent.is_dir():
        raise UserError(f"the folder {path.parent} does not exist")
    if not inside and path.exists() and path.samefile(options.source):
        raise UserError(f"{path} would be overwritten by itself; give another --out")
    return path


def convention_for(options: argparse.Namespace, path: Path) -> Convention:
    """Units and axes of the file. Raises UserError for a GLB that is not as glTF demands."""
    from cli.errors import UserError
    from representations.assets.writing import Convention, convention_of

    usual = convention_of(path.suffix)
    convention = Convention(options.units or usual.units, options.up or usual.up)
    if path.suffix.lower() == ".glb" and convention != usual:
        raise UserError("GLB is in metres with +Y up by definition; --units and --up are for obj, ply, stl and usdz")
    return convention


def asset_of_run(options: argparse.Namespace, path: Path) -> tuple[Asset, list[str]]:
    """A run's object in metres, as it was asked for; and what was done to it."""
    from cli.api import open_run, texture_for

    texture = texture_for(path, options.texture)
    return open_run(options.source).mended(options.faces, texture, options.watertight, options.quads)


def asset_of_file(options: argparse.Namespace) -> tuple[Asset, list[str]]:
    """A mesh file's content as it was asked for, and what was done to it."""
    from representations.assets.finishing import prepared
    from representations.assets.reading import read_mesh_file

    file = read_mesh_file(options.source)
    asset, notes = prepared(file.asset, options.faces, options.texture, options.watertight, options.quads)
    return asset, file.notes + notes
