"""Solver steps: their algebra, their order, and the exact paths they must follow."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sds.denoiser import Condition
from sds.schedule import DegenerateNoiseLevelError, NoiseSchedule, cosine_schedule, flow_schedule
from sds.solvers import Solver, ancestral_step, ddim, ddim_step, ddim_target, even_times, heun, solve, trajectory
from sds.teachers.mixture import MixtureTeacher
from tests.closed_forms.quantiles import Quantiles


def exploding_schedule() -> NoiseSchedule:
    return NoiseSchedule(lambda t: (torch.ones_like(t), 80 * t), lambda t: t)


SCHEDULES = {"cosine": cosine_schedule(), "flow": flow_schedule(), "exploding": exploding_schedule()}


def times(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def gaussian(mean: float, spread: float, schedule: NoiseSchedule | None = None) -> MixtureTeacher:
    return MixtureTeacher(times(mean)[:, None], times(spread**2), schedule=schedule)


def two_modes() -> MixtureTeacher:
    return MixtureTeacher(times(-1.0, 1.0)[:, None], times(0.04, 0.09), {"": times(0.3, 0.7)})


@pytest.mark.parametrize("name", SCHEDULES)
@given(t=st.floats(0.02, 0.999), share=st.floats(0.0, 0.98))
def test_the_target_inverts_the_step(name: str, t: float, share: float):
    schedule = SCHEDULES[name]
    x_t, x_s = torch.randn(2, 8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    start, end = torch.full((8,), t).double(), torch.full((8,), t * share).double()
    x0 = ddim_target(schedule, x_t, x_s, start, end)
    back = ddim_step(schedule, x_t, x0, start, end)
    torch.testing.assert_close(back, x_s, rtol=0, atol=1e-12)


def test_a_step_keeps_the_noise_and_the_image_it_was_told():
    schedule, generator = cosine_schedule(), torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, 4, 3, dtype=torch.float64, generator=generator)
    t, s = times(0.3, 0.9, 1.0, 0.5), times(0.1, 0.0, 0.7, 0.5)
    arrived = ddim_step(schedule, schedule.add_noise(x0, noise, t), x0, t, s)
    torch.testing.assert_close(arrived, schedule.add_noise(x0, noise, s), rtol=0, atol=1e-14)


def test_a_step_of_no_length_stays_and_has_no_target():
    schedule, x = cosine_schedule(), torch.ones(3, 2, dtype=torch.float64)
    t = times(0.0, 0.4, 1.0)
    assert torch.equal(ddim_step(schedule, x, 7 * x, t, t), x)
    with pytest.raises(DegenerateNoiseLevelError, match="choose s below t"):
        ddim_target(schedule, x, x, t, t)
    with pytest.raises(DegenerateNoiseLevelError, match="keep s <= t"):
        ddim_step(schedule, x, x, torch.zeros(3), times(0.0, 0.1, 0.2))


def test_ddim_on_a_gaussian_by_hand():
    """One step in sigma / alpha from u to r multiplies x - m by (spread^2 + u r) / (spread^2 + u^2)."""
    mean, spread = 0.3, 0.5
    teacher = gaussian(mean, spread, exploding_schedule())
    x, t, s = times(4.0)[:, None], times(0.05), times(0.02)
    u, r = 80 * 0.05, 80 * 0.02
    expected = mean + (4.0 - mean) * (spread**2 + u * r) / (spread**2 + u * u)
    assert ddim(teacher, x, t, s, teacher.condition([""])).item() == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(("solver", "order"), [(ddim, 1), (heun, 2)])
@pytest.mark.parametrize("start", [1.0, 0.9])
def test_orders_of_convergence_on_a_gaussian(solver: Solver, order: int, start: float):
    """From t to s the exact path multiplies x - alpha m by the ratio of the spreads of x_s and x_t."""
    mean, spread = 0.3, 0.5
    teacher = gaussian(mean, spread)
    x, t, s = times(0.8)[:, None], times(start), times(0.05)
    (alpha_t, sigma_t), (alpha_s, sigma_s) = teacher.schedule(t), teacher.schedule(s)
    widths = [math.hypot(alpha * spread, sigma) for alpha, sigma in ((alpha_t, sigma_t), (alpha_s, sigma_s))]
    exact = alpha_s * mean + (x - alpha_t * mean) * widths[1] / widths[0]
    errors = [
        (solve(teacher, x, even_times(t, s, n), teacher.condition([""]), solver) - exact).abs().item()
        for n in (64, 128, 256, 512)
    ]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.05)


@pytest.mark.parametrize("start", [1.0, 0.85])
def test_the_path_of_a_mixture_is_the_map_between_quantiles(start: float):
    teacher = two_modes()
    x = torch.linspace(-2.5, 2.5, 11, dtype=torch.float64)[:, None]
    t, s = torch.full((11,), start).double(), torch.full((11,), 0.01).double()
    exact = Quantiles(teacher).flow(x, t, s)
    errors = [
        (solve(teacher, x, even_times(t, s, n), teacher.condition([""] * 11), heun) - exact).abs().max().item()
        for n in (80, 160, 320)
    ]
    assert errors[-1] < 2e-4
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(2, abs=0.2)


class Counting:
    """A denoiser that knows the answer and counts how often it is asked."""

    schedule = cosine_schedule()

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        self.calls += 1
        return torch.full_like(x_t, 0.25)


@pytest.mark.parametrize(("solver", "calls"), [(ddim, 5), (heun, 10)])
def test_a_denoiser_that_knows_the_image_arrives_at_it_from_pure_noise(solver: Solver, calls: int):
    denoiser, x = Counting(), torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).double()
    path = list(trajectory(denoiser, x, even_times(torch.ones(2), torch.zeros(2), 5), Condition({"": x}), solver))
    assert len(path) == 6
    assert torch.equal(path[0], x)
    torch.testing.assert_close(path[-1], torch.full_like(x, 0.25), rtol=0, atol=1e-15)
    assert denoiser.calls == calls


def test_even_times():
    grid = even_times(times(1.0, 0.5), times(0.0, 0.5), 4)
    assert [t.tolist() for t in grid] == [[1.0, 0.5], [0.75, 0.5], [0.5, 0.5], [0.25, 0.5], [0.0, 0.5]]
    with pytest.raises(ValueError, match="one step or more"):
        even_times(times(1.0), times(0.0), 0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_ancestral_steps_are_the_forward_process_backwards(name: str):
    """Given x0 and x_t, x_s has the moments of x0 -> x_s -> x_t conditioned on both, and x_t's noise is not kept."""
    schedule, count = SCHEDULES[name], 200_000
    t, s = times(0.8), times(0.5)
    x0 = torch.full((count, 1), 0.7, dtype=torch.float64)
    first, second, third = torch.randn(3, count, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (alpha_t, sigma_t), (alpha_s, sigma_s) = ([c.item() for c in schedule(time)] for time in (t, s))
    x_s = alpha_s * x0 + sigma_s * first
    step = alpha_t / alpha_s
    x_t = step * x_s + math.sqrt(sigma_t**2 - (step * sigma_s) ** 2) * second
    again = ancestral_step(schedule, x_t, x0, third, t.expand(count), s.expand(count))
    for sample in (x_s, again):
        assert sample.mean().item() == pytest.approx(alpha_s * 0.7, abs=0.01 * max(1, sigma_s))
        assert sample.std().item() == pytest.approx(sigma_s, rel=0.01)
        covariance = ((sample - sample.mean()) * (x_t - x_t.mean())).mean().item()
        assert covariance == pytest.approx(step * sigma_s**2, rel=0.02)


def test_an_ancestral_step_to_the_image_is_the_image_and_one_of_no_length_stays():
    schedule, x = cosine_schedule(), torch.ones(2, 3, dtype=torch.float64)
    t = times(0.7, 1.0)
    torch.testing.assert_close(ancestral_step(schedule, x, 5 * x, 9 * x, t, 0 * t), 5 * x, rtol=0, atol=1e-12)
    torch.testing.assert_close(ancestral_step(schedule, x, 5 * x, 9 * x, t[:1], t[:1]), x, rtol=0, atol=1e-12)
