"""`generate` with a teacher of four views, and from a picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.main import main
from cli.scenes import results
from tests.sds import tiny_pipelines as tiny
from tests.sds.tiny_view_teachers import multi_view, picture_conditioned


@pytest.fixture(autouse=True)
def short_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "SHEET_STEPS", 2)


def test_four_views_at_a_time_make_an_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    teacher = str(multi_view(tmp_path))
    assert main(["generate", "a chair", "--teacher", teacher, "--steps", "1", "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "mesh.glb").stat().st_size > 0
    flat = ["generate", "a chair", "--teacher", teacher, "--representation", "pixels", "--out", str(tmp_path / "flat")]
    assert main(flat) == 2
    assert "several views of an object together" in capsys.readouterr().err


def test_a_picture_becomes_an_object_and_the_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    teacher = picture_conditioned(tiny.stable_diffusion(tmp_path / "work", in_channels=8), tmp_path / "zero123")
    colours = np.full((24, 24, 3), 255, np.uint8)
    colours[6:18, 6:18] = (200, 0, 0)
    Image.fromarray(colours).save(tmp_path / "box.png")
    options = ["--image", str(tmp_path / "box.png"), "--teacher", str(teacher), "--steps", "1", "--stages", "nerf"]
    assert main(["generate", *options, "--out", str(tmp_path / "run")]) == 0
    assert 'image = "' in (tmp_path / "run" / "run.toml").read_text()
    assert main(["generate", "--resume", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert main(["generate", "a box", "--teacher", str(teacher), "--out", str(tmp_path / "other")]) == 2
    assert "generate --image FILE" in capsys.readouterr().err


def test_such_teachers_only_generate(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    teacher = str(multi_view(tmp_path))
    for command in (
        ["distill", "--teacher", teacher, "--prompt", "a", "--out", str(tmp_path / "s")],
        ["teacher", teacher],
    ):
        assert main(command) == 2
        assert "can only generate" in capsys.readouterr().err


def test_wishes_that_do_not_go_together_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    for options, said in (
        (["a", "--offload", "--method", "vsd"], "no --offload"),
        (["--image", str(tmp_path / "a.png"), "--representation", "pixels"], "no flat picture"),
    ):
        assert main(["generate", *options]) == 2
        assert said in capsys.readouterr().err


def test_other_teachers_see_no_pictures(tiny_teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    options = ["--image", str(tmp_path / "a.png"), "--teacher", str(tiny_teacher), "--out", str(tmp_path / "run")]
    assert main(["generate", *options]) == 2
    assert "a teacher that draws other views of a picture" in capsys.readouterr().err
