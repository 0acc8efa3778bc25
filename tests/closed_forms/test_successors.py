"""SiD and f-distill with a Gaussian teacher and an affine student; sCM at the exact consistency function.

x = a z + b is the student's image, N(m, s^2) the teacher's, and the critic is exact unless a test says otherwise. With
u = x_t - alpha m, v = alpha^2 s^2 + sigma^2 and q = alpha^2 a^2 + sigma^2, expectations are Gauss-Hermite sums.
"""

import math

import pytest
import torch
from torch import Tensor

from sds.schedule import NoiseSchedule, cosine_schedule, flow_schedule, scale
from sds.weightings import normalized_weight
from students.methods.continuous_consistency import LognormalTimes, angle, continuous_consistency, direction
from students.methods.f_distillation import (
    Divergence,
    forward_kl,
    jensen_shannon,
    ratio_weight,
    reverse_kl,
    squared_hellinger,
)
from students.methods.level_weights import LevelWeighted
from students.methods.score_identity import identity_loss
from students.methods.targets import Learning, Target
from students.training.batches import Batch
from tests.closed_forms.tables import MEAN, SPREAD, batch
from tests.closed_forms.tables import gaussian as teacher_of
from tests.closed_forms.test_distribution_matching import NOISE, PROBABILITY, M, S, Z, gaussian, levels


def identity_gradient(
    a: float, b: float, t: float, correction: float, critic: tuple[float, float] | None = None
) -> tuple[float, float, float]:
    """E of SiD's loss without its weight, and the derivatives by a and b; the critic knows N(b', a'^2)."""
    known_spread, known_mean = critic or (a, b)
    gain, offset = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (a, b))
    x = gain * Z + offset
    time = torch.full((len(Z),), t, dtype=torch.float64)
    teacher, knows = gaussian(M, S**2), gaussian(known_mean, known_spread**2)
    x_t = teacher.schedule.add_noise(x, NOISE, time)
    condition = teacher.condition([""] * len(Z))
    of_teacher, of_critic = teacher(x_t, time, condition), knows(x_t, time, condition)
    weight = 1 / (of_teacher - x).detach().abs()[:, 0]
    loss = (PROBABILITY * identity_loss(x, of_teacher, of_critic, correction) / weight).sum()
    of_gain, of_offset = torch.autograd.grad(loss, [gain, offset])
    return float(loss.detach()), float(of_gain), float(of_offset)


