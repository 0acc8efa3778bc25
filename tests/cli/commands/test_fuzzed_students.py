"""Students' folders with anything in them: they draw, or one line says what is wrong, and nothing hangs."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from cli.errors import is_expected, one_line
from cli.last_teacher import last_teacher
from cli.main import main
from cli.sampling import sample_student
from sds.teachers.shape_teacher import plain_lexicon
from tests.hostile_values import STRANGE, places, replaced
from tests.sds.tiny_shapes import save_talking_teacher, tiny_prior

KINDS = {"told": 10, "plain": 20}
"""A student that is told words and the guidance scale, and one of diffusers' parts alone; how often each is tried."""

UNREAD = ("tokenizer.json", "vocab.json", "lexicon.json")
"""Files of thousands of values of one kind."""


def fuzz(kind: str) -> settings:
    return settings(
        max_examples=KINDS[kind],
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@pytest.fixture(scope="module")
def students(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("students")
    save_talking_teacher(root / "teacher")
    plain_lexicon(tiny_prior()).save(root / "teacher" / "words")
    options = ["--steps", "2", "--pairs", "2", "--path-steps", "2", "--prompt", "a table"]
    for name, teacher, method in (("told", root / "teacher", "guidance"), ("plain", tiny_teacher, "one-pass")):
        more = ["--guidance-scale", "1"] if name == "plain" else []
        assert (
            main(["distill", "--teacher", str(teacher), "--out", str(root / name), "--method", method, *options, *more])
            == 0
        )
        shutil.rmtree(root / name / "training")
    return {name: root / name for name in KINDS}


def drawn_or_refused(folder: Path) -> str:
    """What is said of a student, "" if it draws; fails for errors that the command would end in a traceback for."""
    last_teacher.cache_clear()
    try:
        picture = sample_student("a table", folder, count=1)
    except Exception as error:
        if not is_expected(error):
            raise
        said = one_line(error)
        assert said
        assert "\n" not in said
        return said
    assert isinstance(picture, Tensor)
    assert 0 <= picture.min() <= picture.max() <= 1
    return ""


@contextmanager
def instead_of(path: Path) -> Iterator[None]:
    """A file of a folder is put back when the block ends."""
    whole = path.read_bytes()
    try:
        yield
    finally:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        path.write_bytes(whole)


def files_of(folder: Path, pattern: str = "*") -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(pattern) if path.is_file())


@pytest.mark.parametrize("kind", KINDS)
def test_any_value_anywhere(students: dict[str, Path], kind: str):
    folder = students[kind]
    names = [name for name in files_of(folder, "*.json") if Path(name).name not in UNREAD]
    choices = [(name, place) for name in names for place in places(json.loads((folder / name).read_text()))]

    @fuzz(kind)
    @given(choice=st.sampled_from(choices), value=st.sampled_from(STRANGE))
    def check(choice: tuple[str, tuple[Any, ...]], value: Any) -> None:
        path = folder / choice[0]
        with instead_of(path):
            path.write_text(json.dumps(replaced(json.loads(path.read_text()), choice[1], value)))
            drawn_or_refused(folder)

    check()
    assert drawn_or_refused(folder) == ""


def another_kind(path: Path, kind: str) -> None:
    """Something else with the name of a file."""
    path.unlink()
    {
        "nothing": lambda: None,
        "empty": lambda: path.write_bytes(b""),
        "deep": lambda: path.write_text("[" * 100_000),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to("/etc/passwd"),
        "lost link": lambda: path.symlink_to(path.parent / "nowhere"),
        "circle": lambda: path.symlink_to(path),
    }[kind]()


ANOTHER = ("nothing", "empty", "deep", "folder", "pipe", "link", "lost link", "circle")


@pytest.mark.parametrize("kind", KINDS)
def test_any_file_of_another_kind(students: dict[str, Path], kind: str):
    folder = students[kind]

    @fuzz(kind)
    @given(name=st.sampled_from(files_of(folder)), what=st.sampled_from(ANOTHER))
    def check(name: str, what: str) -> None:
        with instead_of(folder / name):
            another_kind(folder / name, what)
            drawn_or_refused(folder)

    check()
    assert drawn_or_refused(folder) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_any_damage(students: dict[str, Path], kind: str):
    folder = students[kind]

    @fuzz(kind)
    @given(name=st.sampled_from(files_of(folder)), data=st.data())
    def check(name: str, data: st.DataObject) -> None:
        with instead_of(folder / name):
            content = bytearray((folder / name).read_bytes())
            for _ in range(data.draw(st.integers(1, 3))):
                content[data.draw(st.integers(0, min(len(content) - 1, 400)))] = data.draw(st.integers(0, 255))
            length = data.draw(st.sampled_from([len(content), len(content) // 2, 9]))
            (folder / name).write_bytes(content[:length])
            drawn_or_refused(folder)

    check()
    assert drawn_or_refused(folder) == ""
