"""Every sampler of diffusers follows the exact paths of a teacher that is known in closed form."""

import pytest
import torch

from sds.samplers import SAMPLERS, Spacing, sample_with, scheduler_for
from sds.schedule import NoiseSchedule, cosine_schedule, flow_schedule
from sds.teachers.mixture import MixtureTeacher

DETERMINISTIC = sorted(SAMPLERS.keys() - {"ddpm"})
MEAN, SPREAD = 0.3, 0.5


def gaussian(schedule: NoiseSchedule) -> MixtureTeacher:
    return MixtureTeacher(torch.full((1, 1, 1, 1), MEAN), torch.full((1,), SPREAD**2), schedule=schedule)


def drawn(name: str, schedule: NoiseSchedule, steps: int, spacing: Spacing = Spacing.TRAILING) -> torch.Tensor:
    teacher = gaussian(schedule)
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(-1, 1, 1, 1)
    return sample_with(SAMPLERS[name], teacher, noise, teacher.condition([""] * 9), steps, spacing)[:, 0, 0, 0]


EXACT = MEAN + SPREAD * torch.linspace(-2, 2, 9, dtype=torch.float64)
"""A Gaussian's path leads from the quantile of the noise to the same quantile of the picture."""


@pytest.mark.parametrize("schedule", [cosine_schedule(), flow_schedule(3.0)], ids=["cosine", "straight paths"])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_samplers_converge_to_the_exact_path(name: str, schedule: NoiseSchedule):
    few, many = ((drawn(name, schedule, steps) - EXACT).abs().max() for steps in (12, 96))
    assert many < 0.03
    assert many < few / 3


@pytest.mark.parametrize("spacing", list(Spacing))
@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_spacing_works_with_every_sampler(name: str, spacing: Spacing):
    chosen = scheduler_for(SAMPLERS[name], cosine_schedule(), spacing)
    chosen.set_timesteps(20)
    begins_at = float(chosen.timesteps.max())
    assert 930 <= begins_at < 960 if spacing is Spacing.LEADING else begins_at == pytest.approx(999)
    torch.manual_seed(0)
    assert (drawn(name, cosine_schedule(), 100, spacing) - EXACT).abs().max() < (3 if name == "ddpm" else 0.06)


def test_higher_orders_need_fewer_steps():
    error = {name: float((drawn(name, cosine_schedule(), 24) - EXACT).abs().max()) for name in DETERMINISTIC}
    assert error["dpm-solver++"] < error["ddim"] / 4
    assert error["dpm-solver++"] < error["dpm-solver"]  # of the same order, but never dividing by alpha


def test_ddpm_draws_the_teachers_distribution():
    teacher, rng = gaussian(cosine_schedule()), torch.Generator().manual_seed(0)
    noise = torch.randn(4000, 1, 1, 1, generator=rng, dtype=torch.float64)
    x0 = sample_with(SAMPLERS["ddpm"], teacher, noise, teacher.condition([""] * 4000), 200, rng=rng)
    assert float(x0.mean()) == pytest.approx(MEAN, abs=0.03)
    assert float(x0.std()) == pytest.approx(SPREAD, abs=0.03)
    # New noise at every step: where a picture ends says little about where its path began.
    assert abs(float(torch.corrcoef(torch.stack([noise.flatten(), x0.flatten()]))[0, 1])) < 0.2
