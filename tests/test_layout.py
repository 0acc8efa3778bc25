"""Imports point downwards only: which room, and which wing of a room, may know of which; and nobody in a circle."""

import ast
import runpy
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ADDON = ROOT / "cli" / "blender" / "addon"
"""A package of its own, for Blender's Python; tests/cli/blender looks at what it imports."""
ROOMS = ("sds", "representations", "students", "cli")
SHARED = {room: tuple(f"{room}.{path.stem}" for path in (ROOT / room).glob("[a-z]*.py")) for room in ROOMS}
"""The files directly inside a room, which its wings share."""

MAY_IMPORT = {
    "sds": ("sds",),
    "representations": ("representations",),
    "students": ("students", "sds"),
    "cli": ROOMS,
    "representations/geometry": ("representations.geometry", "representations.compilation", "representations.threads"),
    "students/features": ("sds", "students.features", "students.training.batches", *SHARED["students"]),
    "students/methods": ("sds", "students.methods", "students.features", "students.training", *SHARED["students"]),
} | {
    f"representations/{wing}": (f"representations.{wing}", "representations.geometry", *SHARED["representations"])
    for wing in ("fields", "surfaces", "images", "gaussians", "assets")
}


@cache
def imported(path: Path) -> set[str]:
    """The modules of this project that a file imports, wherever in it and for whatever reason."""
    if path.parent == ADDON:
        return set()
    return {name for name in modules_in(ast.parse(path.read_text(encoding="utf-8"))) if name.split(".")[0] in ROOMS}


def modules_in(program: ast.Module) -> set[str]:
    """Whatever a program imports."""
    names = set()
    for node in ast.walk(program):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import is relative"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("folder", sorted(MAY_IMPORT))
def test_arrows_point_downwards(folder: str):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for file in files:
        for name in imported(file):
            assert any(f"{name}.".startswith(f"{may}.") for may in MAY_IMPORT[folder]), f"{file} imports {name}"


def test_what_all_wings_share_knows_of_geometry_only():
    for file in (ROOT / "representations").glob("*.py"):
        for name in imported(file):
            assert name.startswith(("representations.geometry.", *SHARED["representations"])), f"{file} imports {name}"


def test_no_file_imports_itself_in_a_circle():
    files = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts): file
        for room in ROOMS
        for file in (ROOT / room).rglob("*.py")
    }
    known = {module: imported(file) for module, file in files.items()}  # each is parsed once
    knows = {
        module: {name for name in files if any(f"{one}.".startswith(f"{name}.") for one in ones)}
        for module, ones in known.items()
    }
    assert len(list(TopologicalSorter(knows).static_order())) == len(files)


def test_what_may_stand_at_the_top():
    """The user asked for these folders; a package of a wheel is inside of `scoresmith` (setup.py)."""
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders == {*ROOMS, "tests"}
    assert [path.name for path in ROOT.glob("*.py")] == ["setup.py"]


def test_no_import_in_a_wheel_needs_a_room_at_the_top():
    inside_the_package = runpy.run_path(str(ROOT / "setup.py"))["inside_the_package"]
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            if file.parent == ADDON:
                continue
            inside = ast.parse(inside_the_package(file.read_text(encoding="utf-8")))
            assert not {name for name in modules_in(inside) if name.split(".")[0] in ROOMS}, file
