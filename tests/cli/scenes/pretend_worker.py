"""A worker of a batch that makes nothing, for tests; it must not import what takes time to load."""

import os
from multiprocessing.connection import Connection
from typing import Any


def pretend(pipe: Connection, workplace: Any) -> None:
    """Write a letter where a run would be; one object kills its process the first time, another one always fails."""
    del workplace
    while (job := pipe.recv()) is not None:
        job.path.mkdir(exist_ok=True)
        tries = job.path / "tries"
        tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
        pipe.send(0.5)
        if job.request.prompt == "a cup" and tries.read_text() == "x":
            os.kill(os.getpid(), 9)
        pipe.send("it cannot be made" if job.request.prompt == "a house" else "")
