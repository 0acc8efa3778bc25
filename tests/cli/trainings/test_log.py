"""The log of a training, its trackers, and what is measured on the way."""

import json
from pathlib import Path

import pytest
import torch

from cli.errors import UserError
from cli.main import main
from cli.trainings.log import TrainingLog, lines_of, require_tracker
from tests.cli.commands.test_distill_images import pictures_in


def test_later_lines_are_forgotten_and_broken_ones(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    log = TrainingLog(path, 0)
    log.numbers(10, {"loss": 1.0})
    log.numbers(20, {"loss": float("nan"), "other": 2.0})
    with path.open("a") as file:
        file.write('[1]\n{"step": "x"}\n{"step": 30, "lo')
    assert lines_of(path) == [{"step": 10, "loss": 1.0}, {"step": 20, "loss": None, "other": 2.0}]
    TrainingLog(path, 10).numbers(20, {"loss": 3.0})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 10, "loss": 1.0},
        {"step": 20, "loss": 3.0},
    ]


def test_unknown_and_missing_trackers_are_refused(tmp_path: Path, tiny_teacher: Path, capsys):
    with pytest.raises(UserError, match="no such tracker; there are aim, "):
        require_tracker("nonsense")
    out = tmp_path / "student"
    assert main(["distill", "--teacher", str(tiny_teacher), "--out", str(out), "--track", "swanlab"]) == 2
    assert "its package is not installed; pip install swanlab" in capsys.readouterr().err
    assert not out.exists()


def test_tensorboard_has_the_numbers_and_the_sheets(tmp_path: Path):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = TrainingLog(tmp_path / "log.jsonl", 0, about={"method": "dmd"})
    log.numbers(10, {"loss": 0.5})
    from cli.pictures import write_sheet

    write_sheet(tmp_path / "samples.png", [torch.rand(2, 3, 8, 8)])
    log.picture(10, tmp_path / "samples.png")
    log.close()
    events = reading.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(10, 0.5)]
    assert events.Tags()["images"]


def test_a_student_is_measured_on_the_way(tiny_teacher: Path, tmp_path: Path):
    folder, out = pictures_in(tmp_path / "pictures"), tmp_path / "student"
    how = ["--method", "ict", "--steps", "4", "--batch-size", "2", "--look-every", "2", "--look-images", "9"]
    teacher = ["--teacher", str(tiny_teacher), "--images", str(folder)]
    assert main(["distill", "--out", str(out), *teacher, *how]) == 0
    rows = lines_of(out / "training" / "log.jsonl")
    assert [row["step"] for row in rows] == [2, 4]
    assert all(row["frechet_distance"] > 0 and row["compared_images"] == 9 for row in rows)
    assert [path.name for path in sorted((out / "training" / "samples").iterdir())] == ["00000002.png", "00000004.png"]
    assert main(["evaluate", str(out), "--images", "16", "--reference", str(folder)]) == 0
    metrics = json.loads((out / "training" / "metrics.json").read_text())
    # what was learned from and what was held out are the same pictures here, so nothing can be nearer to either
    assert metrics["copies"]["nearest_training"] == metrics["copies"]["nearest_held_out"] > 0
    assert metrics["copies"]["nearer_to_training"] == 0
