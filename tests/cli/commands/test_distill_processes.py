"""`scoresmith distill` under torchrun: two processes make the student of one; miscounted processes are refused."""

import json
from pathlib import Path

import accelerate
import torch
from safetensors.torch import load_file

from cli.main import main
from tests.students.training.test_processes import torchrun


def arguments(teacher: Path, out: Path, *more: str) -> list[str]:
    small = ["--steps", "3", "--pairs", "64", "--batch-size", "4", "--prompt", "a cat", "--method", "dmd2"]
    return ["distill", "--teacher", str(teacher), "--out", str(out), *small, *more]


def test_two_processes_make_the_student_of_one(tiny_teacher: Path, tmp_path: Path):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert main(arguments(tiny_teacher, alone)) == 0
    done = torchrun("cli.main", *arguments(tiny_teacher, shared, "--processes", "2"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(shared)]  # one of them speaks
    of_two, of_one, before = (
        torch.cat([t.flatten() for t in load_file(f / "unet" / "diffusion_pytorch_model.safetensors").values()])
        for f in (shared, alone, tiny_teacher)
    )
    learned = (of_one - before).abs().mean()
    assert learned > 1e-4
    # Where a gradient is nothing but rounding, Adam makes a step of it: in float32 a few weights differ by such steps.
    assert (of_two - of_one).abs().mean() < 0.02 * learned
    checkpoint = torch.load(shared / "training" / "checkpoint.pt", weights_only=True)
    assert checkpoint["steps"] == 3
    assert json.loads((shared / "student.json").read_text()) == json.loads((alone / "student.json").read_text())


def test_miscounted_processes_are_refused(tiny_teacher: Path, tmp_path: Path, capsys, monkeypatch):
    out = tmp_path / "student"
    assert main(arguments(tiny_teacher, out, "--processes", "2")) == 2
    assert "--processes 2, but 1 was started" in capsys.readouterr().err

    class Lonely:
        num_processes = 1

        def __init__(self, cpu: bool) -> None: ...

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(accelerate, "Accelerator", Lonely)
    assert main(arguments(tiny_teacher, out)) == 2
    assert "2 processes were started, but accelerate has joined 1" in capsys.readouterr().err
    assert not out.exists()
