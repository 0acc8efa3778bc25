"""The process of a studio that makes nothing, for tests; it must not import what takes time to load."""

import json
import os
import time
from multiprocessing.connection import Connection
from typing import Any


def pretend(pipe: Connection, workplace: Any) -> None:
    """Tell what a run would; some prompts fail, kill the process once, or take for ever."""
    del workplace
    while (job := pipe.recv()) is not None:
        prompt = job.request.prompt
        state = {"progress": 0.5, "sentence": "Step 1 of 2", "pictures": 1, "surfaces": 1}
        pipe.send(("state.json", json.dumps(state).encode()))
        pipe.send(("now.png", prompt.encode()))
        pipe.send(("now.glb", b"glTF"))
        job.path.mkdir(exist_ok=True)
        first = not (job.path / "begun").exists()
        (job.path / "begun").write_text("x")
        if "endless" in prompt and first:
            time.sleep(60)
        if "deadly" in prompt and first:
            os.kill(os.getpid(), 9)
        pipe.send("it cannot be made" if "bad" in prompt else "")
