"""`scoresmith sample` without a folder, `scoresmith evaluate` beside real images, and the precision of a training."""

import json
import shutil
from dataclasses import fields
from pathlib import Path

import imageio.v3 as imageio
import pytest
import torch
from torch import nn

from cli.main import main
from cli.trainings.distillation import precision
from cli.trainings.reference import CLASSIFIER, features_called
from cli.trainings.student_folder import DistillRequest
from students import shipped
from students.measures.reference import REFERENCE, Reference
from tests.students.toys import normals

QUICK = {"OF_ONE_PROMPT": 3, "TEACHER_STEPS": 4, "TIMED": 2, "ROUNDS": 1}


@pytest.fixture(scope="module")
def tiny_student(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student of a copy of the tiny teacher, beside which real images can be put: (its folder)."""
    teacher, out = tmp_path_factory.mktemp("own") / "teacher", tmp_path_factory.mktemp("student") / "student"
    shutil.copytree(tiny_teacher, teacher)
    options = ["--prompt", "a cat", "--method", "one-pass", "--steps", "1", "--pairs", "4", "--path-steps", "4"]
    assert main(["distill", "--teacher", str(teacher), "--out", str(out), "--guidance-scale", "1", *options]) == 0
    return out


def teacher_of(student: Path) -> Path:
    return Path(json.loads((student / "training" / "run.json").read_text())["request"]["teacher"])


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_without_a_folder_the_shipped_student_draws(tiny_student: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(shipped, "SHIPPED_STUDENT", tiny_student)
    for name, words in (("shipped", ["a cat"]), ("named", [str(tiny_student), "a cat"])):
        capsys.readouterr()
        assert main(["sample", *words, "--count", "2", "--json", "--out", str(tmp_path / name)]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["files"] == [str(tmp_path / name / number) for number in ("0000.png", "0001.png")]
    for number in ("0000.png", "0001.png"):
        assert (tmp_path / "shipped" / number).read_bytes() == (tmp_path / "named" / number).read_bytes()
    first, second = (imageio.imread(tmp_path / "named" / number) for number in ("0000.png", "0001.png"))
    assert (first != second).any()
    capsys.readouterr()
    assert main(["sample", str(tiny_student)]) == 2
    assert "is a folder: say what its student shall draw" in error_line(capsys)
    assert main(["sample", "a", "red", "chair"]) == 2
    assert "put the prompt in quotes" in error_line(capsys)


def test_the_views_of_a_student_that_knows_none(tiny_student: Path, capsys):
    assert main(["sample", str(tiny_student), "a cat", "--azimuth", "90"]) == 2
    assert "knows no views" in error_line(capsys)
    assert main(["sample", str(tiny_student), "a cat", "--guidance-scale", "3"]) == 2
    assert "has learned the scale 1 and no other" in error_line(capsys)


def test_real_images_beside_the_teacher_are_the_reference(tiny_student: Path, monkeypatch, capsys):
    for name, value in QUICK.items():
        monkeypatch.setattr(f"cli.trainings.student_metrics.{name}", value)
    path = teacher_of(tiny_student) / REFERENCE
    looks, network = features_called(CLASSIFIER, torch.device("cpu"))
    photographs = looks(normals(12, 3, 8, 8).sigmoid())
    Reference(photographs, ["a cat"] * 12, None, network, "photographs of cats").save(path)
    assert main(["evaluate", str(tiny_student), "--images", "10"]) == 0
    metrics = json.loads((tiny_student / "training" / "metrics.json").read_text())
    assert metrics["measured by"]["reference"] == "photographs of cats"
    assert metrics["measured by"]["images"] == 10
    assert metrics["measured by"]["features"] == network
    assert "10 images are fewer than 10000" in metrics["measured by"]["warning"]
    assert metrics["student"]["kernel_distance_spread"] > 0
    computing = {who: metrics[who]["computing_ms_per_image"] for who in ("student", "teacher")}
    assert metrics["beside teacher"]["speed"] == pytest.approx(computing["teacher"] / computing["student"])
    assert metrics["beside teacher"]["ideal_speed"] == 4  # four steps without guidance against one
    recall = metrics["student"]["recall"] / max(metrics["teacher"]["recall"], 1e-12)
    assert metrics["beside teacher"]["recall"] == pytest.approx(recall)
    assert "photographs of cats" in capsys.readouterr().out
    path.write_bytes(b"nonsense")
    assert main(["evaluate", str(tiny_student)]) == 2
    assert "is not a file of reference features" in error_line(capsys)
    path.unlink()
    assert main(["evaluate", str(tiny_student), "--images", "3"]) == 2
    assert "--images must be at least 8" in error_line(capsys)


def test_half_precision_sees_weights_change():
    """Autocast would keep the half of a weight that it has made once, for as long as its context is open."""
    numbers = dict.fromkeys((field.name for field in fields(DistillRequest)), 1)
    values = numbers | {"bfloat16": True, "prompts": [], "method": "dmd", "guidance_interval": (0.0, 1.0)}
    layer, x = nn.Linear(4, 4, bias=False), torch.ones(1, 4)
    with precision(DistillRequest(**values), torch.device("cpu")):
        before = layer(x)
        with torch.no_grad():
            layer.weight.mul_(2)
        torch.testing.assert_close(layer(x), 2 * before)
        assert before.dtype == torch.bfloat16
    with precision(DistillRequest(**(values | {"bfloat16": False})), torch.device("cpu")):
        assert layer(x).dtype == torch.float32
