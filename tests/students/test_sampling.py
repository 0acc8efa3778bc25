"""Samplings between one path and ever new noise, for a Gaussian whose every jump is known exactly."""

import math

import pytest
import torch
from torch import Tensor

from sds.denoiser import Condition
from sds.schedule import NoiseSchedule, cosine_schedule, scale
from sds.solvers import ddim_target
from students.flow_map import DenoiserAsFlowMap, sample_again, sample_along
from students.sampling import level_below, raised, sample_renewing
from tests.closed_forms.tables import MEAN, SPREAD, gaussian
from tests.students.toys import normals

TIMES = [1.0, 0.7, 0.4, 0.1]
COUNT = 20_000
NOISE = [normals(COUNT, 1, seed=seed).double() for seed in range(len(TIMES))]


class ExactStudent:
    """Every jump of N(m, s^2): (x - alpha m) / hypot(alpha s, sigma) stays."""

    schedule = cosine_schedule()

    def __call__(self, x_t: Tensor, t: Tensor, s: Tensor, condition: Condition) -> Tensor:
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.schedule(t), self.schedule(s)
        width = torch.hypot(alpha_s * SPREAD, sigma_s) / torch.hypot(alpha_t * SPREAD, sigma_t)
        x_s = scale(alpha_s, x_t) * MEAN + scale(width, x_t) * (x_t - scale(alpha_t, x_t) * MEAN)
        jumps = scale(s, x_t) < scale(t, x_t)
        return torch.where(jumps, ddim_target(self.schedule, x_t, x_s, t, torch.where(s < t, s, 0 * s)), x_s)


def told() -> Condition:
    return gaussian().condition([""] * COUNT)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.9, 1.0])
def test_an_exact_student_draws_the_right_law_whatever_it_renews(gamma: float):
    x = sample_renewing(ExactStudent(), NOISE, TIMES, told(), gamma)
    assert float(x.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(x.std()) == pytest.approx(SPREAD, rel=0.02)


def test_nothing_renewed_is_one_path_and_everything_is_a_new_beginning():
    student = ExactStudent()
    along = sample_along(student, NOISE[0], TIMES, told())
    torch.testing.assert_close(sample_renewing(student, NOISE, TIMES, told(), 0.0), along)
    again = sample_again(student, NOISE, TIMES, told())
    torch.testing.assert_close(sample_renewing(student, NOISE, TIMES, told(), 1.0), again)
    between = sample_renewing(student, NOISE, TIMES, told(), 0.5)
    assert float((between - along).abs().mean()) > 0.05
    assert float((between - again).abs().mean()) > 0.05


def test_a_denoiser_is_drawn_from_by_consistent_annealed_sampling():
    """In x / alpha with g = sigma / alpha: x' = x + eta (D - x) + beta g' z, eta = 1 - sqrt(1 - gamma^2) g' / g."""
    teacher, gamma, t, s = gaussian(), 0.6, 0.7, 0.4
    condition, x = told(), NOISE[0]
    levels = [torch.full((COUNT,), time, dtype=torch.float64) for time in (t, s)]
    (alpha_t, sigma_t), (alpha_s, sigma_s) = (teacher.schedule(level[:1]) for level in levels)
    g, g_next = float(sigma_t / alpha_t), float(sigma_s / alpha_s)
    eta = 1 - math.sqrt(1 - gamma**2) * g_next / g
    denoised = teacher(x, levels[0], condition)
    moved = x / alpha_t + eta * (denoised - x / alpha_t) + gamma * g_next * NOISE[1]
    expected = teacher(moved * alpha_s, levels[1], condition)
    found = sample_renewing(DenoiserAsFlowMap(teacher), NOISE[:2], [t, s], condition, gamma)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_a_level_is_climbed_back_to_exactly(gamma: float):
    schedule: NoiseSchedule = cosine_schedule()
    s = torch.tensor([0.3, 0.8], dtype=torch.float64)
    u = level_below(schedule, s, gamma)
    alpha, sigma = schedule(u)
    assert bool((u <= s).all())
    torch.testing.assert_close(
        sigma / alpha, math.sqrt(1 - gamma**2) * torch.tan(math.pi / 2 * s), atol=1e-9, rtol=1e-9
    )
    image, noise = torch.ones(2, 1, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
    kept = raised(schedule, scale(alpha, image) * image, noise, u, s)
    torch.testing.assert_close(kept[:, 0], schedule.alpha(s))  # the image's share is that of s
    added = raised(schedule, noise, image, u, s)[:, 0]
    whole = (schedule.alpha(s) / alpha * sigma) ** 2 + added**2
    torch.testing.assert_close(whole, schedule.sigma(s) ** 2)


def test_a_share_is_a_share():
    with pytest.raises(ValueError, match="lies in"):
        sample_renewing(ExactStudent(), NOISE, TIMES, told(), 1.5)
