"""Every example that is a single file, in its smallest form, as a user would start it."""

import runpy
import sys
from pathlib import Path

import imageio.v3 as imageio
import pytest
import trimesh

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


@pytest.mark.parametrize(
    "name", ["custom_score_gradient.py", "fourier_image.py", "one_step_student.py", "parametric_object.py"]
)
def test_examples_that_draw_a_picture(name: str, tmp_path: Path, monkeypatch, capsys):
    path = tmp_path / "picture.png"
    run(monkeypatch, name, "a red chair", "--out", str(path), "--steps", "3")
    picture = imageio.imread(path)
    assert picture.shape[2] == 3
    assert picture.std() > 0
    assert str(path) in capsys.readouterr().out


def test_text_to_3d(tmp_path: Path, monkeypatch):
    path = tmp_path / "ball.glb"
    run(monkeypatch, "text_to_3d.py", "a teddy bear", "--out", str(path), "--steps", "3")
    assert trimesh.load(path, force="mesh").volume > 0


def test_every_example_is_tested():
    pictures = {"custom_score_gradient.py", "fourier_image.py", "one_step_student.py", "parametric_object.py"}
    tested = pictures | {"text_to_3d.py", "parametric_cad.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested
