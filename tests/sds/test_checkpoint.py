"""Files that are whole or not there, and that hold data only."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sds.checkpoint import CheckpointError, load_checkpoint, save_checkpoint, written_whole


def test_round_trip(tmp_path: Path):
    state = {"a": torch.arange(3), "nested": {"b": [1, 2.5, "text", None]}, "rng": torch.Generator().get_state()}
    save_checkpoint(tmp_path / "deep" / "checkpoint.pt", state)
    loaded = load_checkpoint(tmp_path / "deep" / "checkpoint.pt")
    assert loaded["nested"] == state["nested"]
    assert torch.equal(loaded["a"], state["a"])


def test_an_error_leaves_the_old_file_and_no_litter(tmp_path: Path):
    path = tmp_path / "file.txt"
    path.write_text("good")

    def interrupted() -> None:
        with written_whole(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        interrupted()
    assert path.read_text() == "good"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_disk_that_takes_no_more_leaves_the_old_checkpoint(tmp_path: Path):
    """A real limit on the size of files, in a process of its own."""
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"step": 1})
    program = """
import resource, signal, sys, torch
from pathlib import Path
from sds.checkpoint import save_checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    save_checkpoint(Path(sys.argv[1]), {"step": 2, "weights": torch.zeros(100_000)})
except OSError as error:
    print("refused", error.errno)
"""
    finished = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert finished.stdout.startswith("refused")
    assert load_checkpoint(path) == {"step": 1}
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


class Malicious:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple:
        return (os.mkdir, (str(self.witness),))


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path):
    witness = tmp_path / "executed"
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Malicious(witness)))
    torch.save({"state": Malicious(witness)}, tmp_path / "zip.pt")
    for name in ("raw.pt", "zip.pt"):
        with pytest.raises(CheckpointError, match="not a checkpoint"):
            load_checkpoint(tmp_path / name)
    assert not witness.exists()


def test_missing_and_damaged_checkpoints_are_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_checkpoint(tmp_path / "nothing.pt")
    save_checkpoint(tmp_path / "cut.pt", {"a": torch.zeros(1000)})
    whole = (tmp_path / "cut.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(tmp_path / "cut.pt")
