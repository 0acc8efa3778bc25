"""Kills a process that works in a run, as a machine that fails would."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path


def working_in_runs(root: Path) -> list[int]:
    """The processes that say in their folders that they work there."""
    told = []
    for path in root.glob("*/.scoresmith.who"):
        with suppress(FileNotFoundError):  # it has just finished
            told.append(path.read_text())
    return [int(text.split()[1]) for text in told if text.startswith("process ")]


def kill_one(root: Path, killed: list[int]) -> None:
    """Kill the first process that works in a run below a folder, and note it."""
    end = time.monotonic() + 500
    while not killed and time.monotonic() < end:
        for process in working_in_runs(root):
            os.kill(process, signal.SIGKILL)
            killed.append(process)
            return
        time.sleep(0.01)
