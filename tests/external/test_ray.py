"""A real cluster of Ray on this machine, with several workers, one of which is killed while it works."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from tests.external.killing import kill_one
from tests.sds.tiny_pipelines import deepfloyd_if

ray = pytest.importorskip("ray", reason="needs Ray: pip install ray pyarrow")
PROMPTS = [f"a cup {number}" for number in range(6)]
REPOSITORY = Path(__file__).parents[2]


def test_a_worker_is_killed_and_nothing_is_lost_or_made_twice(tmp_path: Path):
    torch.manual_seed(0)
    teacher, scratch, results = tmp_path / "teacher", tmp_path / "scratch", tmp_path / "results"
    deepfloyd_if(tmp_path / "work").save_pretrained(teacher)
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    command = [
        *(sys.executable, "-m", "cli.main", "generate", "--prompts-file", str(tmp_path / "prompts.txt")),
        *("--cluster", "local", "--results", results.as_uri(), "--manifest", "parquet"),
        *("--teacher", str(teacher), "--representation", "pixels", "--steps", "200"),
    ]
    environment = os.environ | {
        "SCORESMITH_SCRATCH": str(scratch),
        "PYTHONPATH": str(REPOSITORY),
        "RAY_OVERRIDE_RESOURCES": '{"CPU": 2}',
        "RAY_raylet_start_wait_time_s": "600",  # of a machine that has much else to do
        "RAY_worker_niceness": "0",  # else whatever else it has to do comes first
    }
    killed: list[int] = []
    killer = threading.Thread(target=kill_one, args=(scratch, killed), daemon=True)
    killer.start()
    first = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)
    killer.join()
    assert first.returncode == 0, first.stderr
    assert len(killed) == 1
    assert first.stderr.count("it will be tried once more") == 1
    folders = sorted(path for path in results.iterdir() if path.is_dir())
    assert [path.name for path in folders] == [prompt.replace(" ", "-") for prompt in PROMPTS]
    for folder, prompt in zip(folders, PROMPTS, strict=True):
        assert json.loads((folder / "run.json").read_text())["prompt"] == prompt
        assert (folder / "report.html").stat().st_size > 1000
        assert len((folder / "curves.csv").read_text().splitlines()) == 201  # one line a step, none twice
    import pyarrow.parquet as parquet

    table = parquet.read_table(results / "manifest.parquet").to_pylist()
    assert [(row["prompt"], row["state"]) for row in table] == [(prompt, "finished") for prompt in PROMPTS]

    (folders[3] / "run.json").unlink()  # as if it had been interrupted before it was whole
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()}
    second = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert second.returncode == 0, second.stderr
    assert "5 of 6 are finished already" in second.stderr
    after = {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()}
    changed = {path.relative_to(results).parts[0] for path in after if after[path] != before.get(path)}
    assert changed == {"a-cup-3", "manifest.parquet"}
