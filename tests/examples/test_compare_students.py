"""The comparison of all methods in its smallest form: the digits teacher, and students that beat its one step."""

import json
import sys
from dataclasses import replace
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


STEPS = 30


@pytest.fixture(scope="module")
def comparison(compare, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, float]]]:
    """Three students of few steps."""
    out = tmp_path_factory.mktemp("comparison")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"PAIRS": 64, "LOOKS": 2, "BATCH_SIZE": 16}.items():
            patch.setattr(compare, name, value)
        patch.setattr(compare, "SUBJECTS", {"digits": lambda: replace(compare.digits(), draws=2)})
        patch.setattr(compare, "TEACHERS", {"teacher, 8 steps": 8, "teacher, 1 step": 1})
        arguments = ["compare.py", "--out", str(out), "--steps", str(STEPS), "--methods"]
        patch.setattr(sys, "argv", [*arguments, "one-pass", "diff-instruct", "consistency"])
        compare.main()
        patch.setattr(compare, "train_student", lambda *_: pytest.fail("what is finished is not done again"))
        compare.main()
    results = {row["name"]: row for row in json.loads((out / "results.json").read_text())}
    return out, results


def test_held_out_digits_are_held_out(compare):
    (shown, _), (hidden, labels) = compare.digits().seen, compare.digits().held_out
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


def test_what_is_spent_is_counted_and_looks_are_free(comparison):
    _, results = comparison
    assert results["one-pass"]["evaluations"] == 16 * 64 + 1  # paths of sixteen steps, the mark of their teacher
    assert results["diff-instruct"]["evaluations"] == 16 * STEPS
    assert results["consistency"]["evaluations"] == 2 * 16 * STEPS  # Heun's steps
    for method in ("one-pass", "diff-instruct", "consistency"):
        curve = results[method]["curve"]
        assert [point[0] for point in curve] == [STEPS // 2, STEPS]
        assert curve[-1][1:3] == [results[method]["evaluations"], results[method]["seconds"]]
        assert curve[0][2] < curve[1][2]


def test_students_that_are_free_to_are_drawn_from_in_few_steps(comparison):
    out, results = comparison
    assert [row[0] for row in results["consistency"]["few_steps"]] == [2.0, 4.0]
    assert results["one-pass"]["few_steps"] == []
    assert "| consistency | " in (out / "table.md").read_text().split("2 steps | 4 steps")[1]


def test_a_mean_and_a_copy_are_found_out(compare):
    """Class means with a little noise have a kernel distance far above its spread; copies have no distance at all."""
    from judging import judged

    subject = compare.digits()
    shown, kinds = subject.seen
    means = torch.stack([shown[kinds == digit].mean(0) for digit in range(10)])
    noise = 0.02 * torch.randn(497, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    mean = judged(subject, "means", [means[subject.held_out[1]] + noise])
    assert mean.kernel > 5 * mean.kernel_spread
    assert mean.recall < 0.05
    copies = judged(subject, "copies", [shown[:497]])
    assert copies.nearest_training < 1e-5
    assert copies.nearest_held_out > 3


def test_the_table_and_the_page(comparison):
    out, results = comparison
    lines = (out / "table.md").read_text().splitlines()
    rows = lines[2 : 2 + len(results)]
    distances = [float(line.split("|")[4].split()[0]) for line in rows]
    assert distances == sorted(distances)
    picture = imageio.imread(out / "page.png")
    assert picture.std() > 0
    assert imageio.imread(out / "sheets" / "one-pass.png").ndim == 3


def test_seeds_are_averaged_and_their_spread_is_told(comparison, compare):
    from judging import over_seeds

    first = compare.Result(**comparison[1]["consistency"])
    second = replace(first, seed=1, frechet=first.frechet + 0.2, few_steps=[[2.0, 0.5, 0.1], [4.0, 0.3, 0.2]])
    other = compare.Result(**comparison[1]["one-pass"])
    mean, alone = over_seeds([first, other, second])
    assert alone == other
    assert (mean.name, mean.seeds) == ("consistency", 2)
    assert mean.frechet == pytest.approx(first.frechet + 0.1)
    assert mean.frechet_spread == pytest.approx(0.2 / 2**0.5)  # of two, divided by one less
    assert mean.few_steps[0] == pytest.approx(
        [2.0, (first.few_steps[0][1] + 0.5) / 2, (first.few_steps[0][2] + 0.1) / 2]
    )
