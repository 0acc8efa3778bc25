"""SDI, ISM, bridges, DreamTime and today's guidance against closed forms, with Gaussian teachers.

N(mu, s^2) for the prompt, N(mu0, s^2) for the null, N(mun, s^2) for the negative prompt; A_t = alpha^2 s^2 + sigma^2.
On the path of such a teacher (x_t - alpha mu) / sqrt(A_t) does not change.
"""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from sds.baselines import BRIDGE_BEGINS, METHODS, Method, bridge, ism, sds
from sds.denoiser import Condition
from sds.guidance import Guidance, PromptConditions, projected
from sds.noising import NOISINGS, DDIMInversion, FreshNoise, Noised
from sds.ramps import DreamTime
from sds.samplers import SAMPLERS, sample_with
from sds.sampling import Guided
from sds.schedule import cosine_schedule
from sds.score import score_gradient
from sds.solvers import cfg_plus_plus, ddim, ddim_step
from sds.weightings import constant_weight
from students.guided_teacher import GuidedTeacher
from tests.closed_forms.test_score_gradients import MU, MU0, MUN, S, gaussians

X, T, BEGIN = 1.7, 0.6, 0.01


def level(t: float) -> tuple[float, float, float]:
    """alpha, sigma and A at t."""
    alpha, sigma = (float(value) for value in cosine_schedule()(torch.tensor([t], dtype=torch.float64)))
    return alpha, sigma, alpha**2 * S**2 + sigma**2


def told(count: int = 1) -> PromptConditions:
    teacher = gaussians()
    return PromptConditions(*(teacher.condition([prompt] * count) for prompt in ("good", "", "bad")))


def gradient(method: Method, noised: Noised, scale: float = 3.0, x: float = X, progress: float = 0.0) -> float:
    at, t = torch.full((1, 1), x, dtype=torch.float64), torch.tensor([T], dtype=torch.float64)
    return score_gradient(
        gaussians(),
        at,
        noised.noise,
        t,
        told(),
        Guidance(scale),
        method,
        weighting=constant_weight,
        previous=noised.previous,
        progress=progress,
    ).gradient.item()


def inverted(noising: DDIMInversion, x: float = X) -> Noised:
    return noising(
        gaussians(),
        torch.full((1, 1), x, dtype=torch.float64),
        torch.tensor([T], dtype=torch.float64),
        told(),
        torch.Generator(),
    )


def on_path(mean: float, x: float, t: float) -> float:
    """Where the exact path of N(mean, s^2) that passes x at BEGIN is at t."""
    (a0, _, A0), (a, _, At) = level(BEGIN), level(t)
    return a * mean + (At / A0) ** 0.5 * (x - a0 * mean)


@pytest.mark.parametrize("scale", [0.0, 1.0, -6.5])
def test_inversion_finds_the_noise_of_the_exact_path(scale: float):
    """Guidance of Gaussians of equal spread is a Gaussian with the guided mean: mu0 + scale (mu - mu0)."""
    alpha, sigma, _ = level(T)
    expected = (on_path(MU0 + scale * (MU - MU0), X, T) - alpha * X) / sigma
    errors = [abs(inverted(DDIMInversion(steps, scale)).noise.item() - expected) for steps in (100, 400)]
    assert errors[1] < 0.02 * (1 + abs(scale))
    assert errors[1] < errors[0] / 3.5  # of first order


def test_sdi_has_no_chance_in_it_and_holds_the_mean_of_the_prompt():
    """With the path of the prompt itself (scale 1) the gradient is (x - mu)(1 - alpha s / sqrt(A)) as begin -> 0."""
    noising = DDIMInversion(400, 1.0, begin=1e-4)
    alpha, _, At = level(T)
    assert gradient(sds, inverted(noising), 1.0) == pytest.approx((X - MU) * (1 - alpha * S / At**0.5), abs=2e-3)
    assert gradient(sds, inverted(noising, MU), 1.0, MU) == pytest.approx(0, abs=1e-3)
    assert inverted(noising).noise.item() == inverted(noising).noise.item()
    fresh = [FreshNoise()(gaussians(), torch.zeros(1, 1), torch.zeros(1), told(), torch.Generator()) for _ in range(2)]
    assert fresh[0].noise.item() == torch.randn(1, 1, generator=torch.Generator()).item()


def test_ism_is_the_difference_of_two_moments_and_guidance():
    """D_null(x_s) - D_null(x_t) - g (mu - mu0) sigma_t^2 / A_t, which is guidance alone for a short interval."""
    noising = DDIMInversion(400, 0.0, interval=0.1)
    (a, sigma, At), (b, _, As), (a0, _, A0) = level(T), level(T - 0.1), level(BEGIN)
    moved = S**2 * (b / As**0.5 - a / At**0.5) / A0**0.5 * (X - a0 * MU0)
    guided = 3.0 * (MU - MU0) * sigma**2 / At
    # the last step is one DDIM step of length 0.1, which misses the path by a few thousandths
    assert gradient(ism, inverted(noising)) == pytest.approx(moved - guided, abs=0.02)
    short = gradient(ism, inverted(DDIMInversion(50, 0.0, interval=1e-4)))
    assert short == pytest.approx(-guided, abs=1e-3)


