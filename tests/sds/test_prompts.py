import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sds.denoiser import Condition, Teacher, View
from sds.guidance import Guidance
from sds.prompts import BAD_IMAGE, Direction, Directions, PerpNeg, PromptSet, condition_for
from sds.score import score_gradient
from sds.teachers.diffusers import load_diffusers_teacher
from tests.sds import tiny_pipelines as tiny
from tests.sds.toys import ToyTeacher


@dataclass(frozen=True)
class Cameras:
    azimuth: Tensor
    elevation: Tensor
    background: Tensor


def seen_from(*degrees: tuple[float, float]) -> Cameras:
    """Cameras from (azimuth, elevation) in degrees."""
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return Cameras(angles[:, 0], angles[:, 1], torch.ones(len(degrees), 3))


class Echo(ToyTeacher):
    """A teacher whose condition is one number for each prompt, and that writes down what it was asked."""

    NUMBERS: ClassVar = {"cat": 1.0, "cat, front view": 10.0, "cat, side view": 20.0, "cat, back view": 40.0, "": 0.0}

    def __init__(self, knows_views: bool = False) -> None:
        super().__init__(knows_views)
        self.asked: list[str] = []

    def condition(self, prompts: Sequence[str], view: View | None = None) -> Condition:
        self.asked += prompts
        numbers = torch.tensor([self.NUMBERS.get(prompt, 100.0) for prompt in prompts])
        return Condition({"text": numbers if view is None or not self.knows_views else numbers + view.azimuth.float()})


def test_directions_are_written_out() -> None:
    cameras = seen_from((0, 0), (45, 0), (-90, 0), (135, 0), (180, 0), (0, 90), (0, 60), (90, 45), (30, -20))
    expected = [
        [1, 0, 0, 0],
        [0.5, 0.5, 0, 0],
        [0, 1, 0, 0],
        [0, 0.5, 0.5, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [0.5, 0, 0, 0.5],
        [0, 0.75, 0, 0.25],
        [2 / 3, 1 / 3, 0, 0],
    ]
    torch.testing.assert_close(Directions().weights(cameras), torch.tensor(expected, dtype=torch.float64))


def test_a_hard_switch_has_one_direction_each() -> None:
    cameras = seen_from((29, 0), (31, 0), (-149, 0), (151, 0), (0, 59), (180, 61))
    hard = Directions(front_within=30, back_within=30, softness=0)
    assert hard.weights(cameras).argmax(1).tolist() == [0, 1, 1, 2, 0, 3]
    assert set(hard.weights(cameras).flatten().tolist()) == {0.0, 1.0}


@given(azimuth=st.floats(-720, 720), elevation=st.floats(-90, 90), softness=st.floats(0, 45))
def test_directions_share_each_camera_and_know_no_left_or_right(
    azimuth: float, elevation: float, softness: float
) -> None:
    directions = Directions(softness=softness)
    here, turned, mirrored = directions.weights(
        seen_from((azimuth, elevation), (azimuth + 360, elevation), (-azimuth, elevation))
    )
    assert float(here.sum()) == pytest.approx(1)
    assert float(here.min()) >= 0
    assert float(here.max()) <= 1
    if softness > 1:  # a sharp border may fall on either side of a rounding error
        torch.testing.assert_close(here, turned)
        torch.testing.assert_close(here, mirrored)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"softness": 50}, "softness"),
        ({"softness": -1}, "softness"),
        ({"front_within": 100, "back_within": 60, "softness": 15}, "overlap"),
        ({"overhead_above": 91}, "overhead_above"),
    ],
)
def test_impossible_directions_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Directions(**wrong)


