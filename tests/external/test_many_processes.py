"""`generate --workers` with a real teacher and real processes, of which one is killed while it works."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import torch

from tests.external.killing import kill_one
from tests.sds.tiny_pipelines import deepfloyd_if

PROMPTS = [f"a cup {number}" for number in range(5)]
REPOSITORY = Path(__file__).parents[2]


def test_a_process_is_killed_and_the_second_call_has_nothing_to_do(tmp_path: Path):
    torch.manual_seed(0)
    deepfloyd_if(tmp_path / "work").save_pretrained(tmp_path / "teacher")
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    command = [
        *(sys.executable, "-m", "cli.main", "generate", "--prompts-file", str(tmp_path / "prompts.txt")),
        *("--workers", "2", "--out", str(tmp_path / "out"), "--teacher", str(tmp_path / "teacher")),
        *("--representation", "pixels", "--steps", "200"),
    ]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    killed: list[int] = []
    killer = threading.Thread(target=kill_one, args=(tmp_path / "out", killed), daemon=True)
    killer.start()
    first = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    killer.join()
    assert first.returncode == 0, first.stderr
    assert len(killed) == 1
    assert first.stderr.count("exit code -9; it will be tried once more") == 1
    folders = [tmp_path / "out" / prompt.replace(" ", "-") for prompt in PROMPTS]
    for folder in folders:
        assert len((folder / "curves.csv").read_text().splitlines()) == 201  # one line a step, none twice
    lines = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert [(line["prompt"], line["state"]) for line in lines] == [(prompt, "finished") for prompt in PROMPTS]
    before = {path: path.stat().st_mtime_ns for folder in folders for path in folder.iterdir()}
    second = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert "5 of 5 are finished already" in second.stderr
    assert {path: path.stat().st_mtime_ns for folder in folders for path in folder.iterdir()} == before
