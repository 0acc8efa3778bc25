"""Processes, really started by torchrun, learn what one process learns from the whole batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.students.training.shared_runs import CANNOT_BE_SHARDED, RUNS

ROOT = Path(__file__).parents[3]


def torchrun(*command: str, processes: int = 2, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start a module of this project in several processes on this machine."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    rendezvous = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    return subprocess.run(
        [*launcher, *rendezvous, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=900,  # beside other work; alone it takes seconds
        check=False,
    )


@pytest.fixture(scope="module")
def alone() -> dict[str, dict[str, Tensor]]:
    return {name: run() for name, run in RUNS.items()}


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_equal_one_with_the_whole_batch(tmp_path: Path, alone: dict[str, dict[str, Tensor]], processes: int):
    """Weights whole in each process, and sharded by FSDP2; a batch of five is no multiple of either number."""
    out = tmp_path / "results.pt"
    done = torchrun("tests.students.training.shared_runs", str(out), processes=processes)
    assert done.returncode == 0, done.stderr
    shared = torch.load(out, weights_only=True)
    assert shared["whole"].keys() == RUNS.keys()
    assert shared["sharded"].keys() == RUNS.keys() - set(CANNOT_BE_SHARDED)
    for how, runs in shared.items():
        for name, tensors in runs.items():
            assert tensors.keys() == alone[name].keys()
            for key, tensor in alone[name].items():
                where = f"{how}, {name}, {key}"
                torch.testing.assert_close(
                    tensors[key], tensor, rtol=0, atol=1e-9, msg=lambda text, where=where: f"{where}: {text}"
                )


def test_parts_of_a_batch_equal_the_whole(alone: dict[str, dict[str, Tensor]]):
    for key, tensor in alone["score"].items():
        torch.testing.assert_close(alone["in parts"][key], tensor, rtol=0, atol=1e-9)
