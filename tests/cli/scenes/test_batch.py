"""Many objects: nothing lost, nothing twice, whatever dies."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli.main import main
from cli.scenes import batch, generation
from cli.scenes.batch import Job, Outcome
from cli.scenes.request import Request
from cli.scenes.run_folder import RunFolder, write_json
from cli.scenes.workers import Workplace, make_with_workers
from sds.score import NonFiniteGradientError
from tests.cli.scenes.pretend_worker import pretend

PROMPTS = ("a chair", "a cup", "a house", "a mug")


def jobs_in(root: Path) -> list[Job]:
    return [Job(Request(prompt, stages=("pixels",)), root / prompt.replace(" ", "-")) for prompt in PROMPTS]


def test_a_worker_that_is_killed_loses_nothing_and_does_nothing_twice(tmp_path: Path, capsys: pytest.CaptureFixture):
    paths = [tmp_path / prompt.replace(" ", "-") for prompt in PROMPTS]
    jobs = [
        SimpleNamespace(request=SimpleNamespace(prompt=p), path=path) for p, path in zip(PROMPTS, paths, strict=True)
    ]
    outcomes = make_with_workers(jobs, Workplace("embedded", "cpu", overwrite=False), 2, pretend)
    assert [outcome.prompt for outcome in outcomes] == list(PROMPTS)
    assert [outcome.error for outcome in outcomes] == ["", "", "it cannot be made", ""]
    tries = [len((job.path / "tries").read_text()) for job in jobs]
    assert tries == [1, 2, 2, 1]
    assert "exit code -9; it will be tried once more" in capsys.readouterr().err


def test_prompts_that_are_finished_are_skipped_and_begun_ones_continued(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    (tmp_path / "prompts.txt").write_text("a chair\na cup\n")
    command = [
        *("generate", "--prompts-file", str(tmp_path / "prompts.txt"), "--out", str(tmp_path / "out")),
        *("--teacher", str(tiny_teacher), "--representation", "pixels", "--steps", "2"),
    ]
    step = generation.Scene.step

    def fails_for_the_cup(scene: generation.Scene) -> object:
        if scene.prompts.prompt == "a cup":
            raise NonFiniteGradientError("the score gradient is not finite")
        return step(scene)

    with monkeypatch.context() as patch:
        patch.setattr(generation.Scene, "step", fails_for_the_cup)
        assert main(command) == 2
    said = capsys.readouterr()
    assert "1 of 2 failed" in said.err
    lines = [json.loads(line) for line in (tmp_path / "out" / batch.MANIFEST).read_text().splitlines()]
    assert [(line["folder"], line["state"]) for line in lines] == [("a-chair", "finished"), ("a-cup", "failed")]
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "a-chair").iterdir()}

    assert main(command) == 0
    assert "1 of 2 are finished already" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "a-chair").iterdir()} == first
    lines = [json.loads(line) for line in (tmp_path / "out" / batch.MANIFEST).read_text().splitlines()]
    assert [line["state"] for line in lines] == ["finished", "finished"]
    assert main([*command, "--seed", "3"]) == 2  # other objects: those of the folder are not touched
    assert "holds another run" in capsys.readouterr().err


def test_the_manifest_says_what_was_measured(tmp_path: Path):
    jobs = jobs_in(tmp_path)[:2]
    jobs[0].path.mkdir()
    write_json(RunFolder(jobs[0].path).metrics, {"sides": {"janus_score": 0.25}})
    outcomes = [Outcome(jobs[1].request.prompt, jobs[1].path, "no room")]
    lines = [json.loads(line) for line in batch.write_manifest(tmp_path, jobs, outcomes).read_text().splitlines()]
    assert lines[0]["metrics"] == {"sides": {"janus_score": 0.25}}
    assert (lines[1]["state"], lines[1]["error"], lines[1]["prompt"]) == ("failed", "no room", "a cup")
