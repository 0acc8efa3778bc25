"""Score gradients of Gaussian and mixture teachers against their closed forms.

The teachers are N(mu, s^2) for the prompt, N(mu0, s^2) for the null and N(mun, s^2) for the negative prompt. In eps
space, with weight 1, alpha^2 = 0.4 and A = alpha^2 s^2 + sigma^2, the expected gradients are written in each test.
For Gaussian teachers a gradient is affine in the noise, so its value at noise 0 is its mean and its slope is its
standard deviation: no sampling is needed.
"""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sds.baselines import Method, annealed_csd, csd, nfsd, sds, vsd
from sds.guidance import Guidance, PromptConditions
from sds.schedule import NoiseSchedule, cosine_schedule
from sds.score import score_gradient
from sds.teachers.mixture import MixtureTeacher
from sds.weightings import WEIGHTINGS, sigma_squared_weight

MU, MU0, MUN, S = 0.8, -0.3, 0.5, 0.6
T = 2 / math.pi * math.acos(math.sqrt(0.4))
ALPHA, SIGMA = math.sqrt(0.4), math.sqrt(0.6)
A = ALPHA**2 * S**2 + SIGMA**2
X = 1.7


def gaussians() -> MixtureTeacher:
    one = torch.eye(3, dtype=torch.float64)
    return MixtureTeacher(
        means=torch.tensor([[MU], [MU0], [MUN]], dtype=torch.float64),
        covariances=torch.full((3,), S**2, dtype=torch.float64),
        prompts={"": one[1], "good": one[0], "bad": one[2]},
    )


def eps_weight(schedule: NoiseSchedule, t: Tensor, x: Tensor, guided: Tensor) -> Tensor:
    """Weight 1 in eps space is alpha / sigma in x0 space."""
    alpha, sigma = schedule(t)
    return alpha / sigma


def gradients(
    method: Method,
    noise: Tensor,
    x: float = X,
    t: float = T,
    scale: float = 1.0,
    reference: MixtureTeacher | None = None,
) -> Tensor:
    """The eps-space gradient at ``x`` for each noise, shape (len(noise),)."""
    teacher, count = gaussians(), len(noise)
    conditions = PromptConditions(
        conditional=teacher.condition(["good"] * count),
        unconditional=teacher.condition([""] * count),
        negative=teacher.condition(["bad"] * count),
        reference=reference.condition([""] * count) if reference else None,
    )
    return score_gradient(
        teacher,
        torch.full((count, 1), x, dtype=torch.float64),
        noise[:, None].double(),
        torch.full((count,), t, dtype=torch.float64),
        conditions,
        Guidance(scale),
        method,
        weighting=eps_weight,
        reference=reference,
    ).gradient[:, 0]


def mean_and_std(method: Method, **options: float | MixtureTeacher | None) -> tuple[float, float]:
    at_zero, at_one = gradients(method, torch.tensor([0.0, 1.0]), **options).tolist()
    return at_zero, abs(at_one - at_zero)


def critic(mean: float, spread: float) -> MixtureTeacher:
    return MixtureTeacher(torch.tensor([[mean]], dtype=torch.float64), torch.tensor([spread**2], dtype=torch.float64))