def test_perp_neg_weights_are_written_out_and_meet_at_the_side() -> None:
    front, side = PerpNeg().weights(seen_from((0, 0), (90, 0), (-180, 0), (89.999, 0), (90.001, 0)))
    # a exp(-b r) + c at r = 1 and r = 0, with the numbers of threestudio
    torch.testing.assert_close(front[0], torch.tensor(-(4 * math.exp(-0.5) - 2.426), dtype=torch.float64))
    torch.testing.assert_close(front[1:3], torch.tensor([-(4 - 2.426), -(1 + 0.967)], dtype=torch.float64))
    torch.testing.assert_close(side[0], torch.tensor(-(4 - 2.426), dtype=torch.float64))
    torch.testing.assert_close(side[2], torch.tensor(-(1 - 0.606), dtype=torch.float64))
    # The prompt that is right is not pushed away, and nothing jumps where one pair of views hands over to the next.
    assert abs(float(front[0])) < 1e-3
    assert abs(float(side[1])) < 1e-3
    torch.testing.assert_close(front[3:4], front[4:5], rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(side[3:4], side[4:5], rtol=1e-2, atol=1e-3)


def test_view_prompts_are_mixed_by_what_the_camera_sees() -> None:
    teacher = Echo()
    cameras = seen_from((0, 0), (45, 0), (90, 0), (135, 0), (180, 0), (90, 90), (0, 60))
    conditions = condition_for(teacher, PromptSet("cat"), cameras, 7)
    torch.testing.assert_close(conditions.conditional.tensors["text"], torch.tensor([10.0, 15, 20, 30, 40, 100, 55]))
    assert conditions.unconditional.tensors["text"].tolist() == [0.0] * 7
    assert conditions.negative is None
    assert set(teacher.asked) == {"cat, front view", "cat, side view", "cat, back view", "cat, overhead view", ""}


def test_only_what_some_camera_sees_is_asked_for() -> None:
    teacher = Echo()
    condition_for(teacher, PromptSet("cat"), seen_from((0, 0), (0, 10)), 2)
    assert set(teacher.asked) == {"cat, front view", ""}


def test_a_teacher_that_knows_views_is_told_numbers_and_the_plain_prompt() -> None:
    teacher = Echo(knows_views=True)
    cameras = seen_from((0, 0), (180, 0))
    conditions = condition_for(teacher, PromptSet("cat", perp_neg=PerpNeg()), cameras, 2)
    torch.testing.assert_close(conditions.conditional.tensors["text"], torch.tensor([1.0, 1 + math.pi]))
    torch.testing.assert_close(conditions.unconditional.tensors["text"], torch.tensor([0.0, math.pi]))
    assert conditions.perpendicular == ()
    assert set(teacher.asked) == {"cat", ""}


def test_without_a_camera_or_without_directions_the_prompt_is_plain() -> None:
    plain = [1.0, 1.0]
    assert condition_for(Echo(), PromptSet("cat"), None, 2).conditional.tensors["text"].tolist() == plain
    silent = PromptSet("cat", directions=None)
    cameras = seen_from((0, 0), (180, 0))
    assert condition_for(Echo(), silent, cameras, 2).conditional.tensors["text"].tolist() == plain


def test_manual_prompts_negatives_and_everything_that_may_be_said() -> None:
    prompts = PromptSet("cat", "ugly", BAD_IMAGE, by_direction={Direction.BACK: "a tail"})
    teacher = Echo()
    conditions = condition_for(teacher, prompts, seen_from((0, 0), (90, 0), (180, 0), (0, 90)), 4)
    assert set(teacher.asked) == {
        *("cat, front view", "cat, side view", "a tail", "cat, overhead view"),
        *("ugly", BAD_IMAGE),
    }
    assert set(teacher.asked) <= set(prompts.texts())
    assert conditions.negative is not None


def test_the_critic_is_told_the_prompt_without_the_view() -> None:
    critic = Echo()
    conditions = condition_for(Echo(), PromptSet("cat"), seen_from((180, 0)), 1, critic)
    assert conditions.reference is not None
    assert conditions.reference.tensors["text"].tolist() == [1.0]
    assert critic.asked == ["cat"]


def test_the_null_prompt_is_not_read_where_nobody_asks_for_it() -> None:
    teacher = Echo(knows_views=True)
    conditions = condition_for(teacher, PromptSet("cat"), seen_from((0, 0)), 1, with_null=False)
    assert teacher.asked == ["cat"]
    assert conditions.unconditional is conditions.conditional
    plain = condition_for(teacher, PromptSet("cat"), seen_from((0, 0)), 1)
    x, t = torch.randn(1, *teacher.shape), torch.tensor([0.5], dtype=torch.float64)
    one, other = (
        score_gradient(teacher, x, torch.zeros_like(x), t, told, Guidance(1.0)).gradient for told in (conditions, plain)
    )
    assert torch.equal(one, other)


def test_perp_neg_gives_the_front_and_the_side_as_negatives_and_fades_overhead() -> None:
    cameras = seen_from((180, 0), (180, 60), (180, 90))
    conditions = condition_for(Echo(), PromptSet("cat", perp_neg=PerpNeg(scale=2.0)), cameras, 3)
    front, side = conditions.perpendicular
    assert front.condition.tensors["text"].tolist() == [10.0] * 3
    assert side.condition.tensors["text"].tolist() == [20.0] * 3
    torch.testing.assert_close(front.weight, -2 * 1.967 * torch.tensor([1, 0.5, 0], dtype=torch.float64))
    torch.testing.assert_close(side.weight, -2 * 0.394 * torch.tensor([1, 0.5, 0], dtype=torch.float64))


def test_mistakes_are_refused() -> None:
    with pytest.raises(ValueError, match="Perp-Neg works on view prompts"):
        PromptSet("cat", directions=None, perp_neg=PerpNeg())
    with pytest.raises(ValueError, match="3 images but 1 cameras"):
        condition_for(Echo(), PromptSet("cat"), seen_from((0, 0)), 3)


def test_the_view_prompt_changes_the_gradient_of_a_real_text_teacher(tmp_path: Path) -> None:
    tiny.stable_diffusion(tmp_path / "work").save_pretrained(tmp_path / "teacher")
    teacher: Teacher = load_diffusers_teacher(tmp_path / "teacher")
    rng = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 1, *teacher.shape, generator=rng)
    t = torch.tensor([0.5], dtype=torch.float64)

    def gradient(azimuth: float, prompts: PromptSet) -> Tensor:
        conditions = condition_for(teacher, prompts, seen_from((azimuth, 0)), 1)
        return score_gradient(teacher, x, noise, t, conditions, Guidance(5.0)).gradient

    spoken = PromptSet("a cat")
    silent = PromptSet("a cat", directions=None)
    assert (gradient(0, spoken) - gradient(180, spoken)).abs().max() > 1e-3
    torch.testing.assert_close(gradient(0, silent), gradient(180, silent))
    torch.testing.assert_close(gradient(90, spoken), gradient(-90, spoken))
    with_negatives = PromptSet("a cat", perp_neg=PerpNeg())
    assert (gradient(180, spoken) - gradient(180, with_negatives)).abs().max() > 1e-3
