"""Files that are whole or not there, and that hold data only."""

import copy
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sds.checkpoint import (
    CheckpointError,
    forget_partial_files,
    load_checkpoint,
    require_form,
    restore_optimizer,
    save_checkpoint,
    written_whole,
)


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


@pytest.mark.parametrize("state", [[1, 2], torch.zeros(3), "text", None])
def test_a_checkpoint_holds_a_dictionary(state: object, tmp_path: Path):
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "other.pt")


def test_what_swells_or_never_ends_is_not_read(tmp_path: Path):
    save_checkpoint(tmp_path / "plain.pt", {"zeros": torch.zeros(1_000_000)})
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry))
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "folder.pt").mkdir()
    for name, why in (("bomb.pt", "compressed"), ("pipe.pt", "ordinary"), ("folder.pt", "ordinary")):
        with pytest.raises(CheckpointError, match=why):
            load_checkpoint(tmp_path / name)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_whatever_is_damaged_is_refused_or_has_the_form_of_a_checkpoint(data: st.DataObject, tmp_path: Path):
    like = {"step": 3, "rate": 0.5, "weights": {"a": torch.arange(6.0).reshape(2, 3), "b": [torch.ones(2), "x"]}}
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, like)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) - 30, len(content) // 2]))])
    refusal, state = "", like
    try:
        state = load_checkpoint(path)
        require_form(state, like)
    except CheckpointError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert refusal or state["weights"]["a"].shape == (2, 3)


@pytest.mark.parametrize("umask", [0o077, 0o002])
def test_files_are_as_the_umask_says_or_stay_as_they_were(umask: int, tmp_path: Path):
    path = tmp_path / "new.txt"
    before = os.umask(umask)
    try:
        with written_whole(path) as temporary:
            temporary.write_text("text")
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask
        path.chmod(0o640)
        with written_whole(path) as temporary:
            temporary.write_text("other text")
        assert path.stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_what_a_killed_writer_left_is_deleted_and_nothing_else(tmp_path: Path):
    program = """
import os, sys
from pathlib import Path
from sds.checkpoint import written_whole
with written_whole(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), 9)
"""
    (tmp_path / ".hidden").write_text("the user's")
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "checkpoint.pt")], check=False)
    assert len(os.listdir(tmp_path)) == 2
    forget_partial_files(tmp_path)
    assert os.listdir(tmp_path) == [".hidden"]


def stepped(kind: type[torch.optim.Optimizer] = torch.optim.Adam, **options: Any) -> torch.optim.Optimizer:
    parameters = [torch.nn.Parameter(torch.ones(4, 3)), torch.nn.Parameter(torch.ones(5))]
    optimizer = kind(parameters, lr=1, **options)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_an_optimizer_continues_from_its_own_state(kind: type[torch.optim.Optimizer], tmp_path: Path):
    options = {"momentum": 0.9} if kind is torch.optim.SGD else {"fused": True}
    optimizer, other = stepped(kind, **options), stepped(kind, **options)
    optimizer.param_groups[0]["lr"] = 0.25
    optimizer.step()
    save_checkpoint(tmp_path / "optimizer.pt", optimizer.state_dict())
    restore_optimizer(other, load_checkpoint(tmp_path / "optimizer.pt"))
    require_form(other.state_dict(), optimizer.state_dict())
    assert other.param_groups[0]["lr"] == 0.25


def change(state: dict[str, Any], path: tuple[Any, ...], value: object) -> dict[str, Any]:
    """A copy with one thing replaced; `...` takes it out."""
    changed = copy.deepcopy(state)
    inside: Any = changed
    for key in path[:-1]:
        inside = inside[key]
    if value is ...:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    return changed


WRONG_STATES = [
    (("state", 0, "exp_avg"), torch.zeros(4, 2)),
    (("state", 0, "exp_avg"), torch.zeros(400, 300)),
    (("state", 0, "exp_avg"), torch.zeros(1, 1).expand(4, 3)),
    (("state", 0, "exp_avg"), torch.zeros(4, 3, dtype=torch.long)),
    (("state", 0, "exp_avg"), torch.zeros(4, 3, device="meta")),
    (("state", 0, "exp_avg"), torch.zeros(4, 3).to_sparse()),
    (("state", 0, "exp_avg"), torch.tensor(0.0)),
    (("state", 0, "exp_avg"), [0.0] * 12),
    (("state", 0, "exp_avg"), ...),
    (("state", 0, "exp_avg_sq"), None),
    (("state", 0, "step"), "three"),
    (("state", 0, "step"), torch.zeros(7)),
    (("state", 0), None),
    (("state", 7), {}),
    (("state",), []),
    (("state",), ...),
    (("param_groups",), {}),
    (("param_groups", 0, "lr"), "fast"),
    (("param_groups", 0, "lr"), float("nan")),
    (("param_groups", 0, "betas"), 0.9),
    (("param_groups", 0, "params"), [0]),
    (("param_groups", 0, "params"), [0, 5]),
    (("param_groups", 0, "lr"), ...),
]


@pytest.mark.parametrize(("path", "value"), WRONG_STATES)
def test_an_optimizer_takes_no_state_of_another_form(path: tuple[Any, ...], value: object):
    """Fused kernels read and write as far as the parameter goes: another shape was a crash of the process."""
    optimizer = stepped(fused=True)
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(CheckpointError):
        restore_optimizer(optimizer, change(before, path, value))
    optimizer.step()  # with all of its own state
    require_form(optimizer.state_dict(), before)
