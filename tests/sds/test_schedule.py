"""Schedules, conversions between prediction types, and their refusals."""

import math

import pytest
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from sds.schedule import (
    DegenerateNoiseLevelError,
    NoiseSchedule,
    Prediction,
    cosine_schedule,
    flow_schedule,
    output_from_x0,
    schedule_from_diffusers,
    tabulated_schedule,
    time_at,
    time_at_angle,
    x0_from,
)

VARIANCE_PRESERVING = [cosine_schedule(), schedule_from_diffusers(DDPMScheduler())]
SCHEDULES = [*VARIANCE_PRESERVING, flow_schedule(), flow_schedule(shift=3.0)]


def times(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_cosine_schedule_by_hand():
    alpha, sigma = cosine_schedule()(times(0, 1 / 3, 0.5, 1))
    torch.testing.assert_close(alpha, times(1, math.sqrt(3) / 2, math.sqrt(0.5), 0), rtol=0, atol=1e-15)
    torch.testing.assert_close(sigma, times(0, 0.5, math.sqrt(0.5), 1), rtol=0, atol=1e-15)
    assert alpha[-1] == 0


def test_flow_schedule_by_hand():
    # shift 3 at t = 1/2: s = 1.5 / 2 = 3/4
    schedule = flow_schedule(shift=3.0)
    alpha, sigma = schedule(times(0, 0.5, 1))
    torch.testing.assert_close(alpha, times(1, 0.25, 0))
    torch.testing.assert_close(sigma, times(0, 0.75, 1))
    torch.testing.assert_close(schedule.timestep(times(0.5)), times(750))


def test_log_snr_is_zero_where_image_and_noise_are_equal():
    torch.testing.assert_close(cosine_schedule().log_snr(times(0.5)), times(0), rtol=0, atol=1e-14)


@pytest.mark.parametrize("schedule", VARIANCE_PRESERVING)
@given(t=st.floats(0, 1))
def test_variance_preserving_schedules_preserve_variance(schedule: NoiseSchedule, t: float):
    alpha, sigma = schedule(times(t))
    torch.testing.assert_close(alpha**2 + sigma**2, times(1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(t=st.lists(st.floats(0, 1), min_size=2, max_size=2, unique=True))
def test_noise_grows_with_time(schedule: NoiseSchedule, t: list[float]):
    early, late = schedule.sigma(times(*sorted(t)))
    assert early <= late


def test_the_table_of_a_discrete_scheduler_is_met_at_every_step():
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    schedule = schedule_from_diffusers(scheduler)
    t = torch.arange(1000, dtype=torch.float64) / 999
    torch.testing.assert_close(schedule.alpha(t) ** 2, scheduler.alphas_cumprod.double(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(schedule.timestep(t), torch.arange(1000.0, dtype=torch.float64))


def test_a_table_that_ends_in_pure_noise_stays_finite():
    scheduler = DDPMScheduler(rescale_betas_zero_snr=True, beta_schedule="scaled_linear")
    alpha, sigma = schedule_from_diffusers(scheduler)(times(0.9995, 1))
    assert torch.isfinite(alpha).all()
    assert alpha[0] > alpha[1]
    assert float(alpha[1]) == pytest.approx(float(scheduler.alphas_cumprod[-1]) ** 0.5, abs=1e-12)
    assert float(sigma[1]) == pytest.approx(1)


def test_flow_matching_scheduler_agrees_with_diffusers():
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    schedule = schedule_from_diffusers(scheduler)
    # diffusers numbers the untransformed noise levels 1/1000 ... 1
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    torch.testing.assert_close(schedule.sigma(t), scheduler.sigmas.double().flip(0), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(schedule.timestep(t), scheduler.timesteps.double().flip(0), rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("prediction", Prediction)
@settings(max_examples=30)
@given(t=st.floats(0.02, 0.9), seed=st.integers(0, 2**31))
def test_conversions_are_inverse(schedule: NoiseSchedule, prediction: Prediction, t: float, seed: int):
    generator = torch.Generator().manual_seed(seed)
    x0, x_t = torch.randn(2, 2, 3, 4, 4, dtype=torch.float64, generator=generator)
    alpha, sigma = schedule(times(t, t))
    output = output_from_x0(prediction, x0, x_t, alpha, sigma)
    torch.testing.assert_close(x0_from(prediction, output, x_t, alpha, sigma), x0, rtol=1e-8, atol=1e-8)


def test_each_prediction_by_its_definition():
    x0, noise = torch.tensor([[2.0]], dtype=torch.float64), torch.tensor([[-1.0]], dtype=torch.float64)
    alpha, sigma = times(0.8), times(0.6)
    x_t = 0.8 * x0 + 0.6 * noise
    expected = {Prediction.EPSILON: -1.0, Prediction.X0: 2.0, Prediction.V: 0.8 * -1 - 0.6 * 2, Prediction.FLOW: -3.0}
    for prediction, value in expected.items():
        if prediction is Prediction.FLOW:
            continue
        assert output_from_x0(prediction, x0, x_t, alpha, sigma).item() == pytest.approx(value)
        assert x0_from(prediction, torch.tensor([[value]]).double(), x_t, alpha, sigma).item() == pytest.approx(2.0)
    straight = 0.7 * x0 + 0.3 * noise
    flow = output_from_x0(Prediction.FLOW, x0, straight, times(0.7), times(0.3))
    assert flow.item() == pytest.approx(expected[Prediction.FLOW])


def test_add_noise_uses_each_images_own_time():
    x = torch.ones(2, 1, 1, 1)
    noise = torch.full_like(x, 10.0)
    x_t = flow_schedule().add_noise(x, noise, times(0.0, 0.5))
    assert x_t.flatten().tolist() == pytest.approx([1.0, 5.5])


def test_eps_arithmetic_without_image_is_refused():
    x = torch.zeros(1, 1)
    with pytest.raises(DegenerateNoiseLevelError, match="predicts v, x0 or flow"):
        x0_from(Prediction.EPSILON, x, x, times(0.0), times(1.0))
    with pytest.raises(DegenerateNoiseLevelError, match="sigma"):
        output_from_x0(Prediction.V, x, x, times(1.0), times(0.0))
    for prediction in (Prediction.X0, Prediction.V, Prediction.FLOW):
        assert torch.isfinite(x0_from(prediction, x, x, times(0.0), times(1.0))).all()


@pytest.mark.parametrize("bad", [times(-0.1), times(1.1), times(float("nan")), torch.tensor(0.5)])
def test_bad_times_are_refused(bad: torch.Tensor):
    with pytest.raises(ValueError, match="time must"):
        cosine_schedule()(bad)


def test_bad_tables_and_schedulers_are_refused():
    with pytest.raises(ValueError, match="fall"):
        tabulated_schedule(times(0.1, 0.9))
    with pytest.raises(ValueError, match="sequence"):
        tabulated_schedule(times(0.5))
    with pytest.raises(ValueError, match="shift"):
        flow_schedule(0)
    with pytest.raises(ValueError, match="dynamic"):
        schedule_from_diffusers(FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True))
    with pytest.raises(ValueError, match="DDPM-like"):
        schedule_from_diffusers(object())


@pytest.mark.parametrize("schedule", [cosine_schedule(), flow_schedule(3.0)])
def test_the_time_of_a_deviation(schedule):
    t = times(0.01, 0.3, 0.7, 0.99)
    alpha, sigma = schedule(t)
    torch.testing.assert_close(time_at(schedule, sigma / alpha), t, rtol=0, atol=1e-9)
    assert time_at(schedule, times(math.inf, 0.0)).tolist() == pytest.approx([1.0, 0.0])


@pytest.mark.parametrize("schedule", [cosine_schedule(), flow_schedule(3.0)])
def test_the_time_of_an_angle_can_be_differentiated(schedule):
    """Its derivative is that of the inverse function, by forward differentiation, up to pure noise."""
    t = times(0.05, 0.5, 0.9, 1.0)

    def angle(time):
        alpha, sigma = schedule(time)
        return torch.atan2(sigma, alpha)

    at_t, slope = torch.func.jvp(angle, (t,), (torch.ones_like(t),))
    found, inverse = torch.func.jvp(lambda a: time_at_angle(schedule, a), (at_t,), (torch.ones_like(t),))
    torch.testing.assert_close(found, t, rtol=0, atol=1e-9)
    torch.testing.assert_close(inverse, 1 / slope, rtol=1e-4, atol=0)
