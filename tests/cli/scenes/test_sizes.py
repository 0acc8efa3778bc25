"""Sizes in metres from a teacher's list of models."""

from pathlib import Path

import pytest

from cli.scenes.sizes import UNKNOWN, longest_side


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    (tmp_path / "models.csv").write_text(
        "library,key,noun,fine_name,creator,longest_side_m\n"
        "a,1,chair,,me,0.8\na,2,chair,,me,1.0\na,3,chair,rocking chair,me,1.2\na,4,mug,,me,0.1\na,5,ghost,,me,\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("prompt", "noun", "metres"),
    [
        ("a red chair", "chair", 1.0),  # the median of 0.8, 1.0 and 1.2
        ("A Rocking Chair", "chair", 1.2),
        ("a blue mug", "mug", 0.1),
        ("a beaker", "mug", 0.1),  # a synonym: only the noun is on the list
        ("a unicorn", None, UNKNOWN),
        ("a ghost", "ghost", UNKNOWN),
    ],
)
def test_longest_side(teacher: Path, prompt: str, noun: str | None, metres: float):
    assert longest_side(prompt, noun, teacher) == pytest.approx(metres)


def test_a_teacher_without_a_list(tmp_path: Path):
    assert longest_side("a chair", "chair", tmp_path) == UNKNOWN
