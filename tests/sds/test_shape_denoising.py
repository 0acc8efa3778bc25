"""The denoiser of shape teachers: its formula, and that all it is told matters, row by row."""

import copy

import pytest
import torch

from sds.schedule import cosine_schedule
from sds.teachers.shape_denoising import HEARD, SPREAD, posterior
from sds.teachers.shape_teacher import ShapeTeacher
from tests.sds.tiny_shapes import SIZE, talking_teacher, view


def times(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def answer_always(teacher: ShapeTeacher, correction: float, gate_logit: float) -> None:
    """Makes the UNet return the same for any input."""
    torch.nn.init.zeros_(teacher.unet.conv_out.weight)
    half = len(teacher.unet.conv_out.bias) // 2
    teacher.unet.conv_out.bias[:half] = correction
    teacher.unet.conv_out.bias[half:] = gate_logit


def test_a_closed_gate_leaves_the_candidates_mean() -> None:
    teacher = talking_teacher()
    answer_always(teacher, correction=0.0, gate_logit=-30.0)
    condition = teacher.condition(["table"], view(1))
    x_t, t = torch.randn(1, 3, SIZE, SIZE), times(0.3)
    told, (alpha, sigma) = condition.tensors, cosine_schedule()(t)
    share = posterior(x_t, alpha, sigma, told["candidates"], told["log_weight"], SPREAD)
    mean = torch.einsum("bk,bkchw->bchw", share, told["candidates"])
    torch.testing.assert_close(teacher(x_t, t, condition), mean)


def test_with_an_open_gate_differences_of_r_are_believed_as_a_gaussian_says() -> None:
    """With one candidate, F = 0 and g = 1, x0 is E[x0 | x_t] of N(m, r^2), the precision-weighted mean."""
    teacher = talking_teacher().with_one_object("table")
    answer_always(teacher, correction=0.0, gate_logit=30.0)
    condition = teacher.condition(["table"] * 3, view(3))
    m = condition.tensors["candidates"][:, 0]
    x_t, t = torch.randn(3, 3, SIZE, SIZE), times(0.01, 0.1, 0.9)
    alpha, sigma = (value.float()[:, None, None, None] for value in cosine_schedule()(t))
    by_precision = (m / HEARD**2 + x_t * alpha / sigma**2) / (1 / HEARD**2 + alpha**2 / sigma**2)
    torch.testing.assert_close(teacher(x_t, t, condition), by_precision, atol=2e-5, rtol=1e-4)


def test_at_pure_noise_the_unet_adds_the_spread_times_its_output() -> None:
    teacher = talking_teacher()
    answer_always(teacher, correction=0.5, gate_logit=0.0)
    condition = teacher.condition(["table"], view(1))
    x_t = torch.randn(1, 3, SIZE, SIZE)
    told = condition.tensors
    mean = (told["log_weight"].exp()[:, :, None, None, None] * told["candidates"]).sum(1)
    torch.testing.assert_close(teacher(x_t, times(1), condition), mean + 0.5 * SPREAD)


def test_without_noise_and_with_an_open_gate_the_picture_is_returned() -> None:
    teacher = talking_teacher()
    answer_always(teacher, correction=0.7, gate_logit=30.0)
    x = torch.randn(1, 3, SIZE, SIZE)
    torch.testing.assert_close(teacher(x, times(0), teacher.condition(["table"], view(1))), x)


def test_prompt_camera_and_background_each_change_the_answer() -> None:
    teacher = talking_teacher()
    x_t, t = torch.randn(1, 3, SIZE, SIZE), times(0.8)

    def answer(prompt: str, azimuth: float, background: float) -> torch.Tensor:
        return teacher(x_t, t, teacher.condition([prompt], view(1, azimuth, background)))

    base = answer("red ball", 0.5, 1.0)
    for other in (answer("table", 0.5, 1.0), answer("red ball", 2.5, 1.0), answer("red ball", 0.5, 0.2)):
        assert float((base - other).abs().max()) > 1e-3
    torch.testing.assert_close(base, answer("a RED ball", 0.5, 1.0))


def test_prompts_are_read_again_when_they_change() -> None:
    teacher = talking_teacher()
    first = teacher.condition(["table", "red ball", "table"], view(3))
    other = teacher.condition(["red ball", "table", "table"], view(3))
    torch.testing.assert_close(other.tensors["states"], first.tensors["states"][[1, 0, 2]])
    torch.testing.assert_close(other.tensors["candidates"], first.tensors["candidates"][[1, 0, 2]])


def test_rows_do_not_influence_each_other() -> None:
    teacher = talking_teacher()
    x_t, t = torch.randn(2, 3, SIZE, SIZE), times(0.3, 0.9)
    both = teacher.condition(["red ball", ""], view(2))
    together = teacher(x_t, t, both)
    for i in range(2):
        row = slice(i, i + 1)
        alone = teacher(x_t[row], t[row], teacher.condition([["red ball", ""][i]], view(1)))
        torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=1e-4)


def test_a_missing_view_is_a_fixed_one() -> None:
    teacher = talking_teacher()
    first, second = teacher.condition(["table"], None), teacher.condition(["table"], None)
    for name, tensor in first.tensors.items():
        torch.testing.assert_close(tensor, second.tensors[name])


def test_it_is_frozen_and_no_graph_is_recorded() -> None:
    teacher = talking_teacher()
    assert not any(p.requires_grad for m in (teacher.shape_prior, teacher.unet) for p in m.parameters())
    x_t = torch.randn(1, 3, SIZE, SIZE, requires_grad=True)
    assert not teacher(x_t, times(0.5), teacher.condition(["table"], view(1))).requires_grad


def test_another_network_in_the_unets_place_gets_gradients() -> None:
    teacher = talking_teacher()
    condition = teacher.condition(["table"], view(1))
    x_t, t = torch.randn(1, 3, SIZE, SIZE), times(0.5)
    torch.testing.assert_close(teacher.denoise(teacher.network, x_t, t, condition), teacher(x_t, t, condition))
    critic = copy.deepcopy(teacher.network).requires_grad_(True)
    teacher.denoise(critic, x_t, t, condition).sum().backward()
    assert float(critic.conv_out.weight.grad.abs().sum()) > 0


@pytest.mark.parametrize("side", [16, 8, 40])
def test_encode_resizes_and_is_differentiable(side: int) -> None:
    teacher = talking_teacher()
    image = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    x = teacher.encode(image)
    assert x.shape[1:] == teacher.shape
    direction, weight = torch.randn_like(image), torch.randn_like(x)
    (analytic,) = torch.autograd.grad((x * weight).sum(), image)
    step = 1e-5
    numeric = ((teacher.encode(image + step * direction) - x) * weight).sum() / step
    assert float((analytic * direction).sum()) == pytest.approx(float(numeric), rel=1e-5)
    flat = teacher.encode(torch.full((1, 3, side, side), 0.25))
    torch.testing.assert_close(flat, torch.full_like(flat, -0.5))
    torch.testing.assert_close(teacher.decode(flat), torch.full_like(flat, 0.25))
