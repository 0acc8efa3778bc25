"""The page of a run says what the run's files say."""

import base64
import json
import re
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch

from cli.pictures import write_sheet
from cli.scenes.run_folder import RunFolder, write_json
from cli.trainings.student_folder import StudentFolder
from cli.viewer import run_page, run_views
from cli.viewer.page import html_of
from cli.viewer.student_page import read_signals, student_page
from cli.viewer.words import DASH, TIMES, duration, flattened, lengths_in_words, side_in_words, with_article
from tests.cli.viewer.folders import run_folder, student_folder
from tests.cli.viewer.test_markup import Seen


def report_of(folder: RunFolder) -> str:
    path = run_page.write_report(folder)
    assert path == folder.path / "report.html"
    return path.read_text(encoding="utf-8")


def text_of(document: str) -> str:
    return " ".join(Seen(re.sub(r"<(script|style)\b.*?</\1>", " ", document, flags=re.DOTALL)).text.split())


def test_a_report_tells_about_the_run(tmp_path: Path):
    document = report_of(run_folder(tmp_path / "run"))
    text = text_of(document)
    for words in (
        "a red ball",
        "Made by score distillation in 1 min 06 s.",
        "75% of the views are recognised as an orange",
        "orange, ball, apple",
        "25% of side and back views look like the front",
        f"1.25 {TIMES} 0.5 {TIMES} 1 m",
        "1,280 faces, one piece, watertight",
        "VSD, seed 7",
        "20 (nerf), 20 (mesh)",
        "optimisation 1 min 02 s, results 4 s",
        "times highest0.98 → 0.7",
        f"guidance limit{DASH}",
        f"negative{DASH}",
    ):
        assert words in text, words
    names = re.findall(r'<a href="([^"]*)"', document)
    assert names == [name for name in run_page.LINKED if (tmp_path / "run" / name).exists()]
    assert {"mesh.glb", "curves.csv"} <= set(names)


def test_every_look_of_a_preview_is_shown(tmp_path: Path):
    folder = run_folder(tmp_path / "run")
    configuration = json.loads(folder.configuration.read_text())
    configuration["recipe"]["mesh"]["looks"] = {"lit": 0.1, "albedo": 0.4, "normals": 0.5}
    write_json(folder.configuration, configuration)
    write_sheet(folder.preview, [torch.full((8, 3, 16, 16), shade / 8) for shade in range(6)])
    document = report_of(folder)
    assert [words in text_of(document) for words in run_views.LOOKS] == [True] * 3
    assert document.count('alt="The object, ') == document.count('alt="What the teacher would draw, ') == 3 * 8
    assert document.count("<meter") == 8


def test_a_flat_picture_is_shown_with_what_it_is_taken_for(tmp_path: Path):
    folder = run_folder(tmp_path / "run", finished=False)
    write_sheet(folder.preview, [torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)], size=16)
    write_json(folder.metrics, {"recognition": {"noun": "mug", "views_recognised": 0.0, "probabilities": [0.25]}})
    document = report_of(folder)
    assert "25% is how surely it is recognised as a mug" in text_of(document)
    picture = re.search(r'<div class="stage"><img src="data:image/png;base64,([^"]*)"', document)
    assert picture is not None
    assert not imageio.imread(base64.b64decode(picture[1])).any()  # what was made, not what the teacher would draw
    assert "<h2>Views" not in document


def test_all_views_are_shown_with_their_recognition(tmp_path: Path):
    document = report_of(run_folder(tmp_path / "run"))
    meters = [float(value) for value in re.findall(r'<meter value="([\d.]+)"', document)]
    assert meters == pytest.approx(np.linspace(0, 1, 8), abs=1e-4)
    assert document.count('alt="What the teacher would draw, ') == 8
    assert 'alt="The object, back"' in document
    assert 'alt="The object, 45°"' in document


def test_curves_are_drawn_with_their_stages(tmp_path: Path):
    document = report_of(run_folder(tmp_path / "run"))
    labels = re.findall(r'aria-label="([^"]*) over 40 steps"', document)
    assert labels == [
        "Recognition: from 25% to 100%",
        "Distance from the wish: from 0.5 to 0.5",
        "Size of the gradient: from 0.1 to 0.0025",
        "Critic: from 0.25 to 0.25",
        "Learning rate: from 1 to 1",
    ]
    assert document.count(">mesh</text>") == len(labels)


