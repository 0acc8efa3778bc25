"""UFOGen, adversarial score matching and denoising diffusion GANs where the best discriminator is known.

For images N(m, s^2) and a student G(x_t) = a x_t + b, the student's images are Gaussian too, and the best logit is the
log ratio of the densities (non-saturating loss) or (p - q) / (p + q) of them (least squares).
"""

import math

import pytest
import torch
from torch import Tensor, nn

from sds.denoiser import Condition
from students.methods.adversarial import LEAST_SQUARES, NON_SATURATING, AdversarialLoss, Adversary, DenoisedAdversary
from students.methods.denoising_diffusion_gan import sample_steps
from students.methods.targets import Learning, StepTimes, denoising
from students.student import LATENT
from students.training.batches import Batch, Images
from students.training.loop import Regression
from tests.closed_forms.tables import MEAN, SPREAD, gaussian
from tests.students.toys import normals, two_modes

T = 0.7
ALPHA, SIGMA = math.cos(math.pi * T / 2), math.sin(math.pi * T / 2)
VARIANCE = ALPHA**2 * SPREAD**2 + SIGMA**2
QUANTILES = torch.special.ndtri((torch.arange(40, dtype=torch.float64) + 0.5) / 40)
QUANTILES /= QUANTILES.square().mean().sqrt()  # so that second moments, all that an affine student needs, are exact
IMAGE, NOISE = (grid.reshape(-1, 1) for grid in torch.meshgrid(QUANTILES, QUANTILES, indexing="ij"))


class AffineStudent(nn.Module):
    """x0 = a x_t + b, its mean and spread over x_t known."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule = gaussian().schedule
        self.a, self.b = (nn.Parameter(torch.tensor(value, dtype=torch.float64)) for value in (0.4, 0.1))

    def forward(self, x_t: Tensor, t: Tensor, s: Tensor, condition: Condition) -> Tensor:
        return self.a * x_t + self.b


class BestDiscriminator(nn.Module):
    """The logit that minimises the discriminator's loss, for the student as it is; it need not learn."""

    def __init__(self, student: AffineStudent, loss: AdversarialLoss) -> None:
        super().__init__()
        self.student, self.loss = (student,), loss
        self.heads = nn.ModuleList([nn.Linear(1, 1)])

    def features(self, x: Tensor, condition: Condition, rng: torch.Generator) -> list[Tensor]:
        return [x]

    def forward(self, seen: list[Tensor]) -> Tensor:
        student, x = self.student[0], seen[0][:, 0]
        spread, mean = student.a.detach() * math.sqrt(VARIANCE), student.a.detach() * ALPHA * MEAN + student.b.detach()
        logit = 0.5 * (((x - mean) / spread) ** 2 - ((x - MEAN) / SPREAD) ** 2) + (spread / SPREAD).log()
        return torch.tanh(logit / 2) if self.loss is LEAST_SQUARES else logit


class Frozen(Adversary):
    """An adversary whose discriminator is the best already."""

    def update(self, fake: Tensor, condition: Condition, rng: torch.Generator, real: Tensor | None = None) -> None:
        self.updates += 1


