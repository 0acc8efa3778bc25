"""What the README and the guides show must run."""

import ast
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli.main import build_parser
from representations.assets.reading import load_mesh
from tests.cli.small import shrink

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "examples/docs/pages").rglob("*.md")}


def test_the_ten_lines_of_python_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    shrink(monkeypatch)
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in program.splitlines() if line.strip()]) <= 10
    assert "seed=1" in program
    names: dict[str, Any] = {}
    exec(compile(program.replace("seed=1", "seed=1, steps=2"), "README.md", "exec"), names)
    assert load_mesh(tmp_path / "bear.glb").mesh.is_watertight
    assert names["mugs"].shape == (4, 3, 32, 32)


def commands() -> list[str]:
    lines = [line.split("#")[0].strip() for text in (README, *PAGES.values()) for line in text.splitlines()]
    return sorted({line for line in lines if line.startswith("scoresmith ")})


@pytest.mark.parametrize("command", commands())
def test_every_command_is_understood(command: str):
    words = re.findall(r'"[^"]*"|\S+', command)[1:]
    options = build_parser().parse_args([word.strip('"') for word in words])
    assert options.command == words[0]


def programs() -> list[tuple[str, str]]:
    return [
        (name, program)
        for name, text in PAGES.items()
        for program in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    ]


@pytest.mark.parametrize(("page", "program"), programs())
def test_programs_of_the_guides_import_what_there_is(page: str, program: str):
    if "--8<--" in program:  # a file of the repository, which has tests of its own
        (path,) = re.findall(r'--8<-- "(.*?)"', program)
        program = (ROOT / path).read_text(encoding="utf-8")
    imports = [node for node in ast.parse(program).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names: dict[str, Any] = {}
    exec(compile(ast.Module(imports, []), page, "exec"), names)
    assert len(names) > 1


def test_a_slurm_array_shares_all_prompts_out(tmp_path: Path):
    (script,) = re.findall(r"```sh\n(#!/bin/sh.*?)```", PAGES["many_objects.md"], re.DOTALL)
    (tmp_path / "prompts.txt").write_text("".join(f"a thing {number}\n" for number in range(7)))
    (tmp_path / "scoresmith").write_text('#!/bin/sh\necho "$@" >> called\n')
    (tmp_path / "scoresmith").chmod(0o755)
    for task in range(3):
        told = {
            "SLURM_ARRAY_TASK_ID": str(task),
            "SLURM_ARRAY_TASK_COUNT": "3",
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
        }
        subprocess.run(["sh", "-c", script], cwd=tmp_path, env=told, check=True)
    parts = [(tmp_path / f"outputs/many/part-{task}.txt").read_text().splitlines() for task in range(3)]
    assert sorted(line for part in parts for line in part) == [f"a thing {number}" for number in range(7)]
    assert {len(part) for part in parts} == {2, 3}
    for line in (tmp_path / "called").read_text().splitlines():
        build_parser().parse_args(line.split())


def test_every_picture_and_page_is_there():
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path
