"""Every sampler follows the exact paths of a teacher that is known in closed form, or draws its distribution."""

import math
from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from sds.samplers import SAMPLERS, Spacing, levels_of, sample_with
from sds.schedule import NoiseSchedule, cosine_schedule, flow_schedule, scale, tabulated_schedule
from sds.solvers import ddim_step
from sds.teachers.mixture import MixtureTeacher

pytestmark = pytest.mark.filterwarnings("ignore:.*algorithm_type dpmsolver is deprecated")

DETERMINISTIC = sorted(name for name, sampler in SAMPLERS.items() if not sampler.draws_noise)
STOCHASTIC = sorted(SAMPLERS.keys() - DETERMINISTIC)
MEAN, SPREAD = 0.3, 0.5
SCHEDULES = {
    "cosine": cosine_schedule(),
    "straight paths": flow_schedule(3.0),
    "linear": tabulated_schedule(DDPMScheduler().alphas_cumprod),
}


def gaussian(schedule: NoiseSchedule) -> MixtureTeacher:
    return MixtureTeacher(torch.full((1, 1, 1, 1), MEAN), torch.full((1,), SPREAD**2), schedule=schedule)


def drawn(name: str, schedule: NoiseSchedule, steps: int, spacing: Spacing | None = None) -> torch.Tensor:
    teacher = gaussian(schedule)
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(-1, 1, 1, 1)
    rng = torch.Generator().manual_seed(0)
    return sample_with(SAMPLERS[name], teacher, noise, teacher.condition([""] * 9), steps, spacing, rng)[:, 0, 0, 0]


EXACT = MEAN + SPREAD * torch.linspace(-2, 2, 9, dtype=torch.float64)
"""A Gaussian's path leads from the quantile of the noise to the same quantile of the picture."""


def error(name: str, schedule: NoiseSchedule, steps: int, spacing: Spacing | None = None) -> float:
    return float((drawn(name, schedule, steps, spacing) - EXACT).abs().max())


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_samplers_converge_to_the_exact_path(name: str, schedule: NoiseSchedule):
    few, many = (error(name, schedule, steps) for steps in (12, 96))
    assert many < 0.035
    assert many < few / 3


@pytest.mark.parametrize("steps", [7, 48, 96, 128, 300])
@pytest.mark.parametrize("spacing", [Spacing.LINSPACE, Spacing.LEADING, Spacing.TRAILING])
def test_ddim_walks_from_level_to_level_of_its_scheduler(steps: int, spacing: Spacing):
    """Where the steps do not divide 1000 diffusers' own DDIM steps beside its levels, and is off by up to 0.55."""
    schedule, teacher = cosine_schedule(), gaussian(cosine_schedule())
    scheduler = DDIMScheduler(timestep_spacing=spacing.value)
    scheduler.set_timesteps(steps)
    grid = [float(step) / 999 for step in scheduler.timesteps]
    assert levels_of(schedule, steps, spacing) == pytest.approx(grid, abs=0)
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(-1, 1, 1, 1)
    condition = teacher.condition([""] * 9)
    for start, end in pairwise(grid):
        t, s = (torch.full((9,), level, dtype=torch.float64) for level in (start, end))
        x = ddim_step(schedule, x, teacher(x, t, condition), t, s)
    x = teacher(x, torch.full((9,), grid[-1], dtype=torch.float64), condition)
    torch.testing.assert_close(drawn("ddim", schedule, steps, spacing), x[:, 0, 0, 0], rtol=0, atol=1e-12)


@settings(max_examples=20)
@given(steps=st.integers(16, 400))
def test_more_steps_of_ddim_are_never_much_worse_than_their_number_says(steps: int):
    """An error of first order, whether the steps divide 1000 or not."""
    assert error("ddim", cosine_schedule(), steps) < 1.7 / steps


def test_pndm_mixes_noise_predictions():
    """Of the linear schedule, of order above two; mixtures of v were off by 0.069 at 8 steps where DDIM is by 0.32."""
    schedule = SCHEDULES["linear"]
    assert error("pndm", schedule, 24) < error("ddim", schedule, 24) / 2.5
    assert error("pndm", schedule, 48) < error("ddim", schedule, 48) / 4
    cosine = cosine_schedule()
    assert error("pndm", cosine, 12) < error("ddim", cosine, 12) / 5


