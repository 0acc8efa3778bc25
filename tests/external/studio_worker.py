"""The process of a studio that hands out the files of a finished run, in its own time; it loads nothing."""

import json
import shutil
import time
from multiprocessing.connection import Connection
from typing import Any

READY = ".ready"
"""Beside the runs: the folder of a run whose files are handed out."""


def begin_slowly(pipe: Connection, workplace: Any) -> None:
    """Tell of a run that is half done; finish it when a file "go" lies beside it, endless ones when continued."""
    del workplace
    while (job := pipe.recv()) is not None:
        job.path.mkdir(exist_ok=True)
        again, ready = (job.path / "begun").exists(), job.path.parent / READY
        pipe.send(("now.png", (ready / "preview.png").read_bytes()))
        pipe.send(("now.glb", (ready / "mesh.glb").read_bytes()))
        state = {"progress": 0.5, "sentence": "Step 20 of 40", "pictures": 1, "surfaces": 1}
        pipe.send(("state.json", json.dumps(state).encode()))
        (job.path / "begun").write_text("x")
        while not (job.path.parent / "go").exists() or ("endless" in job.request.prompt and not again):
            time.sleep(0.1)
        shutil.copytree(ready, job.path, dirs_exist_ok=True)
        pipe.send("")
