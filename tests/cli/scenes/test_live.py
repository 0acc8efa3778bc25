"""generate --live: browsers see the run as it is, and the run does not change by being seen."""

import io
import json
import re
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import pytest
import trimesh

from cli.main import main
from cli.scenes import live
from cli.scenes.curves import CurvePoint
from cli.scenes.live import LiveView, Turn
from sds.checkpoint import load_checkpoint
from tests.cli.viewer.folders import run_folder


def fetch(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=10) as response:
        return response.read()


def state_of(view: LiveView) -> dict[str, Any]:
    return json.loads(fetch(f"{view.address}state.json"))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is waited for."""
    monkeypatch.setattr(live, "FOLLOWED_WITHIN", 0.0)


@pytest.fixture
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look after every step, whatever it costs."""
    monkeypatch.setattr(Turn, "is_due", lambda *_: True)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch, always_due: None, impatient: None) -> list[dict[str, Any]]:
    """Everything that a browser sees of a run, asked for after each step."""
    seen: list[dict[str, Any]] = []
    look = LiveView.look

    def look_and_ask(view: LiveView, scene: Any, point: CurvePoint) -> None:
        look(view, scene, point)
        seen.append(state_of(view) | {"page": fetch(view.address), "picture": fetch(f"{view.address}now.png")})
        if seen[-1]["surfaces"]:
            seen[-1]["surface"] = fetch(f"{view.address}now.glb")

    monkeypatch.setattr(LiveView, "look", look_and_ask)
    return seen


def arguments(teacher: Path, out: Path, *more: str) -> list[str]:
    return ["generate", "a ball", "--teacher", str(teacher), "--out", str(out), "--steps", "3", *more]


def test_a_watched_run_makes_the_same_object(
    tiny_teacher: Path, tmp_path: Path, looks: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
):
    assert main(arguments(tiny_teacher, tmp_path / "alone")) == 0
    assert looks == []
    assert main(arguments(tiny_teacher, tmp_path / "seen", "--live")) == 0
    assert re.search(r"watch it at http://127\.0\.0\.1:\d+/", capsys.readouterr().err)
    for name in ("mesh.glb", "curves.csv"):
        assert (tmp_path / "seen" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    generators = [load_checkpoint(tmp_path / run / "checkpoint.pt")["generator"] for run in ("seen", "alone")]
    assert all(bool((generators[0][name] == tensor).all()) for name, tensor in generators[1].items())

    assert [look["pictures"] for look in looks] == [1, 2, 3, 4, 5, 6]
    assert [look["surfaces"] for look in looks] == [0, 1, 2, 3, 4, 5]  # none in the first fifth of the run
    assert [look["progress"] for look in looks] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])
    assert looks[0]["sentence"] == "Step 1 of 6 · stage nerf"
    assert looks[-1]["sentence"] == "Step 6 of 6 · stage mesh"
    assert b"<h1>a ball</h1>" in looks[0]["page"]
    assert looks[-1]["charts"].count("<figure") >= 2
    first = imageio.imread(looks[0]["picture"], extension=".png")
    assert first.shape[0] == first.shape[1] > 2 * live.PICTURE_SIZE
    assert first.std() > 1
    surface = trimesh.load(io.BytesIO(looks[-1]["surface"]), file_type="glb", force="mesh")
    assert surface.bounds[0][1] == pytest.approx(0, abs=1e-6)  # stands on the floor
    assert max(surface.extents) == pytest.approx(1, abs=1e-5)


def test_a_flat_picture_is_watched_too(tiny_teacher: Path, tmp_path: Path, looks: list[dict[str, Any]]):
    assert main(arguments(tiny_teacher, tmp_path / "out", "--representation", "pixels", "--live")) == 0
    assert [look["surfaces"] for look in looks] == [0, 0, 0]
    assert len({look["picture"] for look in looks}) == 3


def test_the_report_takes_the_place_of_the_run(tmp_path: Path, impatient: None):
    folder = run_folder(tmp_path / "run")
    folder.report.write_text("<p>the report")
    with LiveView(port=0) as view:
        view.begin("a ball", folder, 40, lambda asset: asset)
        assert state_of(view)["finished"] is False
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(f"{view.address}mesh.glb")
        view.finish()
        assert state_of(view)["finished"] is True
        assert fetch(view.address) == b"<p>the report"
        assert fetch(f"{view.address}mesh.glb") == folder.mesh.read_bytes()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(f"{view.address}checkpoint.pt")
    with pytest.raises(urllib.error.URLError):
        fetch(view.address)


def test_the_next_run_takes_the_place_of_the_one_before(tmp_path: Path, impatient: None):
    with LiveView(port=0) as view:
        for number, prompt in enumerate(("a ball", "a <cube>"), 1):
            view.begin(prompt, run_folder(tmp_path / str(number), finished=False), 40, lambda asset: asset)
            state, page = state_of(view), fetch(view.address).decode()
            assert state["run"] == number
            assert f'"run":{number}' in page
        assert "a &lt;cube&gt;" in page


def test_the_server_waits_for_browsers_that_follow(tmp_path: Path):
    folder = run_folder(tmp_path / "run")
    folder.report.write_text("<p>the report")
    pages: list[bytes] = []
    with LiveView(port=0) as view:
        view.begin("a ball", folder, 40, lambda asset: asset)
        state_of(view)
        view.finish()
        late = threading.Thread(target=lambda: (time.sleep(0.5), pages.append(fetch(view.address))))
        late.start()
    late.join()
    assert pages == [b"<p>the report"]


def test_an_error_ends_the_server_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live, "FOLLOWED_WITHIN", 1e6)
    view = LiveView(port=0)

    def interrupted() -> None:
        with view:
            view.begin("a ball", run_folder(tmp_path / "run", finished=False), 40, lambda asset: asset)
            state_of(view)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(urllib.error.URLError):
        fetch(view.address)


def test_showing_stays_within_its_share_of_the_time():
    """Steps of a tenth of a second; each look takes two seconds. The time that looks take is never beyond the share."""
    turn, now = Turn(seconds_between=3.0, share=0.05, cost=2.0), 0.0
    for _ in range(10_000):
        now += 0.1
        if turn.is_due(now, began=0.0):
            now += 2.0
            turn.spent, turn.ended = turn.spent + 2.0, now
        assert turn.spent <= 0.05 * now
    assert turn.spent == pytest.approx(0.05 * now, rel=0.05)


def test_looks_are_not_more_frequent_than_needed():
    turn = Turn(seconds_between=3.0, share=0.05, cost=0.001, ended=10.0)
    assert not turn.is_due(12.9, began=0.0)
    assert turn.is_due(13.0, began=0.0)


def test_what_a_look_takes_is_counted():
    turn = Turn(seconds_between=0.0, share=0.05, cost=1.0)
    began = time.monotonic()
    for _ in range(2):
        with turn.timed():
            time.sleep(0.02)
    assert 0.02 <= turn.cost <= turn.spent - 0.02 <= time.monotonic() - began
    assert not turn.is_due(turn.ended, began=turn.ended - turn.spent / 0.05)


def test_a_live_view_says_what_is_missing():
    with LiveView(port=0) as view, pytest.raises(RuntimeError, match="begin"):
        view.finish()
