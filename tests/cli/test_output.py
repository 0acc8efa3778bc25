"""What goes where: results on standard output, for people or scripts, and how much is said on the way."""

import argparse
import json
import math
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import trimesh

from cli import output
from cli.main import main
from cli.output import LOG, bar, output_as_asked, tell, timed

ROOT = Path(__file__).parents[2]


def options(**more: bool) -> argparse.Namespace:
    return argparse.Namespace(**{"quiet": False, "verbose": False, "json": False} | more)


def test_a_script_reads_one_document_and_nothing_else(capsys: pytest.CaptureFixture[str]):
    asked = options(json=True)
    with output_as_asked(asked):
        print("a path that people want to see")
        LOG.warning("something is odd: %s", "100%")
        tell(asked, {"size": math.nan, "path": Path("a") / "b", "sizes": (1, 2.5), "name": "Stühle"})
    told = capsys.readouterr()
    assert json.loads(told.out) == {"size": None, "path": "a/b", "sizes": [1, 2.5], "name": "Stühle"}
    assert told.err.splitlines() == ["a path that people want to see", "scoresmith: warning: something is odd: 100%"]


def test_warnings_are_lines_without_that_of_the_program():
    def said(category: type[Warning]) -> str:
        return warnings.formatwarning("a student by its name", category, "somewhere.py", 3, "some()")

    in_full = said(UserWarning)
    with output_as_asked(options()):
        assert said(UserWarning) == "scoresmith: warning: a student by its name\n"
        assert said(DeprecationWarning).startswith("somewhere.py:3:")
    assert said(UserWarning) == in_full


def test_people_read_lines(capsys: pytest.CaptureFixture[str]):
    asked = options()
    with output_as_asked(asked):
        print("a path")
        tell(asked, {"path": "a path"})
    assert capsys.readouterr().out == "a path\n"


@pytest.mark.parametrize(
    ("how", "said"),
    [("quiet", ["warning: odd", "wrong"]), ("", ["note", "warning: odd", "wrong"]), ("verbose", None)],
)
def test_how_much_is_said(how: str, said: list[str] | None, capsys: pytest.CaptureFixture[str]):
    with output_as_asked(options(**{how: True} if how else {})):
        LOG.debug("detail")
        LOG.info("note")
        LOG.warning("odd")
        LOG.error("wrong")
        for _ in bar(iterable=range(3), desc="counting"):
            pass
    lines = capsys.readouterr().err
    told = [line.removeprefix("scoresmith: ") for line in lines.splitlines() if line.startswith("scoresmith: ")]
    assert told == (said if said is not None else ["detail", "note", "warning: odd", "wrong"])
    assert ("counting" in lines) == (how != "quiet")


def test_the_log_is_left_as_it_was():
    before = LOG.level, list(LOG.handlers)
    with pytest.raises(ZeroDivisionError), output_as_asked(options(quiet=True)):
        print(1 / 0)
    assert (LOG.level, list(LOG.handlers)) == before
    assert output.HANDLER not in LOG.handlers


def test_a_mesh_is_inspected_and_exported_for_scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = tmp_path / "box.stl"
    trimesh.creation.box().export(source)
    assert main(["inspect", str(source), "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["inspected"]
    assert report["sound"] is True
    assert {"name": "watertight", "value": "yes", "fault": False} in report["findings"]
    assert report["bytes"] == source.stat().st_size
    assert main(["export", str(source), "--format", "ply", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"files": [str(tmp_path / "box.ply")], "notes": told["notes"], "watertight": True}


def test_an_error_is_told_to_scripts_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["inspect", str(tmp_path / "none.glb"), "--json"]) == 2
    told = capsys.readouterr()
    assert "none.glb" in json.loads(told.out)["error"]
    assert told.err.startswith("scoresmith: ")
    assert main(["generate", "--json"]) == 2
    assert "give a prompt" in json.loads(capsys.readouterr().out)["error"]
    assert main(["inspect", str(tmp_path / "none.glb"), "--verbose"]) == 2
    assert "Traceback" in capsys.readouterr().err
    with output_as_asked(options(verbose=True)), timed("nothing"):
        pass
    assert capsys.readouterr().err == "scoresmith: nothing: 0.0 s\n"


@pytest.mark.parametrize("words", [["generate"], ["generate", "   "], ["generate", "a\x00b"], ["distill"], ["inspect"]])
def test_what_is_wrong_with_the_words_is_said_before_anything_heavy_is_loaded(words: list[str]):
    program = f"import sys; from cli.main import main; code = main({words}); print(code, 'torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "2 False\n"
    assert told.stderr.startswith("scoresmith: ")


def test_quiet_and_verbose_exclude_each_other(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--quiet", "--verbose"]) == 2
    assert "not allowed with" in capsys.readouterr().err