def test_a_prompt_cannot_become_markup(tmp_path: Path):
    prompt = "<script>alert(1)</script><img src=x onerror=alert(2)> \"quoted\" & 'so on'"
    document = report_of(run_folder(tmp_path / "run", prompt))
    assert "<script>alert" not in document
    assert "<img src=x" not in document
    assert prompt in text_of(document)


def test_a_run_that_has_not_finished_says_how_to_go_on(tmp_path: Path):
    folder = run_folder(tmp_path / "run", finished=False)
    text = text_of(html_of(run_page.run_page(folder, None)))
    assert "This run has not finished; scoresmith generate --resume continues it." in text
    assert "Recognition" in text


def test_a_new_run_in_the_same_folder_begins_without_the_old_report_and_curves(tmp_path: Path):
    folder = run_folder(tmp_path / "run")
    run_page.write_report(folder)
    folder.begin({"prompt": "a cup"}, overwrite=True)
    assert not folder.report.exists()
    assert not folder.curves.exists()


def test_a_model_that_is_too_large_is_left_out_of_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = run_folder(tmp_path / "run")
    monkeypatch.setattr(run_page, "LARGEST_INLINE_MODEL", folder.mesh.stat().st_size - 1)
    document = report_of(folder)
    assert "The model is too large for this page; scoresmith view shows it." in text_of(document)
    assert '"model":null' in document
    assert 'src="data:image/gif;base64,' in document


def test_damaged_results_are_left_out(tmp_path: Path):
    folder = run_folder(tmp_path / "run")
    folder.metrics.write_text("{")
    folder.curves.write_bytes(b"\xff\xfe not a table")
    text = text_of(report_of(folder))
    assert "a red ball" in text
    assert "recognised" not in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (3599, "59 min 59 s"), (7500, "2 h 05 min")],
)
def test_durations(seconds: float, words: str):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("metres", "words"),
    [
        ([0.88, 0.9615, 0.5], "88 x 96.2 x 50 cm"),
        ([1.5, 2, 0.25], "1.5 x 2 x 0.25 m"),
        ([0.004, 0.002, 0.001], "4 x 2 x 1 mm"),
    ],
)
def test_lengths(metres: list[float], words: str):
    assert lengths_in_words(metres) == words.replace("x", TIMES)


def test_words():
    assert with_article("armchair") == "an armchair"
    assert with_article("cup") == "a cup"
    assert [side_in_words(azimuth) for azimuth in (0.0, 45.0, 180.0)] == ["front", "45°", "back"]
    ramp = {"start": 1.0, "end": 0.3, "begin": 0.7, "finish": 1.0}
    settings = {"learning_rate": ramp, "stages": [{"on": True}, {"on": False}], "prompts": ["a", "b"], "size": None}
    assert flattened(settings) == [
        ("learning rate", "1 → 0.3 (from 70% to 100% of the run)"),
        ("stages 1 on", "yes"),
        ("stages 2 on", "no"),
        ("prompts", "a, b"),
        ("size", DASH),
    ]
    assert flattened({"t": ramp | {"end": 1.0}}) == [("t", "1")]


def test_a_student_has_a_page_too(tmp_path: Path):
    folder = StudentFolder(student_folder(tmp_path / "student"))
    document = html_of(student_page(folder))
    text = text_of(document)
    assert "A student of embedded that draws in 2 steps. Distilled by dmd." in text
    assert "<b>a cat</b>" in text
    assert 'aria-label="Score gradient: from 0.5 to 0.2 over 30 steps"' in document
    assert read_signals(folder.log)["score_gradient"] == ([10, 20, 30], [0.5, 0.3, 0.2])
    assert read_signals(folder.log)["critic_loss"] == ([10, 20, 30], [1, 0.5, 0.25])
    assert "After 15 steps" in text
    assert json.loads(folder.request.read_text())["request"]["method"] == "dmd"
