"""What the README shows must run."""

import re
from pathlib import Path
from typing import Any

import pytest

from cli.main import build_parser
from representations.assets.reading import load_mesh

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_ten_lines_of_python_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in program.splitlines() if line.strip()]) <= 10
    assert "seed=1" in program
    names: dict[str, Any] = {}
    exec(compile(program.replace("seed=1", "seed=1, steps=2"), "README.md", "exec"), names)
    assert load_mesh(tmp_path / "bear.glb").mesh.is_watertight
    assert names["mugs"].shape == (4, 3, 32, 32)


def commands() -> list[str]:
    lines = [line.split("#")[0].strip() for line in README.splitlines()]
    return [line for line in lines if line.startswith("scoresmith ")]


@pytest.mark.parametrize("command", commands())
def test_every_command_is_understood(command: str):
    words = re.findall(r'"[^"]*"|\S+', command)[1:]
    options = build_parser().parse_args([word.strip('"') for word in words])
    assert options.command == words[0]


def test_every_picture_and_page_is_there():
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (Path(__file__).parents[2] / path).exists(), path
