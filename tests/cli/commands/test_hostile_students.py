"""Students' folders as a stranger may give them: used, or refused in one line, and nothing outside of them is read."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cli.last_teacher import last_teacher
from cli.main import main
from cli.viewer.pages import lookup_for
from sds.teachers.shape_teacher import plain_lexicon
from tests.sds.tiny_shapes import save_talking_teacher, tiny_prior

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that reads words of its own and is told the guidance scale."""
    work = tmp_path_factory.mktemp("made")
    save_talking_teacher(work / "teacher")
    plain_lexicon(tiny_prior()).save(work / "teacher" / "words")
    options = ["--method", "guidance", "--steps", "3", "--pairs", "4", "--path-steps", "4", "--prompt", "a table"]
    assert main(["distill", "--teacher", str(work / "teacher"), "--out", str(work / "student"), *options]) == 0
    return work / "student"


@pytest.fixture
def student(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {"OF_ONE_PROMPT": 3, "TEACHER_STEPS": 4, "TIMED": 2, "ROUNDS": 1}.items():
        monkeypatch.setattr(f"cli.trainings.student_metrics.{name}", value)
    last_teacher.cache_clear()
    shutil.copytree(made, tmp_path / "student")
    return tmp_path / "student"


def refusal(student: Path, command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The line by which a command refuses a student, after which nothing is different from before."""
    before = {path: path.lstat().st_mtime_ns for path in student.parent.rglob("*")}
    more = (
        ["a table", "--count", "1", "--out", str(student.parent / "out")] if command == "sample" else ["--images", "8"]
    )
    capsys.readouterr()
    assert main([command, str(student), *more]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "it/s" not in line and line.strip()]
    assert {path: path.lstat().st_mtime_ns for path in student.parent.rglob("*")} == before
    assert "Traceback" not in "".join(lines)
    return lines[-1]


def move_out(student: Path, name: str) -> None:
    """Put a file or a folder beside the student's folder, and a link to it where it was."""
    (student / name).rename(student.parent / "outside")
    (student / name).symlink_to(student.parent / "outside")


@pytest.mark.parametrize(
    "name", ["student.json", "student_inputs.safetensors", WEIGHTS, "words", "words/lexicon.json", "shape_prior"]
)
def test_links_out_of_a_student_are_not_followed(name: str, student: Path, capsys: pytest.CaptureFixture[str]):
    move_out(student, name)
    assert "leads out of" in refusal(student, "sample", capsys)


@pytest.mark.parametrize("name", ["training", "training/run.json"])
def test_a_training_elsewhere_is_neither_read_nor_written(name: str, student: Path, capsys: pytest.CaptureFixture[str]):
    move_out(student, name)
    assert "is a link and was not followed" in refusal(student, "evaluate", capsys)


def test_a_page_of_a_student_shows_no_pictures_from_elsewhere(student: Path):
    if not (student / "training" / "samples").exists():
        (student / "training" / "samples").mkdir()
    move_out(student, "training/samples")
    with pytest.raises(ValueError, match="is a link and was not followed"):
        lookup_for(student)


@pytest.mark.parametrize("name", ["student.json", "student_inputs.safetensors", "words/lexicon.json"])
def test_a_pipe_is_not_waited_for(name: str, student: Path, capsys: pytest.CaptureFixture[str]):
    (student / name).unlink()
    os.mkfifo(student / name)
    assert Path(name).name in refusal(student, "sample", capsys)


@pytest.mark.parametrize(
    ("name", "size"), [("student.json", 2**30), ("words/lexicon.json", 2**30), ("words/near_words.xz", 2**30)]
)
def test_what_is_too_large_is_not_read(name: str, size: int, student: Path, capsys: pytest.CaptureFixture[str]):
    (student / name).touch()
    os.truncate(student / name, size)
    assert Path(name).name in refusal(student, "sample", capsys)


def not_a_number(tensors: dict[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        tensors[name] = torch.full_like(tensor, float("nan")) if tensor.is_floating_point() else tensor


def shorter(tensors: dict[str, torch.Tensor]) -> None:
    tensors.popitem()


def of_another_shape(tensors: dict[str, torch.Tensor]) -> None:
    tensors[next(iter(tensors))] = torch.zeros(3, 3)


@pytest.mark.parametrize("change", [not_a_number, shorter, of_another_shape])
@pytest.mark.parametrize("name", [WEIGHTS, "student_inputs.safetensors"])
@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_weights_of_which_no_picture_comes(
    command: str, name: str, change: Callable[[dict], None], student: Path, capsys: pytest.CaptureFixture[str]
):
    tensors = load_file(student / name)
    change(tensors)
    save_file(tensors, student / name)
    told = refusal(student, command, capsys)
    assert "holds no numbers" in told if change is not_a_number else "student" in told


def test_a_sound_student_draws(student: Path, tmp_path: Path):
    assert main(["sample", str(student), "a table", "--count", "1", "--out", str(tmp_path / "out")]) == 0
    assert json.loads((student / "student.json").read_text())["method"] == "guidance"
