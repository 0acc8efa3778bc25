"""GENIE for a Gaussian teacher: the head's target, and the order of the steps that use it."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from sds.denoiser import Condition
from sds.solvers import even_times, solve
from students.change_head import ratio
from students.methods.second_order import change_of_prediction, second_order, taylor
from students.methods.targets import Learning
from students.training.batches import Batch
from tests.closed_forms.tables import MEAN, SPREAD, batch, gaussian


def exact_head(x_t: Tensor, t: Tensor, s: Tensor, condition: Condition) -> Tensor:
    """dD/d log gamma = -gamma^2 spread^2 (x / alpha - m) / (spread^2 + gamma^2)^2, written to be finite everywhere."""
    alpha, sigma = (c[:, None] for c in gaussian().schedule(t))
    variance = alpha**2 * SPREAD**2 + sigma**2
    return -(sigma**2) * alpha * SPREAD**2 * (x_t - alpha * MEAN) / variance**2


def test_the_change_of_the_prediction_along_the_path():
    teacher = gaussian()
    t = torch.tensor([0.05, 0.3, 0.6, 0.95], dtype=torch.float64)
    x_t = torch.tensor([[-1.0], [0.2], [0.9], [1.5]], dtype=torch.float64)
    condition = teacher.condition([""] * 4)
    expected = exact_head(x_t, t, t, condition)
    assert float(expected.abs().max()) > 0.1
    torch.testing.assert_close(change_of_prediction(teacher, x_t, t, condition), expected, rtol=0, atol=1e-10)


def test_the_head_is_the_derivative_of_the_noise_that_the_paper_names():
    """d eps/d gamma = spread^2 (x / alpha - m) / (spread^2 + gamma^2)^2 = -(dD/d log gamma) / gamma^2."""
    teacher, t = gaussian(), torch.tensor([0.4], dtype=torch.float64)
    alpha, sigma = (c.item() for c in teacher.schedule(t))
    gamma, x_t = sigma / alpha, torch.tensor([[0.8]], dtype=torch.float64)
    of_noise = SPREAD**2 * (0.8 / alpha - MEAN) / (SPREAD**2 + gamma**2) ** 2
    assert -exact_head(x_t, t, t, teacher.condition([""])).item() / gamma**2 == pytest.approx(of_noise, abs=1e-12)


@pytest.mark.parametrize("start", [1.0, 0.9])
def test_steps_with_the_exact_head_are_of_second_order(start: float):
    teacher = gaussian()
    x, t, s = torch.tensor([[0.8]]).double(), torch.tensor([start]).double(), torch.tensor([0.05]).double()
    (alpha_t, sigma_t), (alpha_s, sigma_s) = teacher.schedule(t), teacher.schedule(s)
    widths = [math.hypot(alpha * SPREAD, sigma) for alpha, sigma in ((alpha_t, sigma_t), (alpha_s, sigma_s))]
    exact = alpha_s * MEAN + (x - alpha_t * MEAN) * widths[1] / widths[0]
    errors = [
        (solve(teacher, x, even_times(t, s, n), teacher.condition([""]), taylor(exact_head)) - exact).abs().item()
        for n in (64, 128, 256, 512)
    ]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(2, abs=0.1)


def test_a_step_is_the_papers_taylor_step():
    """x / alpha + h eps + h^2 / 2 d eps/d gamma with h = gamma_s - gamma_t."""
    teacher = gaussian()
    x_t, t, s = torch.tensor([[0.8]]).double(), torch.tensor([0.6]).double(), torch.tensor([0.4]).double()
    condition = teacher.condition([""])
    (alpha_t, sigma_t), (alpha_s, sigma_s) = teacher.schedule(t), teacher.schedule(s)
    gamma_t, gamma_s = sigma_t / alpha_t, sigma_s / alpha_s
    assert ratio(teacher.schedule, t, s).item() == pytest.approx((gamma_s / gamma_t).item())
    noise = (x_t / alpha_t - teacher(x_t, t, condition)) / gamma_t
    change = -exact_head(x_t, t, t, condition) / gamma_t**2
    h = gamma_s - gamma_t
    expected = alpha_s * (x_t / alpha_t + h * noise + h**2 / 2 * change)
    torch.testing.assert_close(taylor(exact_head)(teacher, x_t, t, s, condition), expected, rtol=0, atol=1e-12)


def test_the_objective_asks_for_the_change():
    teacher, rng = gaussian(), torch.Generator().manual_seed(0)
    examples: Batch = batch(teacher, 200, rng)
    target = second_order(teacher)(Learning(exact_head, exact_head, 0.0, rng), examples)
    torch.testing.assert_close(
        target.x0, exact_head(target.x_t, target.t, target.t, target.condition), rtol=0, atol=1e-9
    )
    assert torch.equal(target.t, target.s)
