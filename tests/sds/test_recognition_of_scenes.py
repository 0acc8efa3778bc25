"""A classifier of single things finds several in one picture."""

import torch
from torch import Tensor

from sds.recognition import Recogniser
from sds.recognition_of_scenes import SPLITS, alone, found_in_parts, halves

RED, BLUE = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])


class ByColour(Recogniser):
    """Knows red and blue things from one another by the mean of the middle, and nothing of a mixture."""

    def logits(self, images: Tensor) -> Tensor:
        middle = images[:, :, 4:12, 4:12].mean((2, 3))
        pure = torch.stack([middle[:, 2] - middle[:, 0], middle[:, 0] - middle[:, 2]], dim=1)
        return torch.cat([pure, torch.full((len(images), 1), 0.9)], dim=1)


def two_squares(vertical: bool) -> Tensor:
    """(3, 16, 16): a red square and a blue one, beside or above one another, over white."""
    picture = torch.ones(3, 16, 16)
    picture[:, 2:6, 3:7] = RED[:, None, None]
    place = (slice(9, 13), slice(3, 7)) if vertical else (slice(2, 6), slice(10, 14))
    picture[:, place[0], place[1]] = BLUE[:, None, None]
    return picture


def test_what_is_alone_fills_its_picture_and_nothing_stays_white() -> None:
    part = torch.ones(3, 10, 20)
    part[:, 1:3, 12:16] = RED[:, None, None]
    shown = alone(part, 16)
    assert torch.allclose(shown[:, 8, 8], RED, atol=0.05)
    assert torch.allclose(shown[:, 0, :], torch.ones(3, 16))
    wide, high = ((shown[1] < 0.5).any(0).sum(), (shown[1] < 0.5).any(1).sum())
    assert 10 <= int(wide) <= 13
    assert abs(int(high) - int(wide) / 2) <= 1
    assert torch.equal(alone(torch.ones(3, 4, 9), 8), torch.ones(3, 8, 8))


def test_halves_together_are_the_picture() -> None:
    picture = torch.rand(3, 20, 30)
    beside, above = halves(picture)
    assert len(beside) == len(above) == len(SPLITS)
    assert all(torch.equal(torch.cat(pair, dim=2), picture) for pair in beside)
    assert all(torch.equal(torch.cat(pair, dim=1), picture) for pair in above)


def test_both_things_are_found_where_the_whole_shows_neither() -> None:
    judge = ByColour(names={"blue thing": ["blue thing"], "red thing": ["red thing"], "unknown": ["unknown"]}, size=16)
    for vertical in (False, True):
        picture = two_squares(vertical)
        assert int(judge.logits(alone(picture, 16)[None]).argmax()) == 2
        ranks, probabilities = found_in_parts(judge, picture, ["red thing", "blue thing"])
        assert ranks == [0, 0]
        assert min(probabilities) > 0.4
    only_red = torch.where((two_squares(False) == BLUE[:, None, None]).all(0), 1.0, two_squares(False))
    assert found_in_parts(judge, only_red, ["red thing", "blue thing"])[0][1] > 0
