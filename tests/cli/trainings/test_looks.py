"""Features and distances by name on the command line: each is itself or an error, and run.json says which it was."""

import json
from pathlib import Path

import pytest
import torch

from cli.errors import UserError
from cli.main import main
from cli.trainings.looks import PIXELS, distance_named, features_named
from students.features.distances import perceptual
from students.features.imagenet_network import load_imagenet_network
from students.features.sources import learning_features, teacher_features
from tests.sds.toys import ToyTeacher
from tests.students.features.test_lpips_and_dino import lpips_files, tiny_dino, written_out

CPU = torch.device("cpu")


def test_names(tmp_path: Path):
    teacher, lpips_folder = ToyTeacher(), lpips_files(tmp_path)
    assert features_named("teacher", CPU) is teacher_features
    assert features_named("learning", CPU) is learning_features
    assert distance_named("recipe", teacher, CPU) is None
    x, y = torch.rand(2, 1, 3, 16, 16) * 2 - 1
    by_network = distance_named("imagenet", teacher, CPU)
    expected = perceptual(load_imagenet_network().maps, PIXELS)(teacher.decode(x), teacher.decode(y))
    torch.testing.assert_close(by_network(x, y), expected)
    by_lpips = distance_named(str(lpips_folder), teacher, CPU)
    torch.testing.assert_close(
        by_lpips(x, y), written_out(lpips_folder, teacher.decode(x), teacher.decode(y)), rtol=1e-4, atol=1e-6
    )
    tiny_dino(tmp_path / "dino")
    assert len(features_named(str(tmp_path / "dino"), CPU)(teacher, teacher.network)(x, None, None)) == 4
    with pytest.raises(UserError, match=r"--features: .* needs the config"):
        features_named("nowhere", CPU)
    with pytest.raises(UserError, match=r"--distance: .* for LPIPS; the distance `imagenet` needs no files"):
        distance_named("lpips", teacher, CPU)


def test_a_run_remembers_what_it_looked_through(tiny_teacher: Path, tmp_path: Path, capsys):
    small = ["--steps", "2", "--pairs", "64", "--batch-size", "2", "--path-steps", "8", "--prompt", "a cat"]
    for method, name, value in (("add", "--features", "imagenet"), ("dmd", "--distance", "imagenet")):
        out = tmp_path / method
        arguments = ["distill", "--teacher", str(tiny_teacher), "--out", str(out), "--method", method, *small]
        assert main([*arguments, name, value]) == 0
        request = json.loads((out / "training" / "run.json").read_text())["request"]
        assert request[name.removeprefix("--")] == value
        assert main([*arguments[:4], str(tmp_path / "other"), *arguments[5:], name, "nowhere"]) == 2
        assert "nowhere needs" in capsys.readouterr().err
        assert not (tmp_path / "other").exists()
