"""Distribution matching of an affine generator G(z) = a z + b with a Gaussian teacher N(m, s^2), in closed form.

With v = alpha^2 s^2 + sigma^2 and q = alpha^2 a^2 + sigma^2 the noised divergence KL(q_t || p_t) has the derivatives
``alpha^2 a (1/v - 1/q)`` and ``alpha^2 (b - m) / v``; gradients in x0 space are sigma^2 / alpha^2 times as large.
Expectations over z and the noise are Gauss-Hermite sums, exact for gradients that are polynomials of low degree.
"""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sds.baselines import Method, sds, vsd
from sds.guidance import Guidance, PromptConditions
from sds.schedule import NoiseSchedule
from sds.score import score_gradient
from sds.teachers.mixture import MixtureTeacher
from sds.weightings import Weighting, constant_weight, normalized_weight
from students.methods.adversarial_distillation import exponential_weight

M, S = 0.7, 0.5
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(12)
Z, NOISE = (torch.from_numpy(grid).reshape(-1, 1) for grid in np.meshgrid(NODES, NODES, indexing="ij"))
PROBABILITY = torch.from_numpy(np.outer(WEIGHTS, WEIGHTS) / WEIGHTS.sum() ** 2).reshape(-1)


def gaussian(mean: float, variance: float) -> MixtureTeacher:
    return MixtureTeacher(torch.tensor([[mean]], dtype=torch.float64), torch.tensor([variance], dtype=torch.float64))


def pointwise(
    a: float, b: float, t: float, method: Method, weighting: Weighting = constant_weight, spread: float | None = None
) -> Tensor:
    """The gradient of x = a z + b at every node; the critic knows N(b, spread^2), by default the truth."""
    teacher, critic = gaussian(M, S**2), gaussian(b, (a if spread is None else spread) ** 2)
    condition = teacher.condition([""] * len(Z))
    time = torch.full((len(Z),), t, dtype=torch.float64)
    conditions = PromptConditions(condition, condition)
    result = score_gradient(
        teacher, a * Z + b, NOISE, time, conditions, Guidance(1.0), method, weighting=weighting, reference=critic
    )
    return result.gradient[:, 0]


def expected(*arguments: object, **options: object) -> tuple[float, float]:
    """The expected gradients of a and of b."""
    gradient = pointwise(*arguments, **options)  # type: ignore[arg-type]
    return float((PROBABILITY * gradient * Z[:, 0]).sum()), float((PROBABILITY * gradient).sum())


def levels(t: float) -> tuple[float, float]:
    return math.cos(math.pi * t / 2), math.sin(math.pi * t / 2)


@pytest.mark.parametrize("t", [0.2, 0.5, 0.9])
@pytest.mark.parametrize(("a", "b"), [(0.9, -0.2), (0.1, 0.7), (2.0, 3.0)])
def test_the_gradient_of_diff_instruct_is_that_of_the_divergence(a: float, b: float, t: float):
    alpha, sigma = levels(t)
    v, q = alpha**2 * S**2 + sigma**2, alpha**2 * a**2 + sigma**2

    def divergence(a: float, b: float) -> float:
        q = alpha**2 * a**2 + sigma**2
        return 0.5 * (q / v - 1 + math.log(v / q) + alpha**2 * (b - M) ** 2 / v)

    of_a, of_b = expected(a, b, t, vsd)
    to_score = alpha**2 / sigma**2
    assert of_a * to_score == pytest.approx(alpha**2 * a * (1 / v - 1 / q), abs=1e-12)
    assert of_b * to_score == pytest.approx(alpha**2 * (b - M) / v, abs=1e-12)
    h = 1e-5
    assert of_a * to_score == pytest.approx((divergence(a + h, b) - divergence(a - h, b)) / (2 * h), abs=1e-8)
    assert of_b * to_score == pytest.approx((divergence(a, b + h) - divergence(a, b - h)) / (2 * h), abs=1e-8)


def descend(method: Method, weighting: Weighting, rate: float = 0.5, steps: int = 600) -> tuple[float, float]:
    """Where gradient descent with an exact critic ends, at noise levels in turn."""
    a, b = 1.3, -0.4
    for step in range(steps):
        of_a, of_b = expected(a, b, (0.1, 0.4, 0.7)[step % 3], method, weighting)
        a, b = a - rate * of_a, b - rate * of_b
    return a, b


@pytest.mark.parametrize("weighting", [constant_weight, exponential_weight])
def test_diff_instruct_ends_at_the_teachers_distribution(weighting: Weighting):
    assert descend(vsd, weighting) == pytest.approx((S, M), abs=1e-9)