def test_ism_on_the_prompts_own_path_rests_at_the_prompts_mean():
    """One step of the prompt from a low beginning: D(x, begin) - D(x_t, t), which no null prompt moves from mu."""
    begin = 0.002
    noising = DDIMInversion(1, 1.0, begin=begin)
    (a, sigma, At), (a0, sigma0, A0) = level(T), level(begin)
    previous = MU + a0 * S**2 / A0 * (X - a0 * MU)
    x_t = a * previous + sigma * (X - a0 * previous) / sigma0
    expected = previous - MU - a * S**2 / At * (x_t - a * MU)
    assert gradient(ism, inverted(noising), 1.0) == pytest.approx(expected, abs=1e-9)
    at_rest = gradient(ism, inverted(noising, MU), 1.0, MU)
    assert abs(at_rest) < 1e-3 < abs(gradient(ism, inverted(DDIMInversion(1, 0.0, begin=begin), MU), 1.0, MU))


@pytest.mark.parametrize(("scale", "asked"), [(0.0, {""}), (1.0, {"good"}), (2.0, {"", "good"})])
def test_a_path_asks_only_for_what_it_needs(scale: float, asked: set[str]):
    teacher, heard = gaussians(), []
    prompts = {prompt: teacher.condition([prompt]) for prompt in ("good", "")}
    told_as = {prompt: next(iter(known.tensors.values()))[0] for prompt, known in prompts.items()}

    class Listening:
        schedule = teacher.schedule

        def __call__(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
            for row in next(iter(condition.tensors.values())):
                heard.extend(prompt for prompt, known in told_as.items() if torch.equal(known, row))
            return teacher(x, t, condition)

    both = PromptConditions(prompts["good"], prompts[""])
    DDIMInversion(2, scale)(Listening(), torch.full((1, 1), X), torch.tensor([T]), both, torch.Generator())
    assert set(heard) == asked
    assert len(heard) == 2 * len(asked)


def test_a_bridge_from_the_prompt_itself_rests():
    conditions = PromptConditions(told().conditional, told().unconditional, told().conditional)
    at, t = torch.full((1, 1), X, dtype=torch.float64), torch.tensor([T], dtype=torch.float64)
    found = score_gradient(gaussians(), at, torch.ones_like(at), t, conditions, Guidance(2.0), bridge, progress=1.0)
    assert found.gradient.item() == pytest.approx(0, abs=1e-12)


def test_ism_as_its_authors_write_it():
    """eps_guided(x_t, t) - eps_null(x_s, s), times sigma / alpha: both predictions taken on one and the same path."""
    teacher, noising = gaussians(), DDIMInversion(4, 0.0, interval=0.08)
    times = [torch.tensor([BEGIN + (T - 0.08 - BEGIN) * i / 4], dtype=torch.float64) for i in range(5)]
    x_s = torch.full((1, 1), X, dtype=torch.float64)
    for s, r in pairwise(times):
        x_s = ddim_step(teacher.schedule, x_s, teacher(x_s, s, told().unconditional), s, r)
    (b, sigma_s, _), (a, sigma, _) = level(T - 0.08), level(T)
    eps_s = (x_s - b * teacher(x_s, times[-1], told().unconditional)) / sigma_s
    t = torch.tensor([T], dtype=torch.float64)
    x_t = a * (x_s - sigma_s * eps_s) / b + sigma * eps_s
    null, good = (teacher(x_t, t, one) for one in (told().unconditional, told().conditional))
    eps_t = (x_t - a * (null + 3.0 * (good - null))) / sigma
    assert gradient(ism, inverted(noising)) == pytest.approx(sigma / a * (eps_t - eps_s).item(), abs=1e-12)


def test_a_bridge_begins_as_sds_and_ends_between_two_prompts():
    noise = Noised(torch.zeros(1, 1).double())
    _, sigma, At = level(T)
    assert gradient(bridge, noise) == gradient(sds, noise)
    for x in (X, -3.0):
        late = gradient(bridge, noise, x=x, progress=BRIDGE_BEGINS)
        assert late == pytest.approx(3.0 * sigma**2 / At * (MUN - MU), abs=1e-12)


def test_methods_that_lack_something_say_what():
    noise = Noised(torch.zeros(1, 1).double())
    with pytest.raises(ValueError, match="DDIMInversion"):
        gradient(ism, noise)
    only = PromptConditions(told().conditional, told().unconditional)
    with pytest.raises(ValueError, match="negative prompt"):
        score_gradient(
            gaussians(),
            torch.zeros(1, 1),
            torch.zeros(1, 1),
            torch.tensor([T]),
            only,
            Guidance(1.0),
            bridge,
            progress=1.0,
        )
    assert NOISINGS.keys() <= METHODS.keys()
    for bad in ({"steps": 0}, {"begin": 0.0}, {"interval": 0.0}):
        with pytest.raises(ValueError, match="inversion"):
            DDIMInversion(**bad)


def test_dream_time_spends_its_time_by_its_weight():
    """The share of a run above t is the integral of W: with W = 1 everywhere (no schedule) time would fall evenly."""
    schedule = cosine_schedule()
    times = DreamTime().on(schedule)
    drawn = torch.stack([times.sample(3, p, torch.Generator()) for p in torch.linspace(0, 1, 101).tolist()])
    assert torch.equal(drawn[:, 0], drawn[:, 2])
    assert drawn[0, 0] == pytest.approx(0.98)
    assert drawn[-1, 0] == pytest.approx(0.02)
    assert bool((drawn[:, 0].diff() <= 0).all())
    t = torch.linspace(0.98, 0.02, 20001).double()
    alpha, sigma = schedule(t)
    weight = sigma / alpha
    weight = torch.where(t > 0.8, weight * torch.exp(-((t - 0.8) ** 2) / 0.18), weight)
    weight = torch.where(t < 0.5, weight * torch.exp(-((t - 0.5) ** 2) / 0.02), weight)
    spent = weight.cumsum(0) / weight.sum()
    for progress in (0.25, 0.5, 0.9):
        exact = t[int(torch.searchsorted(spent, progress))]
        assert times.sample(1, progress, torch.Generator()).item() == pytest.approx(float(exact), abs=1e-3)
    with pytest.raises(ValueError, match="lowest < highest"):
        DreamTime(highest=1.0).on(schedule)


def randn(seed: int) -> Tensor:
    return torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_guidance_within_an_interval():
    conditional, null, t = randn(0), randn(1), torch.tensor([0.2, 0.7]).double()
    guided = Guidance(5.0, interval=(0.1, 0.5))(conditional, null, t)
    torch.testing.assert_close(guided[0], (null + 5 * (conditional - null))[0])
    torch.testing.assert_close(guided[1], conditional[1])
    with pytest.raises(ValueError, match="told the times"):
        Guidance(5.0, interval=(0.1, 0.5))(conditional, null)
    for bad in ({"interval": (0.5, 0.1)}, {"parallel": 2.0}, {"longest": 0.0}):
        with pytest.raises(ValueError, match="guidance"):
            Guidance(1.0, **bad)


def test_projected_guidance_moves_across_the_prediction_only():
    conditional, null = randn(0), randn(1)
    moved = Guidance(5.0, parallel=0.0)(conditional, null) - conditional
    assert (moved * conditional).sum((1, 2, 3)).tolist() == pytest.approx([0, 0], abs=1e-10)
    d = conditional - null
    along = (d * conditional).sum((1, 2, 3), keepdim=True) / conditional.square().sum((1, 2, 3), keepdim=True)
    torch.testing.assert_close(moved, 4 * (d - along * conditional))
    torch.testing.assert_close(Guidance(5.0, parallel=1.0)(conditional, null), null + 5 * d)
    short = conditional - projected(conditional, null, 1.0, longest=0.1)
    torch.testing.assert_close(short.square().mean((1, 2, 3)).sqrt(), torch.full((2,), 0.1).double())
    torch.testing.assert_close(projected(conditional, null, 1.0, longest=100.0), null)


@pytest.mark.parametrize(("t", "s"), [(0.9, 0.7), (0.4, 0.1), (0.3, 0.0)])
def test_cfg_plus_plus_is_guidance_whose_scale_is_that_of_the_step(t: float, s: float):
    (a, sigma, _), (b, sigma_s, _) = level(t), level(s)
    equal = 0.6 * b / (b - a * sigma_s / sigma)
    x, begin, end = (
        torch.linspace(-2, 2, 5)[:, None].double(),
        torch.full((5,), t, dtype=torch.float64),
        torch.full((5,), s, dtype=torch.float64),
    )
    teacher, told_one = gaussians(), GuidedTeacher(gaussians(), 0.6).condition(["good"] * 5, None)
    by_students = cfg_plus_plus(GuidedTeacher(teacher, 0.6), x, begin, end, told_one)
    both = Condition.concatenate([teacher.condition(["good"] * 5), teacher.condition([""] * 5)])
    by_scenes = cfg_plus_plus(Guided(teacher, Guidance(0.6)), x, begin, end, both)
    expected = ddim(Guided(teacher, Guidance(equal)), x, begin, end, both)
    torch.testing.assert_close(by_scenes, expected)
    torch.testing.assert_close(by_students, expected, rtol=1e-6, atol=1e-6)
    plain = teacher.condition(["good"] * 5)
    assert torch.equal(cfg_plus_plus(teacher, x, begin, end, plain), ddim(teacher, x, begin, end, plain))


def test_a_scale_of_0_6_in_fifty_steps_is_about_as_strong_as_7_5():
    """The pair that the authors compare (their section 4): guidance ends at mu0 + g (mu - mu0)."""
    teacher = gaussians()
    both = Condition.concatenate([teacher.condition(["good"]), teacher.condition([""])])
    noise = torch.zeros(1, 1, dtype=torch.float64)
    drawn = sample_with(SAMPLERS["cfg++"], Guided(teacher, Guidance(0.6)), noise, both, 50).item()
    assert (drawn - MU0) / (MU - MU0) == pytest.approx(7.5, rel=0.1)