def test_heun_begins_where_edm_does():
    """At sigma / alpha = 80 also where the schedule ends in pure noise; from 4096 eight steps were off by 2.4."""
    for schedule in (cosine_schedule(), flow_schedule(3.0)):
        alpha, sigma = schedule(torch.tensor(levels_of(schedule, 8, Spacing.KARRAS), dtype=torch.float64))
        deviation = sigma / alpha
        assert float(deviation[0]) == pytest.approx(80, rel=1e-6)
        assert float(deviation[-1]) == pytest.approx(0.002, rel=1e-6)
        torch.testing.assert_close((deviation ** (1 / 7)).diff(), (deviation ** (1 / 7)).diff()[0].expand(7))
        assert error("heun", schedule, 8) < 0.45
        assert error("heun", schedule, 24) < error("ddim", schedule, 24) / 1.9
    linear = SCHEDULES["linear"]
    alpha, sigma = linear(torch.ones(1, dtype=torch.float64))
    assert levels_of(linear, 8, Spacing.KARRAS)[0] < 1
    assert float(sigma / alpha) > 80
    never_so_noisy = tabulated_schedule(
        DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012).alphas_cumprod
    )
    assert levels_of(never_so_noisy, 8, Spacing.KARRAS)[0] == 1.0


def test_heun_is_algorithm_1_of_edm_by_hand():
    teacher, levels = gaussian(cosine_schedule()), levels_of(cosine_schedule(), 3, Spacing.KARRAS)
    gamma = [math.tan(level * math.pi / 2) for level in levels]

    def slope(y: float, g: float) -> float:
        return (y - (MEAN + SPREAD**2 / (SPREAD**2 + g**2) * (y - MEAN))) / g

    y = 1.3 * math.hypot(1, gamma[0])
    for start, end in pairwise(gamma):
        euler = y + (end - start) * slope(y, start)
        y = y + (end - start) * (slope(y, start) + slope(euler, end)) / 2
    expected = y - gamma[-1] * slope(y, gamma[-1])
    noise = torch.full((1, 1, 1, 1), 1.3, dtype=torch.float64)
    x0 = sample_with(SAMPLERS["heun"], teacher, noise, teacher.condition([""]), 3)
    assert float(x0) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("spacing", list(Spacing))
@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_spacing_works_with_every_sampler(name: str, spacing: Spacing):
    begins_at = levels_of(cosine_schedule(), 20, spacing)[0]
    known = {Spacing.LEADING: 950 / 999, Spacing.KARRAS: 2 / math.pi * math.atan(80)}
    assert begins_at == pytest.approx(known.get(spacing, 1.0))
    assert error(name, cosine_schedule(), 100, spacing) < (0.06 if name in DETERMINISTIC else 3)


def test_higher_orders_need_fewer_steps():
    errors = {name: error(name, cosine_schedule(), 24) for name in DETERMINISTIC}
    for name in ("dpm-solver", "dpm-solver++", "deis", "pndm"):
        assert errors[name] < errors["ddim"] / 4, name


@pytest.mark.parametrize("name", STOCHASTIC)
def test_stochastic_samplers_draw_the_teachers_distribution(name: str):
    teacher, rng = gaussian(cosine_schedule()), torch.Generator().manual_seed(0)
    noise = torch.randn(4000, 1, 1, 1, generator=rng, dtype=torch.float64)
    x0 = sample_with(SAMPLERS[name], teacher, noise, teacher.condition([""] * 4000), 200, rng=rng)
    assert float(x0.mean()) == pytest.approx(MEAN, abs=0.03)
    assert float(x0.std()) == pytest.approx(SPREAD, abs=0.03)
    # New noise at every step: where a picture ends says little about where its path began.
    assert abs(float(torch.corrcoef(torch.stack([noise.flatten(), x0.flatten()]))[0, 1])) < 0.7


class Mistaken(MixtureTeacher):
    """A teacher whose predictions are a little too bright at high noise."""

    def __call__(self, x_t, t, condition):
        return super().__call__(x_t, t, condition) + 0.5 * scale(self.schedule.sigma(t) > 0.7, x_t)


def test_new_noise_forgets_what_went_wrong_before():
    """Why EDM churns (Karras et al. 2022, section 4): errors made at high noise are corrected at low noise."""
    teacher = Mistaken(torch.full((1, 1, 1, 1), MEAN), torch.full((1,), SPREAD**2), schedule=cosine_schedule())
    noise = torch.randn(4000, 1, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bias = {}
    for name in ("heun", "churn", "ancestral"):
        rng = torch.Generator().manual_seed(1)
        x0 = sample_with(SAMPLERS[name], teacher, noise, teacher.condition([""] * 4000), 60, rng=rng)
        bias[name] = float(x0.mean()) - MEAN
    assert bias["heun"] > 0.15
    assert bias["churn"] < 0.75 * bias["heun"]
    assert bias["ancestral"] < 0.6 * bias["heun"]


def test_a_seed_is_a_picture_and_impossible_numbers_of_steps_are_refused():
    torch.testing.assert_close(drawn("ddpm", cosine_schedule(), 5), drawn("ancestral", cosine_schedule(), 5))
    for steps in (0, -3, 1001):
        with pytest.raises(ValueError, match="from 1 to 1000 steps"):
            levels_of(cosine_schedule(), steps)
