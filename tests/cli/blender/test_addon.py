"""The add-on as far as it does without Blender: the zip, and following a run. Blender itself: tests/external."""

import ast
import importlib.util
import json
import shlex
import sys
import time
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.blender.packing import ADDON, own_command, pack_addon
from cli.main import main

COMMAND = shlex.join([sys.executable, str(Path(__file__).with_name("pretend_command.py"))])


@pytest.fixture
def making() -> Any:
    """The module of the add-on that knows no Blender."""
    spec = importlib.util.spec_from_file_location("addon_making", ADDON / "making.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ASKED_EVERY = 0.02
    return module


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_zip_is_what_blender_installs(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "addon.zip"
    assert main(["blender-addon", "--out", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    archive = zipfile.ZipFile(path)
    assert sorted(archive.namelist()) == [
        *("__init__.py", "blender_manifest.toml", "command.json", "making.py", "objects.py")
    ]
    manifest = tomllib.loads(archive.read("blender_manifest.toml").decode())
    assert (manifest["schema_version"], manifest["id"], manifest["type"]) == ("1.0.0", "scoresmith", "add-on")
    assert manifest["blender_version_min"] == "4.2.0"
    assert all(len(reason) <= 64 and reason[-1].isalnum() for reason in manifest["permissions"].values())
    assert shlex.split(json.loads(archive.read("command.json"))) == own_command()
    assert pack_addon(tmp_path / "again.zip").read_bytes() == path.read_bytes()


def test_a_zip_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for out, reason in (("addon.tar", "must end in .zip"), ("nowhere/addon.zip", "does not exist")):
        assert main(["blender-addon", "--out", str(tmp_path / out)]) == 2
        assert reason in capsys.readouterr().err


def test_nothing_of_ours_is_needed_inside_blender():
    allowed = {*sys.stdlib_module_names, "bpy"}
    for file in ADDON.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, file
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                assert str(node.module).split(".")[0] in allowed, file


def test_a_run_is_followed_to_its_end(making: Any, tmp_path: Path):
    run = making.Making(COMMAND, "a cup -- of tea", tmp_path / "run", ["--seed=3"])
    wait_for(lambda: run.surface)
    assert run.surface.read_bytes() == b"glTF now"
    wait_for(lambda: run.is_over)
    assert (run.progress, run.sentence, run.error) == (0.25, "Step 1 of 4", "")
    assert run.mesh.read_bytes() == b"glTF in the end"
    told, prompt = (tmp_path / "run" / "told.txt").read_text().split("|")
    assert told == f"generate --live --out={tmp_path / 'run'} --seed=3"
    assert prompt == "a cup -- of tea"


def test_errors_are_told_in_the_commands_own_words(making: Any, tmp_path: Path):
    run = making.Making(COMMAND, "it fails", tmp_path / "run")
    wait_for(lambda: run.is_over)
    assert (run.mesh, run.error) == (None, "the prompt names nothing")
    with pytest.raises(OSError, match="no-such-command"):
        making.Making("/no-such-command", "a cup", tmp_path / "run")
    with pytest.raises(ValueError, match="no command"):
        making.Making("", "a cup", tmp_path / "run")


def test_a_run_can_be_stopped(making: Any, tmp_path: Path):
    run = making.Making(COMMAND, "endless", tmp_path / "run")
    wait_for(lambda: run.surface)
    run.stop()
    wait_for(lambda: run.is_over)
    assert (run.mesh, run.error) == (None, "")
