"""The process of a studio that makes the same ball again and again, in its own time."""

import json
import shutil
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.cli.viewer.folders import run_folder


def begin_slowly(pipe: Connection, workplace: Any) -> None:
    """Tell of a run that is half done; finish it when a file "go" lies beside it, endless ones when continued."""
    del workplace
    while (job := pipe.recv()) is not None:
        again = (job.path / "begun").exists()
        shutil.rmtree(job.path / "made", ignore_errors=True)  # of a process that was stopped
        finished = run_folder(job.path / "made", job.request.prompt)
        pipe.send(("now.png", finished.preview.read_bytes()))
        pipe.send(("now.glb", finished.mesh.read_bytes()))
        state = {"progress": 0.5, "sentence": "Step 20 of 40", "pictures": 1, "surfaces": 1}
        pipe.send(("state.json", json.dumps(state).encode()))
        (job.path / "begun").write_text("x")
        while not (job.path.parent / "go").exists() or ("endless" in job.request.prompt and not again):
            time.sleep(0.1)
        for path in finished.path.iterdir():
            shutil.move(path, job.path / path.name)
        finished.path.rmdir()
        Path(job.path / "report.html").write_text("page")
        pipe.send("")
