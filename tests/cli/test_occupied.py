"""Who works in a folder says so; whoever comes later changes nothing; and nothing stays behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cli.errors import UserError
from cli.occupied import LOCK, WHO, is_empty, require_free, working_in

HOLDER = """
import sys, time
from pathlib import Path
from cli.occupied import working_in
with working_in(Path(sys.argv[1])):
    (Path(sys.argv[1]) / "checkpoint.pt.partial").write_text("half")
    print("here", flush=True)
    time.sleep(120)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Another process that works in the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


def refused(folder: Path) -> str:
    with pytest.raises(UserError, match="being written by another process") as caught, working_in(folder):
        pass
    return str(caught.value)


def test_another_process_is_told_who_works_there_and_a_killed_one_lets_go(tmp_path: Path):
    folder = tmp_path / "run"
    process = holder(folder)
    try:
        said = refused(folder)
        assert f"process {process.pid} on" in said
        assert "\n" not in said
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with working_in(folder):
        assert f"process {os.getpid()}" in (folder / WHO).read_text()
        assert is_empty(folder) or [path.name for path in folder.iterdir() if path.name not in (LOCK, WHO)] == [
            "checkpoint.pt.partial"
        ]


def test_of_many_that_come_at_once_one_gets_in(tmp_path: Path):
    inside, most, refusals, start = [0], [0], [0], threading.Barrier(8)

    def come() -> None:
        start.wait()
        try:
            with working_in(tmp_path / "run"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.2)
                inside[0] -= 1
        except UserError:
            refusals[0] += 1

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most[0], inside[0]) == (1, 0)
    assert refusals[0] >= 1


def test_nothing_stays_behind(tmp_path: Path):
    with working_in(tmp_path / "a" / "b"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_what_was_written(tmp_path: Path):
    def fail() -> None:
        with working_in(tmp_path / "run"):
            (tmp_path / "run" / "mesh.glb").write_text("glTF")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mesh.glb"]


def test_what_says_who_works_there_is_not_trusted(tmp_path: Path):
    process = holder(tmp_path / "run")
    try:
        for content in (b"\x1b[2Jcleared", b"\xff" * 5000, b""):
            (tmp_path / "run" / WHO).write_bytes(content)
            assert refused(tmp_path / "run").isprintable()
        (tmp_path / "run" / WHO).unlink()
        (tmp_path / "run" / WHO).symlink_to("/etc/passwd")
        assert "root:" not in refused(tmp_path / "run")
    finally:
        process.kill()
        process.wait()


def test_a_folder_within_a_file_is_refused_before_any_work(tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "run", tmp_path / "file" / "runs" / "run"):
        with pytest.raises(UserError, match="file is a file"):
            require_free(path, "run", exists=False, overwrite=False)
    require_free(tmp_path / "new" / "run", "run", exists=False, overwrite=False)


def test_what_a_killed_process_left_half_written_is_nobodys(tmp_path: Path) -> None:
    """Killed while it wrote its first file, a run is begun anew in the same folder."""
    for name in (".run.partial-iedlfgf4.json", LOCK, WHO):
        (tmp_path / name).touch()
    require_free(tmp_path, "run", exists=False, overwrite=False)
    with working_in(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {LOCK, WHO}
    (tmp_path / "run.partial-letter.json").touch()  # no dot before it: somebody's own
    with pytest.raises(UserError, match="is not empty"):
        require_free(tmp_path, "run", exists=False, overwrite=False)
