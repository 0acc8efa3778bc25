"""The Python API makes what the command makes, and says so in errors when it cannot."""

import json
from pathlib import Path

import imageio.v3 as imageio
import pytest
import torch

from cli.api import open_run, text_to_3d
from cli.main import main
from cli.pictures import to_bytes
from cli.sampling import sample_student
from cli.scenes.making import Moment
from representations.assets.reading import load_mesh


def test_a_call_makes_the_bytes_that_the_command_makes(tiny_teacher: Path, tmp_path: Path):
    out = tmp_path / "run"
    options = ["--teacher", str(tiny_teacher), "--steps", "4", "--seed", "3", "--out", str(out)]
    assert main(["generate", "a ball", *options]) == 0
    moments: list[Moment] = []
    pictures: list[torch.Tensor] = []

    def look(moment: Moment) -> None:
        moments.append(moment)
        pictures.append(moment.pictures(2, 16))

    made = text_to_3d("a ball", seed=3, steps=4, teacher=tiny_teacher, on_step=look)
    assert made.save(tmp_path / "mesh.glb") == [tmp_path / "mesh.glb"]
    assert b'"extras":{"prompt":"a ball","seed":3,"method":"sds"}' in (tmp_path / "mesh.glb").read_bytes()
    assert (tmp_path / "mesh.glb").read_bytes() == (out / "mesh.glb").read_bytes()
    assert [(moment.step, moment.point.step, moment.steps) for moment in moments] == [(n, n, 8) for n in range(1, 9)]
    assert [moment.point.stage for moment in moments] == ["nerf"] * 4 + ["mesh"] * 4
    assert all(picture.shape == (2, 3, 16, 16) and 0 <= picture.min() <= picture.max() <= 1 for picture in pictures)
    assert imageio.imread(made._repr_png_()).shape[2] == 3
    assert made.teacher().prompts.encode is None  # the text encoders are let go, as by the command

    again = open_run(out)
    assert again.request == made.request
    (tmp_path / "again").mkdir()
    again.save(tmp_path / "again" / "mesh.glb")
    assert (tmp_path / "again" / "mesh.glb").read_bytes() == (out / "mesh.glb").read_bytes()
    assert json.loads(json.dumps(again.metrics())) == json.loads((out / "metrics.json").read_text())
    (tmp_path / "printed").mkdir()
    again.save(tmp_path / "print.stl")
    assert main(["export", str(out), "--out", str(tmp_path / "printed" / "print.stl")]) == 0
    assert (tmp_path / "print.stl").read_bytes() == (tmp_path / "printed" / "print.stl").read_bytes()
    again.save(tmp_path / "few.glb", faces=200, texture=64)
    assert len(load_mesh(tmp_path / "few.glb").mesh.faces) <= 220


def test_what_cannot_be_made_is_said_before_anything_is_done(tiny_teacher: Path, tmp_path: Path):
    never = pytest.fail
    with pytest.raises(ValueError, match="flat picture"):
        text_to_3d("a ball", stages=("pixels",), teacher=tiny_teacher, on_step=never)
    with pytest.raises(ValueError, match="no run"):
        open_run(tmp_path)
    with pytest.raises(ValueError, match="no student"):
        sample_student("a ball", tiny_teacher)
    with pytest.raises(ValueError, match="positive"):
        sample_student("a ball", count=0)


def test_the_bar_shows_each_stage(tiny_teacher: Path, capsys: pytest.CaptureFixture[str]):
    text_to_3d("a cup", steps=2, teacher=tiny_teacher)
    shown = capsys.readouterr().err
    assert "a cup (nerf)" in shown
    assert "a cup (mesh)" in shown
    assert "2/2" in shown


def test_a_student_draws_what_the_command_draws(tmp_path: Path):
    pictures = sample_student("a blue mug", count=2, seed=5, azimuth=90)
    assert pictures.shape == (2, 3, 64, 64)
    options = ["--count", "2", "--seed", "5", "--azimuth", "90", "--out", str(tmp_path)]
    assert main(["sample", "a blue mug", *options]) == 0
    for picture, path in zip(pictures, sorted(tmp_path.glob("*.png")), strict=True):
        assert (imageio.imread(path) == to_bytes(picture)).all()
