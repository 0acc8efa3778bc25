"""Handing tasks out and taking results in, with a cluster that lives in this process. Ray itself: tests/external."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from cli.scenes.batch import Job
from cli.scenes.cluster import Crowd, Made, make_in_scratch, scratch_of
from cli.scenes.request import Request
from cli.scenes.store import LAST, Store
from cli.scenes.workers import Workplace


class RayError(Exception):
    """As Ray's own, which stands for a task that is gone."""


@dataclass
class PretendedRay:
    """What the driver asks of Ray; tasks end in the order of their beginning."""

    exceptions: Any = field(default_factory=lambda: type("exceptions", (), {"RayError": RayError}))
    at_once: int = 0

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def wait(self, tasks: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        self.at_once = max(self.at_once, len(tasks))
        return tasks[:1], tasks[1:]

    def get(self, task: Any) -> Made:
        return task()


def test_nothing_is_lost_nothing_is_written_twice_and_failures_are_tried_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    jobs = [Job(Request(f"a cup {number}"), tmp_path / f"cup-{number}") for number in range(7)]
    store, began, put = Store(str(tmp_path / "results")), Counter[str](), Counter[str]()
    write = store.put
    monkeypatch.setattr(store, "put", lambda name, files: (put.update([name]), write(name, files)))

    def submit(job: Job) -> Any:
        def task() -> Made:
            began[job.path.name] += 1
            if job.path.name == "cup-2" and began["cup-2"] == 1:
                raise RayError("its machine is gone")
            if job.path.name == "cup-4":
                return Made(error="it cannot be made")
            return Made({LAST: b"{}", "mesh.glb": b"glTF"})

        return task

    ray = PretendedRay()
    outcomes = Crowd(ray, jobs, submit, store, "CPU").make_all()
    assert [outcome.error for outcome in outcomes] == ["", "", "", "", "it cannot be made", "", ""]
    assert began == {f"cup-{number}": 2 if number in (2, 4) else 1 for number in range(7)}
    assert put == {f"cup-{number}": 1 for number in range(7) if number != 4}
    assert ray.at_once == 4  # two for each processor


def test_a_task_gives_the_files_of_a_run_back_and_leaves_nothing(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SCORESMITH_SCRATCH", str(tmp_path / "scratch"))
    request = Request("a cup", stages=("pixels",), teacher=str(tiny_teacher), steps=2)
    job = Job(request, tmp_path / "a-cup")
    made = make_in_scratch(job, Workplace(str(tiny_teacher), "cpu", overwrite=False), anyway=False)
    assert made.error == ""
    assert {"run.json", "run.toml", "metrics.json", "preview.png", "report.html"} <= made.files.keys()
    assert "checkpoint.pt" not in made.files
    assert not scratch_of(job).exists()
    assert scratch_of(job) != scratch_of(Job(Request("a cup", seed=1), job.path))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--cluster", "auto", "--live"], "for one machine"),
        (["--cluster", "auto", "--workers", "2"], "for one machine"),
        (["--results", "s3://bucket"], "for a cluster"),
        (["--cluster", "auto", "--results", "nonsense://x"], "cannot be opened"),
    ],
)
def test_what_makes_no_sense_is_said(options: list[str], reason: str, capsys: pytest.CaptureFixture[str]):
    assert main(["generate", "a cup", *options]) == 2
    assert reason in capsys.readouterr().err