def test_sds_seeks_the_mode():
    mean, std = mean_and_std(sds)
    assert mean == pytest.approx(ALPHA * SIGMA * (X - MU) / A, abs=1e-12)
    assert std == pytest.approx(ALPHA**2 * S**2 / A, abs=1e-12)
    assert mean_and_std(sds, x=MU)[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("scale", [0.0, 1.0, 7.5, 100.0])
def test_guided_sds_overshoots(scale: float):
    """The fixed point is mu0 + g (mu - mu0); with the other convention (cond + g (cond - null)) it would be further."""
    target = MU0 + scale * (MU - MU0)
    assert mean_and_std(sds, scale=scale)[0] == pytest.approx(ALPHA * SIGMA / A * (X - target), abs=1e-10)
    assert mean_and_std(sds, scale=scale, x=target)[0] == pytest.approx(0, abs=1e-10)


def test_vsd_with_an_exact_critic_of_equal_spread_is_deterministic_and_blind_to_x():
    m = 0.2
    for x in (X, -3.0):
        mean, std = mean_and_std(vsd, x=x, reference=critic(m, S))
        assert mean == pytest.approx(ALPHA * SIGMA * (m - MU) / A, abs=1e-12)
        assert std == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("spread", [0.1, S, 1.5])
def test_vsd_pushes_particles_apart_until_their_spread_is_the_teachers(spread: float):
    m = 0.2
    B = ALPHA**2 * spread**2 + SIGMA**2
    for x in (X, -3.0):
        expected = ALPHA * SIGMA * ((x - MU) / A - (x - m) / B)
        assert mean_and_std(vsd, x=x, reference=critic(m, spread))[0] == pytest.approx(expected, abs=1e-12)
    # a particle to the right of the mean moves further right (negative gradient) while the spread is too small
    beyond = mean_and_std(vsd, x=MU + 1, reference=critic(MU, spread))[0]
    assert np.sign(round(beyond, 9)) == np.sign(round(spread - S, 9))


def test_nfsd_above_its_threshold_has_no_noise_and_no_restoring_force():
    s = 7.5
    for x in (X, -3.0):
        mean, std = mean_and_std(nfsd, x=x, scale=s)
        assert mean == pytest.approx(ALPHA * SIGMA / A * ((MUN - MU0) + s * (MU0 - MU)), abs=1e-10)
        assert std == pytest.approx(0, abs=1e-10)


def test_nfsd_below_its_threshold_holds_the_image_in_place():
    s, t = 7.5, 0.1
    alpha, sigma = math.cos(math.pi * t / 2), math.sin(math.pi * t / 2)
    a = alpha**2 * S**2 + sigma**2
    mean, std = mean_and_std(nfsd, scale=s, t=t)
    assert mean == pytest.approx(alpha * sigma / a * (X - (MU0 + s * (MU - MU0))), abs=1e-10)
    assert std == pytest.approx(sigma**2 / a, abs=1e-10)


def test_nfsd_decides_for_each_image_by_its_own_time():
    teacher = gaussians()
    t = torch.tensor([0.1, 0.6], dtype=torch.float64)
    conditions = PromptConditions(*(teacher.condition([p] * 2) for p in ("good", "", "bad")))
    x, noise = torch.full((2, 1), X, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
    together = score_gradient(teacher, x, noise, t, conditions, Guidance(2.0), nfsd, weighting=eps_weight).gradient
    alone = [gradients(nfsd, torch.zeros(1), t=value, scale=2.0).item() for value in t.tolist()]
    assert together[:, 0].tolist() == pytest.approx(alone, abs=1e-12)


def test_csd_is_the_guidance_direction_alone():
    mean, std = mean_and_std(csd, scale=3.0)
    assert mean == pytest.approx(3 * ALPHA * SIGMA / A * (MU0 - MU), abs=1e-12)
    assert std == pytest.approx(0, abs=1e-12)


def test_annealed_csd_ends_at_the_negative_prompt():
    def at(progress: float) -> Method:
        return lambda t, _: annealed_csd(t, progress)

    assert mean_and_std(at(0.0)) == pytest.approx(mean_and_std(csd))
    assert mean_and_std(at(1.0))[0] == pytest.approx(ALPHA * SIGMA / A * (MUN - MU), abs=1e-12)
    half = (mean_and_std(at(0.0))[0] + mean_and_std(at(1.0))[0]) / 2
    assert mean_and_std(at(0.5))[0] == pytest.approx(half, abs=1e-12)


@pytest.mark.parametrize(("sigma", "fixed_point"), [(0.05, 1.0), (0.5, 0.8821), (1.0, 0.0), (2.0, 0.0)])
def test_sds_on_two_modes_seeks_a_mode_at_low_noise_and_their_mean_at_high_noise(sigma: float, fixed_point: float):
    """x_t = x + sigma noise on 0.5 N(+-1, 0.2^2): theta* bifurcates with sigma (Gauss-Hermite expectation)."""
    teacher = MixtureTeacher(
        torch.tensor([[-1.0], [1.0]]).double(),
        torch.full((2,), 0.04).double(),
        schedule=NoiseSchedule(lambda t: (torch.ones_like(t), torch.full_like(t, sigma)), lambda t: t),
    )
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    noise, weights = torch.from_numpy(nodes)[:, None], torch.from_numpy(weights / weights.sum())
    condition = teacher.condition([""] * 80)
    theta = 0.3
    for _ in range(2000):
        x = torch.full((80, 1), theta, dtype=torch.float64)
        result = score_gradient(
            teacher,
            x,
            noise,
            torch.full((80,), 0.5).double(),
            PromptConditions(condition, condition),
            Guidance(1.0),
            sds,
        )
        theta -= float((weights * result.gradient[:, 0]).sum())
    assert theta == pytest.approx(fixed_point, abs=1e-3)


def test_with_the_papers_weight_the_gradient_is_that_of_threestudio():
    """Its loss is 0.5 mse(x, stop(x - w (eps_guided - eps)), "sum") / batch with w = 1 - alpha_bar: factor 1."""
    teacher, count = gaussians(), 5
    x, noise = (torch.randn(count, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    t = torch.linspace(0.02, 0.98, count, dtype=torch.float64)
    told = PromptConditions(teacher.condition(["good"] * count), teacher.condition([""] * count))
    ours = score_gradient(teacher, x, noise, t, told, Guidance(100.0), sds, weighting=sigma_squared_weight).gradient
    alpha, sigma = (level[:, None] for level in teacher.schedule(t))
    x_t = alpha * x + sigma * noise
    conditional, null = (
        (x_t - alpha * teacher(x_t, t, condition)) / sigma for condition in (told.conditional, told.unconditional)
    )
    theirs = (1 - alpha**2) * (null + 100.0 * (conditional - null) - noise)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_weightings_by_name():
    """As factors of the noise predictions' difference, which is alpha / sigma times that of images."""
    schedule, t = cosine_schedule(), torch.tensor([0.1, T, 0.9], dtype=torch.float64)
    alpha, sigma = schedule(t)
    x, guided = torch.tensor([[1.0], [2.0], [3.0]]), torch.zeros(3, 1)
    expected = {
        "constant": sigma / alpha,
        "sigma-squared": sigma**2,
        "dreamfusion": sigma**2,
        "uniform": torch.ones(3).double(),
        "min-snr": (alpha / sigma).square().clamp(max=5) * sigma / alpha,
        "normalized": sigma / alpha / torch.tensor([1.0, 2.0, 3.0]),
    }
    assert expected.keys() == WEIGHTINGS.keys()
    for name, weighting in WEIGHTINGS.items():
        in_noise = weighting(schedule, t, x, guided) * sigma / alpha
        torch.testing.assert_close(in_noise, expected[name], rtol=1e-6, atol=1e-9, msg=name)


def test_a_method_by_its_name_is_refused():
    teacher = gaussians()
    told = PromptConditions(teacher.condition(["good"] * 4), teacher.condition([""] * 4))
    with pytest.raises(TypeError, match=r"METHODS\['sds'\]"):
        score_gradient(
            teacher, torch.zeros(4, 1), torch.zeros(4, 1), torch.full((4,), 0.5).double(), told, Guidance(1.0), "sds"
        )
