"""The Janus score, on an object whose sides are known."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from sds.denoiser import Condition, View
from sds.schedule import cosine_schedule
from sds.view_agreement import judge, view_agreement
from tests.sds.toys import ToyTeacher, ToyView


class OneObject:
    """A teacher that knows one object: its picture from azimuth a is a flat gray of (1 + cos(a)) / 2, sides shaded."""

    knows_views = True
    shape = (3, 2, 2)
    schedule = cosine_schedule()

    def condition(self, prompts: Sequence[str], view: View | None) -> Condition:
        assert view is not None
        return Condition({"azimuth": view.azimuth})

    def picture(self, azimuth: Tensor) -> Tensor:
        return ((azimuth.cos() + 2 * azimuth.sin() + 3) / 6)[:, None, None, None].expand(-1, 3, 2, 2)

    def encode(self, image: Tensor) -> Tensor:
        return image * 2 - 1

    def decode(self, x: Tensor) -> Tensor:
        return (x + 1) / 2

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self.encode(self.picture(condition.tensors["azimuth"]))


def around(count: int) -> ToyView:
    return ToyView(torch.arange(count) * 2 * math.pi / count, torch.zeros(count), torch.ones(count, 3))


def test_a_correct_object_has_no_mistaken_side():
    teacher, view = OneObject(), around(8)
    result = view_agreement(teacher, teacher.picture(view.azimuth), "it", view)
    assert result.janus_score == 0
    assert result.mistaken == 0
    torch.testing.assert_close(result.errors[:, 0], torch.zeros(8), atol=1e-10, rtol=0)


def test_an_object_with_its_front_on_every_side_has_the_worst_score():
    teacher, view = OneObject(), around(8)
    front_everywhere = teacher.picture(torch.zeros(8))
    # cos a + 2 sin a is 1 at the front. At 135 degrees it is 0.71, nearer to 1 than the 2.12 of the nearest turn to the
    # front; at 90, 180, 225 and 270 degrees it is 2, -1, -2.12 and -2, and the front or its neighbour is nearer.
    assert view_agreement(teacher, front_everywhere, "it", view).janus_score == pytest.approx(4 / 5)
    assert view_agreement(teacher, front_everywhere[::2], "it", around(4)).janus_score == 1


def test_an_object_that_is_the_same_all_round_is_not_blamed():
    errors = torch.full((8, 4), 0.2) + 0.001 * torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    result = judge(errors, around(8).azimuth)
    assert result.janus_score == 0
    assert result.mistaken == 0


def test_scores_by_hand():
    azimuth = torch.tensor([0.0, math.pi / 2, math.pi])
    errors = torch.tensor(
        [
            [1.0, 0.5, 1.0, 1.0],  # a front that looks like a side: mistaken, but no Janus
            [1.0, 1.0, 1.0, 0.5],  # a side turned by -90 degrees is the front: Janus
            [1.0, 1.0, 0.96, 1.0],  # a back that looks a little like the front: not clearly
        ]
    )
    result = judge(errors, azimuth)
    assert result.janus_score == pytest.approx(1 / 2)
    assert result.mistaken == pytest.approx(2 / 3)


def test_a_teacher_without_views_cannot_say():
    with pytest.raises(ValueError, match="told the camera"):
        view_agreement(ToyTeacher(knows_views=False), torch.zeros(1, 3, 4, 4), "it", around(1))
