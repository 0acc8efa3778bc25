"""Terminals of other encodings, output that nobody reads, and disks that are full."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.errors import one_line
from cli.main import main
from cli.scenes.run_folder import RunFolder, write_json
from sds.checkpoint import written_whole


def run(arguments: list[str], stdout: int, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "cli.main", *arguments]
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, env=os.environ | environment, timeout=900, check=False
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_the_output_is_one_line():
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        finished = run(["completion", "bash"], full)
    finally:
        os.close(full)
    lines = finished.stderr.decode().splitlines()
    assert finished.returncode == 2
    assert len(lines) == 1
    assert "the disk is full" in lines[0]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-16"])
def test_every_terminal_shows_what_it_can(encoding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    shown = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(shown, encoding=encoding, write_through=True))
    assert main(["view", str(tmp_path / "кошка ☃")]) == 2
    assert main(["generate", "a\u202ecat", "--out", str(tmp_path / "out")]) == 2
    text = shown.getvalue().decode(encoding)
    assert text.count("scoresmith: ") == 2
    assert "Traceback" not in text


def test_arguments_of_another_encoding_are_understood(tmp_path: Path):
    """As a terminal in Latin-1 sends them to a Python that reads UTF-8."""
    finished = run(["view", os.fsdecode(bytes(tmp_path) + b"/caf\xe9")], subprocess.DEVNULL, LC_ALL="C")
    assert finished.returncode == 2
    assert finished.stderr.count(b"\n") == 1
    assert b"Traceback" not in finished.stderr


def test_a_disk_that_fills_while_a_file_is_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = RunFolder(tmp_path)
    write_json(folder.metrics, {"sides": {"janus_score": 0.25}})

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left") as caught:
            write_json(folder.metrics, {"sides": {"janus_score": 0.5}})
    assert "free some space and continue with --resume" in one_line(caught.value, "generate")
    assert folder.read_metrics() == {"sides": {"janus_score": 0.25}}
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_an_interruption_while_a_file_is_written_leaves_the_old_one(tmp_path: Path):
    (tmp_path / "mesh.glb").write_text("old")

    def interrupted() -> None:
        with written_whole(tmp_path / "mesh.glb") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("mesh.glb", "old")]
