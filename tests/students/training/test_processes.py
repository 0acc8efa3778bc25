"""Two processes, really started by torchrun, learn what one process learns from the whole batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.students.training.shared_runs import RUNS

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
        timeout=180,
        check=False,
    )


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Tensor]]:
    out = tmp_path_factory.mktemp("shared") / "results.pt"
    done = torchrun("tests.students.training.shared_runs", str(out))
    assert done.returncode == 0, done.stderr
    return torch.load(out, weights_only=True)


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_equal_one_with_the_whole_batch(of_two_processes: dict[str, dict[str, Tensor]], name: str):
    alone, shared = RUNS[name](), of_two_processes[name]
    assert alone.keys() == shared.keys()
    for key, tensor in alone.items():
        torch.testing.assert_close(shared[key], tensor, rtol=0, atol=1e-9, msg=lambda text, key=key: f"{key}: {text}")