def spread_and_mean(adversarial: float, loss: AdversarialLoss) -> tuple[float, float]:
    """Of the student's images, descending on the error of v and ``adversarial`` times the discriminator's opinion."""
    teacher, student = gaussian(), AffineStudent()
    condition = teacher.condition([""] * len(IMAGE))
    batch = Batch(NOISE, condition, MEAN + SPREAD * IMAGE)
    real = Images(MEAN + SPREAD * IMAGE, condition)
    # `denoising` counts (alpha + sigma)^2 times the squared error of v.
    weight = adversarial * (ALPHA + SIGMA) ** 2
    adversary = Frozen(BestDiscriminator(student, loss), real, loss=loss, weight=weight)
    terms = [
        Regression(denoising(teacher.schedule, StepTimes([T]))),
        DenoisedAdversary(adversary, StepTimes([T])),
    ]
    optimizer = torch.optim.Adam(student.parameters(), lr=0.02)
    for _ in range(600):
        learning = Learning(student, student, 0.0, torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        sum(term(learning, batch) for term in terms).backward()
        optimizer.step()
    a, b = float(student.a.detach()), float(student.b.detach())
    return abs(a) * math.sqrt(VARIANCE), a * ALPHA * MEAN + b


def test_without_a_discriminator_the_best_denoiser_is_the_mean_of_what_fits():
    """E[x0 | x_t] has the spread alpha s^2 / sqrt(alpha^2 s^2 + sigma^2), less than that of the images."""
    spread, mean = spread_and_mean(0.0, NON_SATURATING)
    assert spread == pytest.approx(ALPHA * SPREAD**2 / math.sqrt(VARIANCE), abs=1e-4)
    assert mean == pytest.approx(MEAN, abs=1e-4)


@pytest.mark.parametrize("loss", [NON_SATURATING, LEAST_SQUARES])
def test_the_more_the_discriminator_counts_the_more_of_the_spread_comes_back(loss: AdversarialLoss):
    """From the posterior mean towards the images' own law; the non-saturating loss, UFOGen's, all the way."""
    spreads = [spread_and_mean(weight, loss)[0] for weight in (0.0, 1.0, 10.0)]
    assert spreads == sorted(spreads)
    assert spreads[1] > 1.2 * spreads[0]
    assert spreads[2] < SPREAD
    if loss is NON_SATURATING:
        assert spreads[2] == pytest.approx(SPREAD, rel=0.05)


def test_the_best_discriminator_of_equal_laws_has_no_opinion():
    student = AffineStudent()
    with torch.no_grad():
        student.a.fill_(SPREAD / math.sqrt(VARIANCE))
        student.b.fill_(MEAN - float(student.a) * ALPHA * MEAN)
    x = torch.linspace(-1, 2, 7, dtype=torch.float64)[:, None]
    for loss in (NON_SATURATING, LEAST_SQUARES):
        assert BestDiscriminator(student, loss)([x]).abs().max() < 1e-12


def test_the_times_of_steps_are_visited_equally_often():
    times = StepTimes([0.9, 0.3]).sample(4000, 0.5, torch.Generator().manual_seed(0))
    assert times.dtype == torch.float64
    assert set(times.tolist()) == {0.9, 0.3}
    assert float((times == 0.9).double().mean()) == pytest.approx(0.5, abs=0.03)


class Posterior:
    """A student that draws x0 from p(x0 | x_t) of a mixture, exactly, by the further noise that it is told."""

    def __init__(self, mean_only: bool = False) -> None:
        self.teacher, self.mean_only = two_modes(), mean_only
        self.schedule = self.teacher.schedule

    def __call__(self, x_t: Tensor, t: Tensor, s: Tensor, condition: Condition) -> Tensor:
        if self.mean_only:
            return self.teacher(x_t, t, condition)
        alpha, sigma = (c[:, None] for c in self.schedule(t))
        means, variances = self.teacher.means.T, self.teacher.variances.T
        noised = alpha**2 * variances + sigma**2
        share = torch.softmax(
            self.teacher._log_joint((x_t - alpha * means)[..., None], noised[..., None], condition), 1
        )
        which, within = condition.tensors[LATENT].double().unbind(1)
        right = (torch.special.ndtr(which) > share[:, 0]).long()[:, None]
        mean = means + alpha * variances / noised * (x_t - alpha * means)
        spread = (variances * sigma**2 / noised).sqrt()
        return mean.gather(1, right) + spread.gather(1, right) * within[:, None]


@pytest.mark.parametrize("times", [[1.0], [1.0, 0.5], [1.0, 0.75, 0.5, 0.25]])
def test_any_number_of_drawn_steps_keeps_the_law(times: list[float]):
    """x_s ~ q(x_s | x_t, x0 ~ p(x0 | x_t)) is exact for large steps too: the fixed point of DDGAN is the data."""
    count, rng = 20_000, torch.Generator().manual_seed(0)
    student, condition = Posterior(), two_modes().condition([""] * 20_000)
    x = sample_steps(student, normals(count, 1, seed=3).double(), times, condition, 2, rng)
    assert float((x < 0).double().mean()) == pytest.approx(0.3, abs=0.015)
    assert float(x[x < 0].std()) == pytest.approx(0.2, abs=0.01)
    assert float(x[x > 0].std()) == pytest.approx(0.3, abs=0.01)


def test_large_steps_of_means_do_not():
    """The mean of two modes is neither; that is what the further noise is for."""
    count, rng = 20_000, torch.Generator().manual_seed(0)
    condition = two_modes().condition([""] * count)
    x = sample_steps(Posterior(mean_only=True), normals(count, 1, seed=3).double(), [1.0], condition, 2, rng)
    assert float(x.std()) < 1e-6
    assert float(x.mean()) == pytest.approx(0.7 - 0.3, abs=1e-6)
