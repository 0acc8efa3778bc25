"""The commands with the teacher that is shipped."""

import json
from pathlib import Path

import pytest
import torch
import trimesh

from cli.main import main
from cli.scenes.recipes import small_teachers
from sds.teachers.embedded import load_embedded_teacher
from tests.cli.small import shrink
from tests.sds.tiny_shapes import save_talking_teacher


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A very short run."""
    out = tmp_path_factory.mktemp("runs") / "mug"
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        assert main(["generate", "a blue mug", "--out", str(out), "--steps", "3"]) == 0
    return out


@pytest.fixture(autouse=True)
def small_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


def test_a_run_is_judged(finished: Path):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["recognition"]["noun"] == "mug"
    assert 0 <= metrics["recognition"]["views_recognised"] <= 1
    assert 0 <= metrics["sides"]["janus_score"] <= 1


def test_a_mug_has_the_size_of_a_mug(finished: Path):
    mesh = trimesh.load(finished / "mesh.glb", force="mesh")
    assert 0.05 < max(mesh.extents) < 0.3
    assert mesh.bounds[0][1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("suffix", ["obj", "ply", "stl", "glb"])
def test_export(finished: Path, tmp_path: Path, suffix: str):
    path = tmp_path / f"mug.{suffix}"
    assert main(["export", str(finished), "--format", suffix, "--faces", "500", "--out", str(path)]) == 0
    mesh = trimesh.load(path, force="mesh")
    assert 100 < len(mesh.faces) <= 600
    assert mesh.volume > 0


def test_export_refuses_what_cannot_be(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["export", str(finished), "--format", "obj", "--out", str(tmp_path / "mug.stl")]) == 2
    assert "does not end in .obj" in capsys.readouterr().err
    assert main(["export", str(finished), "--faces", "3"]) == 2
    assert "--faces" in capsys.readouterr().err


def test_evaluate_prints_and_writes(finished: Path, capsys: pytest.CaptureFixture[str]):
    (finished / "metrics.json").unlink()
    assert main(["evaluate", str(finished), "--json"]) == 0
    told = capsys.readouterr()
    assert "janus score" in told.err  # the table for people, which is not in the way of scripts
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["mesh"]["watertight"] is True
    measured = {"folder": str(finished), "prompt": "a blue mug", "metrics": metrics}
    assert json.loads(told.out) == {"measured": [measured]}


def test_what_was_understood_is_said_and_the_run_ends_with_a_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    options = ["--representation", "pixels", "--steps", "1", "--out", str(tmp_path / "out")]
    assert main(["generate", "a zorbly red armchiar", *options]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("scoresmith:")]
    assert said[0] == (
        "scoresmith: understood: armchair, red; read 'armchiar' as armchair; not known and left out: zorbly"
    )
    assert "like an armchair: " in said[-1]
    assert "% of the views" in said[-1]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["recognition"]["noun"] == "armchair"


def test_a_prompt_that_names_nothing_known_stops_before_anything_is_spent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    options = ["--representation", "pixels", "--steps", "1", "--out", str(tmp_path / "out")]
    assert main(["generate", "a roaring tiger", *options]) == 2
    said = capsys.readouterr().err
    assert "knows nothing that 'a roaring tiger' names" in said
    assert "near in meaning: cat, dog" in said
    assert not (tmp_path / "out").exists()
    assert main(["generate", "a roaring tiger", "--anyway", *options]) == 0
    assert (tmp_path / "out" / "run.json").exists()


def test_of_several_prompts_those_that_are_known_are_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    options = ["--representation", "pixels", "--steps", "1", "--out", str(tmp_path)]
    assert main(["generate", "a dragon", "a mug", *options]) == 2
    assert (tmp_path / "a-mug" / "run.json").exists()
    assert not (tmp_path / "a-dragon").exists()
    said = capsys.readouterr().err
    assert "1 of 2 failed" in said
    assert "'a dragon': the teacher knows nothing" in said


def test_unknown_words_leave_the_pictures_as_they_were():
    teacher = load_embedded_teacher()
    plain, more = (teacher.condition([prompt], None) for prompt in ("a red horse", "a zorbly red steed of freedom"))
    for name, value in plain.tensors.items():
        assert torch.equal(value, more.tensors[name]), name


def test_doctor_finds_nothing_missing(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--words"]) == 0
    out = capsys.readouterr().out
    assert "embedded" in out
    assert "sofa, couch" in out


def test_a_teacher_without_a_part_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "teacher" / "shape_prior").mkdir(parents=True)
    code = main(["generate", "a mug", "--teacher", str(tmp_path / "teacher"), "--out", str(tmp_path / "out")])
    assert code == 2
    assert str(tmp_path / "teacher") in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_teacher_of_ones_own_is_treated_like_the_embedded_one(tmp_path: Path):
    """The recipe for small teachers; judged by its own classifier, of which it has none; not by the shipped one's."""
    folder = save_talking_teacher(tmp_path / "teacher")
    options = ["--teacher", str(folder), "--out", str(tmp_path / "out"), "--steps", "2"]
    assert main(["generate", "a red ball", *options]) == 0
    configuration = json.loads((tmp_path / "out" / "run.json").read_text())
    assert configuration["recipe"]["nerf"]["guidance"]["scale"] == small_teachers.SMALL_TEACHER_METHODS["sds"].scale
    assert configuration["recipe"]["nerf"]["batch_size"] == small_teachers.SMALL_TEACHER.batch_size
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert "recognition" not in metrics
    assert "sides" in metrics