@pytest.mark.parametrize("t", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("correction", [0.5, 1.0, 1.2])
def test_the_loss_of_sid_with_an_exact_critic_is_a_fisher_divergence(t: float, correction: float):
    """E <D - C, D - x> = E |D - C|^2, so the loss is (1 - correction) E |D - C|^2."""
    a, b = 0.9, 0.2
    alpha, sigma = levels(t)
    v, q = alpha**2 * S**2 + sigma**2, alpha**2 * a**2 + sigma**2
    slope, at_mean = alpha * (S**2 / v - a**2 / q), sigma**2 * (M / v - b / q)
    # D - C is affine in x_t ~ N(alpha b, q): its mean square is that of its value at the mean plus slope^2 q.
    mean_square = slope**2 * q + (slope * alpha * b + at_mean) ** 2
    assert identity_gradient(a, b, t, correction)[0] == pytest.approx((1 - correction) * mean_square, abs=1e-12)


@pytest.mark.parametrize("correction", [1.0, 1.2])
@pytest.mark.parametrize("t", [0.3, 0.6])
def test_the_gradient_of_sid(correction: float, t: float):
    """With b = m: dL/da = 2 alpha a Delta (alpha (k_D - correction Delta) - 1), Delta = k_D - k_C the slopes."""
    a = 0.9
    alpha, sigma = levels(t)
    of_teacher = alpha * S**2 / (alpha**2 * S**2 + sigma**2)
    delta = of_teacher - alpha * a**2 / (alpha**2 * a**2 + sigma**2)
    expected = 2 * alpha * a * delta * (alpha * (of_teacher - correction * delta) - 1)
    assert identity_gradient(a, M, t, correction)[1] == pytest.approx(expected, abs=1e-12)


def test_sid_ends_at_the_teachers_distribution():
    a, b = 0.8, 0.3
    for step in range(1300):
        _, of_a, of_b = identity_gradient(a, b, (0.3, 0.5, 0.7)[step % 3], correction=1.0)
        a, b = a - of_a, b - of_b
    assert (a, b) == pytest.approx((S, M), abs=1e-4)


def test_sid_with_a_large_correction_has_a_basin():
    """For correction > 1 the gradient changes sign where alpha (k_D - correction Delta) = 1: beyond, spread grows."""
    t, correction = 0.3, 1.2
    alpha, sigma = levels(t)
    of_teacher = alpha * S**2 / (alpha**2 * S**2 + sigma**2)
    edge = of_teacher + (1 / alpha - of_teacher) / correction  # the critic's slope there
    a = sigma * math.sqrt(edge / (alpha * (1 - alpha * edge)))
    assert a > S
    assert identity_gradient(0.9 * a, M, t, correction)[1] > 0
    assert identity_gradient(1.1 * a, M, t, correction)[1] < 0


GRID = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
F_DIVERGENCES = [
    # h, f, and the factor of f''(r) r^2 that h leaves out
    (reverse_kl, lambda r: -r.log(), 1.0),
    (forward_kl, lambda r: r * r.log(), 1.0),
    (jensen_shannon, lambda r: r * r.log() - (r + 1) * ((r + 1) / 2).log(), 1.0),
    (squared_hellinger, lambda r: (1 - r.sqrt()).square(), 0.5),
]


@pytest.mark.parametrize(("h", "f", "factor"), F_DIVERGENCES)
@pytest.mark.parametrize("t", [0.3, 0.6])
def test_the_gradient_of_every_divergence_is_that_of_diff_instruct_times_h(h: Divergence, f, factor: float, t: float):
    """d/da D_f(p_t || q_t) = factor E_q [h(r) (C - D) (alpha / sigma^2) dx_t/da], by finite differences of D_f."""
    a, b = 0.6, 0.5
    alpha, sigma = levels(t)

    def density(mean: float, variance: float) -> Tensor:
        return torch.exp(-((GRID - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)

    p = density(alpha * M, alpha**2 * S**2 + sigma**2).clamp(min=1e-300)

    def divergence(a: float) -> float:
        q = density(alpha * b, alpha**2 * a**2 + sigma**2).clamp(min=1e-300)
        return float(torch.trapezoid(q * f(p / q), GRID))

    numeric = (divergence(a + 1e-4) - divergence(a - 1e-4)) / 2e-4
    variance = alpha**2 * a**2 + sigma**2
    q = density(alpha * b, variance).clamp(min=1e-300)
    time, x_t = torch.full_like(GRID, t), GRID[:, None]
    condition = gaussian(M, S**2).condition([""] * len(GRID))
    difference = gaussian(b, a**2)(x_t, time, condition) - gaussian(M, S**2)(x_t, time, condition)
    moved = alpha**2 * a * (GRID - alpha * b) / variance  # E [dx_t/da | x_t] = alpha E[z | x_t]
    expected = float(torch.trapezoid(q * h(p / q) * (alpha / sigma**2) * difference[:, 0] * moved, GRID))
    assert numeric == pytest.approx(factor * expected, rel=1e-4, abs=1e-7)


def test_the_weights_of_a_batch_keep_the_size_of_its_steps():
    ratio, x = torch.tensor([0.5, 1.0, 4.5]), torch.tensor([[1.0], [2.0], [4.0]])
    t, guided = torch.full((3,), 0.5, dtype=torch.float64), torch.zeros(3, 1)
    weight = ratio_weight(lambda: ratio, forward_kl)(cosine_schedule(), t, x, guided)
    plain = normalized_weight(cosine_schedule(), t, x, guided)
    assert weight.tolist() == pytest.approx((plain * ratio / 2).tolist())
    same = ratio_weight(lambda: ratio, reverse_kl)(cosine_schedule(), t, x, guided)
    assert same.tolist() == pytest.approx(plain.tolist())


class ExactConsistency:
    """x0 of the exact jump to the image: m + s (x_t - alpha m) / sqrt(alpha^2 s^2 + sigma^2)."""

    def __init__(self, schedule: NoiseSchedule, mistake: float = 0.0) -> None:
        self.schedule, self.mistake = schedule, mistake

    def __call__(self, x_t: Tensor, t: Tensor, s: Tensor, condition) -> Tensor:
        alpha, sigma = (scale(c, x_t) for c in self.schedule(t))
        exact = MEAN + SPREAD * (x_t - alpha * MEAN) / (alpha**2 * SPREAD**2 + sigma**2).sqrt()
        return exact + self.mistake * sigma * x_t


@pytest.mark.parametrize("schedule", [cosine_schedule(), flow_schedule()])
def test_the_exact_consistency_function_is_a_fixed_point_of_scm(schedule: NoiseSchedule):
    teacher, exact, rng = teacher_of(schedule), ExactConsistency(schedule), torch.Generator().manual_seed(0)
    objective = continuous_consistency(teacher)
    target = objective(Learning(exact, exact, 1.0, rng), batch(teacher, 500, rng))
    error = (target.x0 - exact(target.x_t, target.t, target.s, target.condition))[target.t > 0.06]
    assert error.abs().max() < 1e-9
    lowest = target.t < 0.06
    assert bool(lowest.any())
    denoised = teacher(target.x_t, target.t, target.condition)
    torch.testing.assert_close(target.x0[lowest], denoised[lowest], rtol=0, atol=0)


def test_the_target_of_scm_is_its_tangent():
    """g = cos(phi) df/dphi along the path, cut to g / (|g| + c); a run begins without its second half."""
    schedule, normaliser, rng = cosine_schedule(), 0.3, torch.Generator().manual_seed(0)
    teacher, student = teacher_of(schedule), ExactConsistency(schedule, mistake=0.4)
    objective = continuous_consistency(teacher, normaliser=normaliser, lowest=1e-4)
    for progress in (1.0, 0.0):
        target = objective(Learning(student, student, progress, rng), batch(teacher, 200, rng))
        phi = (angle(schedule, target.t)[:, None]).requires_grad_()
        x = target.x_t.clone().requires_grad_()
        cosine, sine = phi.cos(), phi.sin()
        exact = MEAN + SPREAD * (x - cosine * MEAN) / (cosine**2 * SPREAD**2 + sine**2).sqrt()
        f = exact + 0.4 * sine * x
        of_x, of_phi = torch.autograd.grad(f.sum(), [x, phi])
        towards = direction(schedule, target.x_t, teacher(target.x_t, target.t, target.condition), target.t)
        g = (cosine * (of_x * towards + of_phi)).detach()
        network = direction(schedule, target.x_t, f.detach(), target.t)
        if progress == 0.0:
            g = (cosine**2 * (towards - network)).detach()
        expected = f - sine * g / (g.abs() + normaliser)
        torch.testing.assert_close(target.x0, expected.detach(), rtol=0, atol=1e-9)
        torch.testing.assert_close(target.weight, sine.detach()[:, 0] ** -2)


def test_the_proposal_of_scm_is_log_normal():
    schedule, rng = cosine_schedule(), torch.Generator().manual_seed(0)
    t = LognormalTimes(schedule, -1.0, 1.4, even=0.0).sample(20_000, 0.0, rng)
    logarithm = (angle(schedule, t).tan() / 0.5).log()
    assert float(logarithm.mean()) == pytest.approx(-1.0, abs=0.03)
    assert float(logarithm.std()) == pytest.approx(1.4, abs=0.03)
    mixed = LognormalTimes(schedule, even=0.5).sample(20_000, 0.0, rng)
    assert float((mixed > 0.95).float().mean()) > 0.5 * 0.05 * 0.8


def test_a_learned_weight_makes_all_noise_levels_count_the_same():
    """For a student that never learns, exp(w) is 1 / E[d | t]; here d = t^2."""
    schedule, rng = cosine_schedule(), torch.Generator().manual_seed(0)

    def objective(learning: Learning, examples: Batch) -> Target:
        t = 0.1 + 0.9 * torch.rand(len(examples), dtype=torch.float64, generator=rng)
        return Target(examples.noise, t, 0 * t, examples.condition, t[:, None], torch.ones_like(t))

    def student(x_t: Tensor, t: Tensor, s: Tensor, condition) -> Tensor:
        return torch.zeros_like(x_t)

    term, examples = LevelWeighted(objective, schedule, learning_rate=0.05), batch(teacher_of(), 256, rng)
    for _ in range(600):
        loss = term(Learning(student, student, 0.0, rng), examples)
    assert float(loss) == pytest.approx(1.0, abs=0.1)
    t = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    torch.testing.assert_close(term.log_weight(t).detach().double(), -2 * t.log(), rtol=0, atol=0.25)
    again = LevelWeighted(objective, schedule)
    again.load_state_dict(term.state_dict())
    assert torch.equal(again.log_weight(t), term.log_weight(t))


def test_a_standard_normal_needs_the_network_of_the_paper():
    """For N(0, 1) the consistency function is x itself, so F = -tan(phi / 2) x."""
    schedule, x = cosine_schedule(), torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    for t in (0.2, 0.5, 0.9):
        time = torch.full((5,), t, dtype=torch.float64)
        expected = -math.tan(math.pi * t / 4) * x
        torch.testing.assert_close(direction(schedule, x, x, time), expected, rtol=0, atol=1e-12)
