"""Results anywhere: a run is whole or not there, and what was finished is known again."""

import json
import uuid
from pathlib import Path

import pytest

from cli.errors import UserError
from cli.scenes.batch import Job
from cli.scenes.request import Request
from cli.scenes.store import LAST, Store

METRICS = {
    "recognition": {"noun": "cup", "recognised": True, "views_recognised": 0.875},
    "sides": {"janus_score": 0.25},
    "mesh": {"faces": 10, "components": 1, "watertight": True},
}


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(str(tmp_path / "results") if request.param == "folder" else f"memory://{uuid.uuid4()}")


def job(prompt: str, seed: int = 0) -> Job:
    return Job(Request(prompt, seed=seed), Path("outputs") / prompt.replace(" ", "-"))


def files_of(job: Job) -> dict[str, bytes]:
    record = {"prompt": job.request.prompt, "request": job.request.__dict__, "versions": {}}
    return {LAST: json.dumps(record).encode(), "mesh.glb": b"glTF", "metrics.json": json.dumps(METRICS).encode()}


def test_what_was_put_is_finished(store: Store):
    cup, mug = job("a cup"), job("a mug")
    assert store.finished([cup, mug]) == set()
    store.put("a-cup", files_of(cup))
    assert store.finished([cup, mug]) == {"a-cup"}
    with pytest.raises(UserError, match="a-cup holds another run"):
        store.finished([job("a cup", seed=3)])


def test_half_a_run_is_none(store: Store, monkeypatch: pytest.MonkeyPatch):
    write, room = store._files.pipe_file, [2]

    def until_full(place: str, content: bytes) -> None:
        if not room[0]:
            raise OSError(28, "No space left on device")
        room[0] -= 1
        write(place, content)

    with monkeypatch.context() as patch:
        patch.setattr(store._files, "pipe_file", until_full)
        with pytest.raises(OSError, match="No space"):
            store.put("a-cup", files_of(job("a cup")))
    assert store.finished([job("a cup")]) == set()
    store.put("a-cup", files_of(job("a cup")))
    assert store.finished([job("a cup")]) == {"a-cup"}


def test_the_manifest_says_what_was_measured(store: Store):
    cup, mug = job("a cup"), job("a mug")
    store.put("a-cup", files_of(cup))
    address = store.write_manifest([cup, mug], {"a-mug": "no room"})
    assert address == f"{store.address}/manifest.jsonl"
    lines = [json.loads(line) for line in store._files.cat(store.place("manifest.jsonl")).splitlines()]
    assert [(line["folder"], line["state"], line["error"]) for line in lines] == [
        *(("a-cup", "finished", ""), ("a-mug", "failed", "no room"))
    ]
    assert lines[0]["metrics"] == METRICS


def test_a_manifest_is_a_table_too(store: Store):
    parquet = pytest.importorskip("pyarrow.parquet")
    import io

    store.put("a-cup", files_of(job("a cup", seed=7)))
    store.write_manifest([job("a cup", seed=7), job("a mug")], {"a-mug": "no room"}, as_table=True)
    table = parquet.read_table(io.BytesIO(store._files.cat(store.place("manifest.parquet"))))
    first, second = table.to_pylist()
    assert (first["noun"], first["views_recognised"], first["faces"], first["seed"]) == ("cup", 0.875, 10, 7)
    assert json.loads(first["metrics"]) == METRICS
    assert (second["state"], second["faces"]) == ("failed", None)


def test_places_that_nobody_knows_are_said():
    with pytest.raises(UserError, match="--results nonsense://here cannot be opened"):
        Store("nonsense://here")


def test_a_run_that_is_none_of_ours_is_said(store: Store):
    store.put("a-cup", {LAST: b"{}"})
    with pytest.raises(UserError, match="damaged"):
        store.finished([job("a cup")])
