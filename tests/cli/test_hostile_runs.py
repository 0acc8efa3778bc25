"""Whatever the files of a run say: its page is drawn or refused in one line, and nothing outside is read or asked."""

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cli.errors import UserError
from cli.main import main
from cli.scenes.request import Request
from cli.scenes.run_folder import RunFolder
from cli.viewer.page import html_of
from cli.viewer.pages import lookup_for
from cli.viewer.run_page import run_page
from tests.cli.viewer import folders
from tests.hostile_values import places, replaced

DEEP = "[" * 100_000
HOSTILE = [
    None, True, -1, 0, 2**64, 10**400, -(10**18), 1e300, float("nan"), float("inf"), "", "a", "x" * 100_000, "\ud800",
    "\x00", "<script>alert(1)</script>", [], [[]], {}, {"start": "a", "end": []}, {"start": 1, "end": 2, "begin": "x"},
    [None], ["a", 3], {"": {"": {}}},
]  # fmt: skip


def shown_or_refused(read: Callable[[], object]) -> None:
    """Something is shown, or a UserError of one line says why nothing is."""
    refusal = ""
    try:
        shown = read()
    except UserError as error:
        shown = refusal = str(error)
    assert shown
    assert "\n" not in refusal


@cache
def template() -> Path:
    """A run and a student, made once and copied for every test."""
    root = Path(tempfile.mkdtemp(prefix="scoresmith-tests-"))
    atexit.register(shutil.rmtree, root)
    folders.run_folder(root / "run")
    folders.student_folder(root / "student")
    return root


def run_folder(path: Path) -> RunFolder:
    shutil.copytree(template() / "run", path)
    return RunFolder(path)


def student_folder(path: Path) -> Path:
    shutil.copytree(template() / "student", path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_folder(tmp_path_factory.mktemp("hostile") / "run")


@pytest.mark.parametrize("name", ["run.json", "metrics.json"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_value_in_a_json_file_of_a_run_is_a_crash(name: str, data: st.DataObject, folder: RunFolder):
    path = folder.path / name
    whole = path.read_text()
    content = json.loads(whole)
    changed = content
    for _ in range(data.draw(st.integers(1, 3))):
        changed = replaced(content, data.draw(st.sampled_from(places(content))), data.draw(st.sampled_from(HOSTILE)))
    try:
        path.write_text(json.dumps(changed))
        shown_or_refused(lambda: html_of(run_page(folder, None)).encode())
        shown_or_refused(folder.read_request)
    finally:
        path.write_text(whole)


FILES = ["run.json", "metrics.json", "curves.csv", "preview.png", "turntable.gif", "mesh.glb"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_damage_to_a_file_of_a_run_is_a_crash(data: st.DataObject, folder: RunFolder):
    path = folder.path / data.draw(st.sampled_from(FILES))
    whole = path.read_bytes()
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, min(len(content) - 1, 400)))] = data.draw(st.integers(0, 255))
    lookup = lookup_for(folder.path)
    try:
        path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2, 1]))])
        shown_or_refused(lambda: lookup("/"))
        shown_or_refused(lambda: lookup_for(folder.path)("/"))
        shown_or_refused(folder.read_request)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["empty", "garbage", "deep", "folder", "pipe", "link", "lost link", "circle"])
def test_no_kind_of_file_is_a_crash_or_followed(name: str, kind: str, tmp_path: Path):
    folder = run_folder(tmp_path / "run")
    secret = tmp_path / "secret"
    secret.write_bytes(b"SECRET of another folder")
    path = folder.path / name
    path.unlink()
    {
        "empty": lambda: path.write_bytes(b""),
        "garbage": lambda: path.write_bytes(bytes(range(256)) * 50),
        "deep": lambda: path.write_text(DEEP),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to(secret),
        "lost link": lambda: path.symlink_to(tmp_path / "nowhere"),
        "circle": lambda: path.symlink_to(path),
    }[kind]()

    def shown() -> object:
        lookup = lookup_for(folder.path)
        for address in ("/", f"/{name}"):
            answer = lookup(address)
            content = b"" if answer is None else answer.content
            assert "link" not in kind or (isinstance(content, bytes) and b"SECRET" not in content) or address == "/"
        return lookup("/")

    shown_or_refused(shown)
    shown_or_refused(folder.read_request)
    shown_or_refused(lambda: folder.read_checkpoint() or "none yet")


