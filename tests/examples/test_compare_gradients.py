"""The comparison of score gradients: what it measures by hand, and that what is finished is not made again."""

import json
import runpy
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "examples" / "compare_gradients" / "compare.py"


@pytest.fixture(scope="module")
def compare():
    return runpy.run_path(str(SCRIPT))


def test_colours_and_differences_by_hand(compare, tmp_path: Path):
    picture = torch.ones(1, 3, 2, 2)
    picture[0, :, 0, 0] = torch.tensor([0.0, 0.5, 1.0])  # the only pixel that is not white
    torch.testing.assert_close(compare["mean_colour"](picture), torch.tensor([0.0, 0.5, 1.0]))
    for seed, value in ((0, 0.0), (1, 0.5), (2, 1.0)):
        torch.save(torch.full((2, 3, 2, 2), value), tmp_path / f"sds-a-mug-{seed}.pt")
    assert compare["diversity"](tmp_path, "sds", "a mug", [0, 1, 2]) == pytest.approx((0.5 + 0.5 + 1.0) / 3)
    assert compare["diversity"](tmp_path, "sds", "a mug", [0]) == 0


def test_what_was_made_is_not_made_again(compare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for seed in (0, 1):
        result = compare["Result"]("sds", "a mug", seed, 40, 0.5 + 0.2 * seed, 0.1, 0.0)
        (tmp_path / f"sds-a-mug-{seed}.json").write_text(json.dumps(asdict(result)))
        torch.save(torch.full((2, 3, 8, 8), 0.5 * seed), tmp_path / f"sds-a-mug-{seed}.pt")
    wanted = ["--methods", "sds", "--prompts", "a mug", "--seeds", "0", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *wanted])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert "| sds | 40 | 0.60 | 0.100 | 0.00 | 0.500 |" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "page.png").exists()
