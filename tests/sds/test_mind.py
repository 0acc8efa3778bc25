"""A mind imagines each thing once, and forgets what was not needed for longest."""

import pytest
import torch
from torch import Tensor

from sds.teachers import mind as minds
from sds.teachers.mind import Mind
from sds.teachers.shape_teacher import plain_lexicon
from tests.sds.imagined import TwoThings


class Counted(TwoThings):
    def __init__(self) -> None:
        super().__init__()
        self.imagined = 0

    def field(self, code: Tensor, side: int) -> Tensor:
        self.imagined += 1
        return super().field(code, side)


def mind_of(prior: TwoThings) -> Mind:
    return Mind(prior, plain_lexicon(prior))  # type: ignore[arg-type]


def test_prompts_of_one_thing_share_what_was_imagined_of_it() -> None:
    prior = Counted()
    mind = mind_of(prior)
    red, blue = mind.scene("a red ball", 0, 16), mind.scene("a blue ball", 0, 16)
    assert prior.imagined == 1
    assert torch.equal(red.field, blue.field)
    assert red.paint != blue.paint
    assert mind.scene("a red ball", 0, 16) is red
    mind.scene("a red ball", 0, 24)
    assert prior.imagined == 2


def test_what_was_not_needed_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    field = 9 * 8**3 * 4
    monkeypatch.setattr(minds, "_BYTES_OF_SCENES", 2 * field)
    mind = mind_of(TwoThings())
    first, second = mind.scene("a ball", 0, 8), mind.scene("a red ball", 0, 8)
    assert mind.scene("a ball", 0, 8) is first
    mind.scene("a blue ball", 0, 8)
    assert mind.scene("a ball", 0, 8) is first
    assert mind.scene("a red ball", 0, 8) is not second
