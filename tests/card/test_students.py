"""Every method of distillation on a card: three steps in half precision, from a teacher that runs in it."""

from pathlib import Path

import pytest
import torch

from sds.checkpoint import load_checkpoint, save_checkpoint
from sds.teachers.diffusers import load_diffusers_teacher
from students.recipes.catalogue import RECIPES
from students.recipes.order import Order
from tests.card.conftest import EVERYTHING
from tests.card.rules import Counts

TEXTS = ["a red chair", "a cat"]


def order(folder: Path, method: str) -> Order:
    teacher = load_diffusers_teacher(folder, "cuda")
    return Order(teacher, TEXTS, None, method, steps=8, path_steps=4, pairs=64, batch_size=2, critic_steps=1)


EACH_LOOP = ("dmd2", "consistency", "ufogen", "scm")
"""What `make test` takes; `make test-cuda` takes all methods. One is of the engine with a critic and a discriminator,
one of regressions, one with features that learn, one with a derivative."""


@pytest.mark.parametrize("bfloat16", [True, False])
@pytest.mark.parametrize("method", RECIPES if EVERYTHING else EACH_LOOP)
def test_three_steps_of_every_method(
    teachers: dict[str, Path], card: Counts, monkeypatch: pytest.MonkeyPatch, method: str, bfloat16: bool
) -> None:
    if not bfloat16 and method not in EACH_LOOP[:1]:
        pytest.skip("float16 differs from bfloat16 in the loops alone")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bfloat16)
    run = RECIPES[method](order(teachers["deepfloyd-if"], method))
    before = {name: weight.detach().clone() for name, weight in run.student.named_parameters()}
    card.clear()
    for _ in range(3):
        signals = run.signals(run.trainer.step())
        assert all(value == value for value in signals.values()), signals
    after = dict(run.student.named_parameters())
    assert all(weight.dtype is torch.float32 and bool(torch.isfinite(weight).all()) for weight in after.values())
    assert any(bool((after[name] != before[name]).any()) for name in before)
    assert card.total("float64") == 0, card.listed("float64")
    assert {weight.dtype for weight in run.network().parameters()} == {torch.float32}


def test_a_run_on_the_card_continues_from_a_checkpoint(teachers: dict[str, Path], card: Counts, tmp_path: Path) -> None:
    run = RECIPES["dmd"](order(teachers["deepfloyd-if"], "dmd"))
    run.trainer.step()
    save_checkpoint(tmp_path / "checkpoint.pt", run.trainer.state_dict())
    again = RECIPES["dmd"](order(teachers["deepfloyd-if"], "dmd"))
    again.trainer.load_state_dict(load_checkpoint(tmp_path / "checkpoint.pt"))
    expected, found = run.trainer.step(), again.trainer.step()
    assert float(found.distance) == pytest.approx(float(expected.distance), rel=1e-5)
