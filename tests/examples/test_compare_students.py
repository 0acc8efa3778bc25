"""The comparison of all methods in its smallest form: the digits teacher, and students that beat its one step."""

import json
import sys
from pathlib import Path

import imageio.v3 as imageio
import pytest
import torch

FOLDER = Path(__file__).parents[2] / "examples" / "compare_students"


@pytest.fixture(scope="module")
def compare():
    sys.path.insert(0, str(FOLDER))
    import compare

    yield compare
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def comparison(compare, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, float]]]:
    """Two students after 960 evaluations of the teacher each."""
    out = tmp_path_factory.mktemp("comparison")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"BUDGET": 960, "MOST_STEPS": 30, "TRIAL_STEPS": 2}.items():
            patch.setattr(compare, name, value)
        patch.setattr(compare, "TEACHERS", {"teacher, 8 steps": 8, "teacher, 1 step": 1})
        arguments = ["compare.py", "--out", str(out), "--methods", "one-pass", "diff-instruct"]
        patch.setattr(sys, "argv", arguments)
        compare.main()
        patch.setattr(compare, "train_student", lambda *_: pytest.fail("what is finished is not done again"))
        compare.main()
    results = {row["name"]: row for row in json.loads((out / "results.json").read_text())}
    return out, results


def test_held_out_digits_are_held_out(compare):
    (shown, _), (hidden, labels) = compare.digits(held_out=False), compare.digits(held_out=True)
    assert (len(shown), len(hidden)) == (1300, 497)
    assert float(torch.cdist(hidden[:, 0].flatten(1), shown[:, 0].flatten(1)).min()) > 0
    assert set(labels.tolist()) == set(range(10))


def test_students_draw_digits_where_their_teachers_one_step_draws_means(comparison):
    _, results = comparison
    for method in ("one-pass", "diff-instruct"):
        assert results[method]["frechet"] < 0.8 * results["teacher, 1 step"]["frechet"]
    assert results["teacher, 1 step"]["distinct"] < 0.3  # the mean of a digit's shapes, whatever the noise
    assert results["one-pass"]["distinct"] > results["teacher, 1 step"]["distinct"] + 0.2
    assert results["real digits"]["recall"] > 0.7


def test_budgets_are_kept_and_counted(comparison):
    _, results = comparison
    for method in ("one-pass", "diff-instruct"):
        assert 0.95 * 960 <= results[method]["evaluations"] <= 960
    assert results["one-pass"]["evaluations"] == 16 * 59 + 1  # paths of sixteen steps, the mark of their teacher
    assert results["diff-instruct"]["evaluations"] == 32 * 30


def test_the_table_and_the_picture(comparison):
    out, results = comparison
    lines = (out / "table.md").read_text().splitlines()
    assert len(lines) == 2 + len(results)
    distances = [float(line.split("|")[2]) for line in lines[2:]]
    assert distances == sorted(distances)
    picture = imageio.imread(out / "plane.png")
    assert picture.std() > 0
    assert imageio.imread(out / "sheets" / "one-pass.png").ndim == 3
