"""What is measured of a gallery beside real models."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli.scenes.request import Request
from cli.scenes.run_folder import RunFolder
from representations.cameras import Cameras
from representations.likeness import SeenShape, seen_from
from tests.representations.shapes import ball, box

sys.path.append(str(Path(__file__).parents[2] / "examples" / "gallery"))

import beside_models


class OneCrate:
    """Real models of one noun: a flat box, and a cube."""

    def seen(self, noun: str, cameras: Cameras) -> list[SeenShape]:
        return [seen_from(box(half), cameras) for half in ((0.9, 0.2, 0.9), (0.9, 0.9, 0.9))] if noun == "crate" else []


@pytest.fixture
def likeness_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def of(prompt: str, mesh):
        loaded = SimpleNamespace(request=Request(prompt), solid=SimpleNamespace(surface=lambda: mesh))
        monkeypatch.setattr(beside_models, "load_object", lambda *_: loaded)
        return beside_models.likeness_of(RunFolder(tmp_path), OneCrate())

    return of


def test_the_model_with_the_most_similar_outlines_counts(likeness_of):
    same, round_one = likeness_of("a red crate", box((0.9, 0.9, 0.9))), likeness_of("a crate", ball(2, 0.5))
    assert same.overlap == 1
    assert same.angle == pytest.approx(0, abs=0.1)
    assert 0.5 < round_one.overlap < 0.9
    assert round_one.angle > 10


@pytest.mark.parametrize("prompt", ["a chair", "two crates", "a tall crate", "a crate on a table", "qwrtz"])
def test_what_no_model_looks_like_is_left_out(likeness_of, prompt: str):
    assert likeness_of(prompt, box((0.9, 0.9, 0.9))) is None