def test_dmd_ends_at_the_teachers_distribution():
    """Its weight depends on the image, so there is no loss of which it is the gradient; the fixed point stays."""
    assert descend(vsd, normalized_weight, rate=0.1) == pytest.approx((S, M), abs=1e-6)


@pytest.mark.parametrize("weighting", [constant_weight, normalized_weight, exponential_weight])
def test_no_image_moves_where_the_distributions_agree(weighting: Weighting):
    for t in (0.05, 0.5, 0.95):
        assert pointwise(S, M, t, vsd, weighting).abs().max() < 1e-12


def test_without_a_critic_the_spread_is_lost():
    """SDS: the gradient of a is sigma^2 a / v > 0 wherever it stands, so the student collapses to the mode."""
    for t in (0.2, 0.6):
        alpha, sigma = levels(t)
        v = alpha**2 * S**2 + sigma**2
        of_a, of_b = expected(0.9, -0.2, t, sds)
        assert of_a == pytest.approx(sigma**2 * 0.9 / v, abs=1e-12)
        assert of_b == pytest.approx(sigma**2 * (-0.2 - M) / v, abs=1e-12)
    a, b = descend(sds, constant_weight)
    assert a == pytest.approx(0, abs=1e-9)
    assert b == pytest.approx(M, abs=1e-9)


def test_probability_density_distillation_is_the_limit_without_noise():
    """KL(N(b, a^2) || N(m, s^2)) itself: its derivatives are a / s^2 - 1 / a and (b - m) / s^2."""
    a, b, t = 0.9, 0.2, 0.004
    alpha, sigma = levels(t)
    of_a, of_b = (alpha**2 / sigma**2 * gradient for gradient in expected(a, b, t, vsd))
    assert of_a == pytest.approx(a / S**2 - 1 / a, rel=1e-3)
    assert of_b == pytest.approx((b - M) / S**2, rel=1e-3)


@pytest.mark.parametrize(("rate_in_kappas", "oscillates"), [(0.5, True), (2.0, True), (8.0, False), (40.0, False)])
def test_a_critic_that_learns_too_slowly_makes_the_student_oscillate(rate_in_kappas: float, oscillates: bool):
    """The two-timescale rule.

    Near the fixed point, with u = a^2 - s^2 and the critic's lag c - s^2 = w::

        du = -kappa w,   dw = eta (u - w),   kappa = 2 eta_student alpha^2 sigma^2 s^2 / v^2

    whose eigenvalues are complex exactly for eta < 4 kappa.
    """
    t, rate = 0.4, 0.1
    alpha, sigma = levels(t)
    v = alpha**2 * S**2 + sigma**2
    kappa = 2 * rate * alpha**2 * sigma**2 * S**2 / v**2
    eta = rate_in_kappas * kappa
    a, variance, history = 1.02 * S, S**2, []
    for _ in range(int(12 / min(eta / 2, kappa))):
        variance += eta * (a**2 - variance)
        a -= rate * expected(a, M, t, vsd, spread=math.sqrt(variance))[0]
        history.append(a**2 - S**2)
    crossings = np.sum(np.diff(np.sign(history)) != 0)
    assert (crossings > 0) == oscillates
    assert abs(history[-1]) < 0.1 * abs(history[0])


def test_the_distillation_term_of_add_is_a_row_of_the_table():
    """The gradient of c |x - D|^2 by autograd, and x - D = (sigma / alpha) (eps - noise) for each sample."""
    t, weight = 0.5, 2.5
    teacher = gaussian(M, S**2)
    condition = teacher.condition([""] * len(Z))
    time = torch.full((len(Z),), t, dtype=torch.float64)
    alpha, sigma = levels(t)

    x = (0.9 * Z - 0.2).requires_grad_()
    x_t = teacher.schedule.add_noise(x.detach(), NOISE, time)
    predicted = teacher(x_t, time, condition)
    (weight * alpha * (x - predicted) ** 2).sum().backward()

    def published(schedule: NoiseSchedule, t: Tensor, x: Tensor, guided: Tensor) -> Tensor:
        return 2 * weight * exponential_weight(schedule, t, x, guided)

    assert x.grad is not None
    torch.testing.assert_close(pointwise(0.9, -0.2, t, sds, published), x.grad[:, 0], rtol=0, atol=1e-12)
    noise_prediction = (x_t - alpha * predicted) / sigma
    difference = (x.detach() - predicted) - sigma / alpha * (noise_prediction - NOISE)
    assert difference.abs().max() < 1e-13
