"""`scoresmith distill` under torchrun and in less memory: the student of one process that keeps all of a batch."""

import json
from pathlib import Path

import accelerate
import torch
from safetensors.torch import load_file

from cli.main import main
from tests.students.training.test_processes import torchrun


def arguments(teacher: Path, out: Path, *more: str) -> list[str]:
    small = ["--steps", "3", "--pairs", "64", "--path-steps", "2", "--batch-size", "4", "--critic-steps", "1"]
    small += ["--prompt", "a cat", "--method", "dmd2"]
    return ["distill", "--teacher", str(teacher), "--out", str(out), *small, *more]


def weights_of(folder: Path) -> torch.Tensor:
    tensors = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


def test_less_memory_makes_the_same_student(tiny_teacher: Path, tmp_path: Path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(arguments(tiny_teacher, whole)) == 0
    assert main(arguments(tiny_teacher, parts, "--micro-batch", "3", "--checkpointing")) == 0
    learned = (weights_of(whole) - weights_of(tiny_teacher)).abs().mean()
    assert (weights_of(parts) - weights_of(whole)).abs().mean() < 0.02 * learned


def test_two_processes_make_the_student_of_one(tiny_teacher: Path, tmp_path: Path):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert main(arguments(tiny_teacher, alone)) == 0
    done = torchrun("cli.main", *arguments(tiny_teacher, shared, "--processes", "2", "--shard"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(shared)]  # one of them speaks
    of_two, of_one, before = (weights_of(folder) for folder in (shared, alone, tiny_teacher))
    learned = (of_one - before).abs().mean()
    assert learned > 1e-4
    # Where a gradient is nothing but rounding, Adam makes a step of it: in float32 a few weights differ by such steps.
    assert (of_two - of_one).abs().mean() < 0.02 * learned
    checkpoint = torch.load(shared / "training" / "checkpoint.pt", weights_only=True)
    assert checkpoint["steps"] == 3
    assert main(["distill", "--resume", str(shared)]) == 0  # alone, from the checkpoint of two with sharded weights
    assert torch.equal(weights_of(shared), of_two)
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
