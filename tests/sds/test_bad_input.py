"""Input that torch would take and make something else of: it is refused, and nothing is broadcast in silence."""

import pytest
import torch
from torch import Tensor

from sds.baselines import Baseline, sds
from sds.denoiser import Condition
from sds.guidance import Guidance
from sds.schedule import Prediction, cosine_schedule, output_from_x0, x0_from
from sds.score import score_gradient
from tests.sds.tiny_shapes import talking_teacher, view
from tests.sds.toys import ToyTeacher, told


def images(count: int = 4) -> Tensor:
    return torch.rand(count, 3, 4, 4) * 2 - 1


@pytest.mark.parametrize(
    ("x0", "noise", "t"),
    [
        (images(), images(), torch.tensor([0.5])),
        (images(), images(), torch.full((3,), 0.5)),
        (images(), images(1), torch.full((4,), 0.5)),
        (images(), images()[:, :1], torch.full((4,), 0.5)),
        ((images() * 127).byte(), images(), torch.full((4,), 0.5)),
        (images(), images().long(), torch.full((4,), 0.5)),
        (images(), images(), torch.tensor(0.5)),
        (images(), images(), torch.full((4,), float("nan"))),
    ],
)
def test_only_one_batch_of_numbers_is_noised_and_scored(x0: Tensor, noise: Tensor, t: Tensor):
    teacher = ToyTeacher()
    with pytest.raises(ValueError, match="must"):
        cosine_schedule().add_noise(x0, noise, t)
    with pytest.raises(ValueError, match="must"):
        score_gradient(teacher, x0, noise, t, told(teacher)(4), Guidance(2.0), sds)


def test_what_is_told_is_about_as_many_images_as_there_are():
    teacher, t = ToyTeacher(), torch.full((4,), 0.5)
    with pytest.raises(ValueError, match="4 images, but what is told is about 1"):
        score_gradient(teacher, images(), images(), t, told(teacher)(1), Guidance(2.0), sds)


@pytest.mark.parametrize("baseline", [Baseline(), Baseline(image=0.5), Baseline(image=1.0, unconditional=0.5)])
def test_the_shares_of_a_baseline_add_up_to_one(baseline: Baseline):
    teacher, t = ToyTeacher(), torch.full((4,), 0.5)
    with pytest.raises(ValueError, match="add up to 1"):
        score_gradient(teacher, images(), images(), t, told(teacher)(4), Guidance(2.0), lambda t, progress: baseline)


@pytest.mark.parametrize("name", ["epsilon", "v_prediction", None, 3])
def test_a_prediction_is_one_of_four(name: object):
    x, alpha, sigma = images(2), torch.full((2,), 0.8), torch.full((2,), 0.6)
    for convert in (x0_from, output_from_x0):
        with pytest.raises(ValueError, match=r"Prediction\.EPSILON"):
            convert(name, x, x, alpha, sigma)
    assert x0_from(Prediction("epsilon"), x, x, alpha, sigma) == pytest.approx((x - 0.6 * x) / 0.8)


@pytest.mark.parametrize("prompts", ["red ball", ["a chair", None], [3]])
def test_prompts_are_a_list_of_texts(prompts: object):
    with pytest.raises(ValueError, match="text"):
        talking_teacher().condition(prompts, None)


def test_there_is_a_view_for_each_prompt():
    with pytest.raises(ValueError, match="2 prompts but 3 views"):
        talking_teacher().condition(["red", "blue"], view(3))
    assert isinstance(talking_teacher().condition(["red", "blue"], view(2)), Condition)
