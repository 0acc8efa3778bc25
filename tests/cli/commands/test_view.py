"""`scoresmith view` from the outside."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import trimesh

from cli.errors import UserError
from cli.main import main
from cli.viewer.pages import lookup_for
from cli.viewer.server import Lookup
from representations.assets.reading import MeshFileError
from tests.cli.viewer.folders import run_folder, student_folder


def test_view_serves_until_it_is_stopped(tmp_path: Path):
    run_folder(tmp_path / "run")
    command = [sys.executable, "-m", "cli.main", "view", str(tmp_path / "run"), "--no-browser", "--port", "0"]
    # A shell lets what it starts in the background ignore Ctrl-C, this test with it; its process shall not.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        address = re.match(r"(http://127\.0\.0\.1:\d+/)  \(Ctrl-C ends\)$", process.stdout.readline().strip())
        assert address is not None, process.stderr.read() if process.stderr else ""
        with urllib.request.urlopen(address[1], timeout=30) as response:
            page = response.read().decode()
        assert "<h1>a red ball</h1>" in page
        assert '"address":"mesh.glb"' in page
        with urllib.request.urlopen(f"{address[1]}mesh.glb", timeout=30) as response:
            assert response.read() == (tmp_path / "run" / "mesh.glb").read_bytes()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    assert errors == ""


def page_of(lookup: Lookup) -> str:
    resource = lookup("/")
    assert resource is not None
    assert isinstance(resource.content, bytes)
    return resource.content.decode()


def test_a_run_shows_what_has_happened_since(tmp_path: Path):
    folder = run_folder(tmp_path / "run", finished=False)
    lookup = lookup_for(folder.path)
    assert lookup("/mesh.glb") is None
    assert "has not finished" in page_of(lookup)
    done = run_folder(tmp_path / "done")
    for path in done.path.iterdir():
        (folder.path / path.name).write_bytes(path.read_bytes())
    assert "has not finished" not in page_of(lookup)
    assert lookup("/mesh.glb") is not None
    assert lookup("/checkpoint.pt") is None
    assert lookup("/../done/mesh.glb") is None


def test_a_student_is_shown(tmp_path: Path):
    assert "Distilled by dmd" in page_of(lookup_for(student_folder(tmp_path / "student")))


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply", ".stl", ".off"])
def test_files_of_all_kinds_are_shown_as_glb(tmp_path: Path, suffix: str):
    path = tmp_path / f"box{suffix}"
    trimesh.creation.box((1, 2, 3)).export(path)
    lookup = lookup_for(path)
    model = lookup("/model.glb")
    assert model is not None
    assert isinstance(model.content, bytes)
    (tmp_path / "again.glb").write_bytes(model.content)
    shown = trimesh.load(tmp_path / "again.glb", force="mesh")
    scale = 1000 if suffix == ".stl" else 1  # millimetres
    assert sorted(np.ptp(shown.vertices, axis=0) * scale) == pytest.approx([1, 2, 3], rel=1e-5)
    page = page_of(lookup)
    assert f"<h1>box{suffix}</h1>" in page
    assert "<dt>Faces</dt><dd>12</dd>" in page
    assert lookup(f"/box{suffix}") is None


def test_glb_files_are_shown_as_they_are_unless_they_ask_for_others(tmp_path: Path):
    alone, asking = tmp_path / "alone.glb", tmp_path / "asking.glb"
    trimesh.creation.box().export(alone)
    box = trimesh.creation.box()
    box.metadata["uri"] = "elsewhere.png"
    box.export(asking)
    assert b'"uri"' in asking.read_bytes()
    models = [lookup_for(path)("/model.glb") for path in (alone, asking)]
    assert models[0] is not None
    assert models[0].content == alone.read_bytes()
    assert models[1] is not None
    assert isinstance(models[1].content, bytes)
    assert b'"uri"' not in models[1].content


@pytest.mark.parametrize(
    "damage", ["nothing", "text", "cut", "not finite", "empty folder", "foreign run", "broken run"]
)
def test_what_cannot_be_shown_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str):
    path = tmp_path / "thing.glb"
    if damage == "text":
        path.write_text("a poem")
    elif damage == "cut":
        trimesh.creation.box().export(path)
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "not finite":
        path = tmp_path / "thing.obj"
        path.write_text("v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    elif damage != "nothing":
        path = tmp_path / "folder"
        path.mkdir()
        content = {"foreign run": "{}", "broken run": '{"prompt": "a cup", "recipe": 3, "seconds": []}'}.get(damage)
        if content:
            (path / "run.json").write_text(content)
    assert main(["view", str(path), "--no-browser"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("scoresmith: ")
    assert str(path) in lines[0]


def test_a_port_that_is_not_one_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run_folder(tmp_path / "run")
    assert main(["view", str(tmp_path / "run"), "--no-browser", "--port", "70000"]) == 2
    assert "--port" in capsys.readouterr().err


def test_errors_are_of_the_kinds_that_are_reported(tmp_path: Path):
    with pytest.raises(UserError, match="there is no"):
        lookup_for(tmp_path / "nowhere")
    (tmp_path / "a.stl").write_text("")
    with pytest.raises(MeshFileError, match="empty"):
        lookup_for(tmp_path / "a.stl")
    os.mkdir(tmp_path / "empty")
    with pytest.raises(UserError, match="holds no run and no student"):
        lookup_for(tmp_path / "empty")
