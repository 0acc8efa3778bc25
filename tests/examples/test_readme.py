"""What the README and the guides show must run."""

import ast
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli.commands import distill, generate
from cli.main import COMMANDS, build_parser, options_of
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
    assert names["mugs"].shape == (4, 3, 64, 64)


def commands() -> list[str]:
    """Those of all pages, and of what `--help` shows, where a wide gap begins the remark."""
    pages = "".join(path.read_text(encoding="utf-8") for path in ROOT.rglob("*.md") if is_ours(path))
    texts = [*re.findall(r"```\w*\n(.*?)```", pages, re.DOTALL), *(command.EXAMPLES for command in COMMANDS.values())]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(texts))
    lines = [re.split(r"#|  +| [>|&] ", line.strip())[0].strip() for line in joined.splitlines()]
    return sorted({line for line in lines if line.startswith("scoresmith ")})


def is_ours(path: Path) -> bool:
    return not any(part.startswith(".") or part in ("outputs", "build") for part in path.relative_to(ROOT).parts)


@pytest.mark.parametrize("command", commands())
def test_every_command_is_understood(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # where none of the files is that it may name
    for room in (generate, distill):
        monkeypatch.setattr(room, "require_there", lambda _: None)
    words = shlex.split(command)[1:]
    if "--config" in words:
        (tmp_path / words[words.index("--config") + 1]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / words[words.index("--config") + 1]).write_text('prompts = ["a red chair"]\n')
    assert options_of(words).command == words[0]


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
    for page in filter(is_ours, ROOT.rglob("*.md")):
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for path in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
            assert (page.parent / path).exists(), f"{page}: {path}"


def test_every_program_of_the_pages_is_there():
    for page in filter(is_ours, ROOT.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        for module in re.findall(r"python -m ((?:tests|examples|cli)[\w.]*)", text):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), f"{page}: {module}"
        for program in re.findall(r"python ((?:examples|tests)/[\w./]+)", text):
            assert (ROOT / program).exists(), f"{page}: {program}"


def test_names_in_docstrings_and_pages_exist():
    """`room.module.Name` in backticks: a file or a folder of ours, and a name in it."""
    known = r"`((?:sds|representations|students|cli|tests)(?:\.\w+)+)`"
    pages = [path for kind in ("*.md", "*.py") for path in ROOT.rglob(kind) if is_ours(path)]
    named = {(name, page) for page in pages for name in re.findall(known, page.read_text(encoding="utf-8"))}
    assert len(named) > 150
    assert not sorted(f"{page.relative_to(ROOT)}: {name}" for name, page in named if not is_a_name(name))


def is_a_name(name: str) -> bool:
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:count])
        for module in (path.with_suffix(".py"), path / "__init__.py"):
            if module.exists():
                return (
                    count == len(parts)
                    or re.search(rf"\b{parts[-1]}\b", module.read_text(encoding="utf-8")) is not None
                )
    return False