@pytest.mark.parametrize(
    "line",
    [
        "9" * 5000 + ",nerf,1,1,1,,",
        f"{10**300},nerf,1,1,1,,",
        "50,nerf,1e308,-1e308,1,,",
        "50,nerf,nan,inf,1,,",
        "-5,nerf,1,1,1,,",
        "50,nerf,1,1,1,,7",
        "50," + "x" * 200_000 + ",1,1,1,,",
        "50,nerf,1,1,1,,,,,,,,,",
        "50",
        '"',
        "\x00",
        "50,<script>,1,1,1,,",
    ],
)
def test_no_line_of_the_curves_is_a_crash(line: str, tmp_path: Path):
    folder = run_folder(tmp_path / "run")
    folder.curves.write_text(folder.curves.read_text() + line + "\n" + line + "\n")
    assert "<script>," not in html_of(run_page(folder, None))


def test_a_sheet_is_a_png_and_nothing_else(tmp_path: Path):
    folder = run_folder(tmp_path / "run")
    assert "What the teacher would draw" in html_of(run_page(folder, "mesh.glb"))
    for kind in ("EPS", "TIFF", "BMP"):
        Image.new("RGB", (320, 80)).save(folder.preview, format=kind)
        assert "What the teacher would draw" not in html_of(run_page(folder, "mesh.glb"))
    Image.new("RGB", (3, 2)).save(folder.preview)
    assert "What the teacher would draw" not in html_of(run_page(folder, "mesh.glb"))


@pytest.mark.parametrize("command", [["generate", "--resume"], ["export"], ["evaluate"]])
def test_a_teacher_that_a_file_names_is_never_fetched(command: list[str], tmp_path: Path, monkeypatch, capsys):
    """Only the user may ask for a download, by --teacher."""

    def fetched(*arguments: object, **options: object) -> None:
        raise AssertionError("the network was asked")

    for name in ("hf_hub_download", "HfApi"):
        monkeypatch.setattr(f"sds.teachers.hub.{name}", fetched)
    folder = run_folder(tmp_path / "run")
    content = json.loads(folder.configuration.read_text())
    for teacher in (
        "owner/name",
        "//host/share/teacher",
        "http://example.org:80",
        "http://127.0.0.1:80@example.org:80",
    ):
        content["request"]["teacher"] = teacher
        folder.configuration.write_text(json.dumps(content))
        assert main([*command, str(folder.path)]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


WRONG_REQUESTS = [
    {"seed": 2**64}, {"seed": -1}, {"seed": 0.5}, {"guidance_scale": 1e300}, {"guidance_scale": -1}, {"steps": 10**12},
    {"method": "magic"}, {"method": ["sds"]}, {"stages": []}, {"stages": "nerf"}, {"stages": ["nerf", "nerf"]},
    {"encoding": "none"}, {"preset": 3}, {"prompt": ""}, {"prompt": "a\x00b"}, {"prompt": "x" * 5000}, {"more": 1},
    {"placement": {"centre": [0, 0], "scale": 1.0}}, {"placement": {"centre": [0, 0, 0], "scale": 0.0}},
    {"placement": {"centre": [0, 0, 0], "scale": "big"}}, {"teacher": None}, {"init": 7}, {"retexture": "yes"},
]  # fmt: skip


@pytest.mark.parametrize("change", WRONG_REQUESTS)
def test_a_request_is_what_the_command_could_have_asked_for(change: dict[str, Any], tmp_path: Path, capsys):
    folder = run_folder(tmp_path / "run")
    content = json.loads(folder.configuration.read_text())
    assert isinstance(folder.read_request(), Request)
    content["request"] |= change
    folder.configuration.write_text(json.dumps(content))
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    assert main(["generate", "--resume", str(folder.path)]) == 2
    assert "run.json" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before


def test_overwrite_spares_what_another_program_wrote(tmp_path: Path, capsys):
    (tmp_path / "run.json").write_text(json.dumps({"name": "my experiment"}))
    (tmp_path / "preview.png").write_bytes(b"mine")
    command = [
        "generate",
        "a chair",
        "--out",
        str(tmp_path),
        "--overwrite",
        "--representation",
        "pixels",
        "--steps",
        "1",
    ]
    assert main(command) == 2
    assert "run.json" in capsys.readouterr().err
    assert (tmp_path / "preview.png").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["preview.png", "run.json"]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("key", ["request", "versions", "threads", "student_steps", "method", "teacher"])
def test_no_value_in_a_students_run_is_a_crash(key: str, value: object, tmp_path: Path):
    path = student_folder(tmp_path / "student")
    record = path / "training" / "run.json"
    content = json.loads(record.read_text())
    (content if key in content or key == "threads" else content["request"])[key] = value
    record.write_text(json.dumps(content))

    shown_or_refused(lambda: lookup_for(path)("/"))
