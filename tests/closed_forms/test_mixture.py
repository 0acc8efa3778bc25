"""The mixture teacher against independent ways to the same numbers."""

import math

import numpy as np
import pytest
import torch

from sds.schedule import scale
from sds.teachers.mixture import MixtureTeacher


def times(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def two_modes() -> MixtureTeacher:
    return MixtureTeacher(
        means=times(-1.0, 2.0)[:, None],
        covariances=times(0.04, 0.25),
        prompts={"left": times(1, 0), "right": times(0, 1), "mostly right": times(0.3, 0.7)},
    )


def anisotropic() -> MixtureTeacher:
    root = torch.randn(3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    means = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    return MixtureTeacher(means, root @ root.mT + 0.1 * torch.eye(4))


def test_denoiser_is_the_posterior_mean_by_quadrature():
    teacher, t = two_modes(), times(0.4)
    alpha, sigma = (c.item() for c in teacher.schedule(t))
    x0 = np.linspace(-8, 8, 200_001)
    prior = 0.3 * np.exp(-((x0 + 1) ** 2) / 0.08) / math.sqrt(0.04) + 0.7 * np.exp(-((x0 - 2) ** 2) / 0.5) / math.sqrt(
        0.25
    )
    for x_t in (-1.5, 0.2, 1.3):
        posterior = prior * np.exp(-((x_t - alpha * x0) ** 2) / (2 * sigma**2))
        expected = (posterior * x0).sum() / posterior.sum()
        actual = teacher(times(x_t)[:, None], t, teacher.condition(["mostly right"])).item()
        assert actual == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("teacher", [two_modes(), anisotropic()])
def test_denoiser_is_tweedies_formula_of_the_density(teacher: MixtureTeacher):
    """E[x0 | x_t] = (x_t + sigma^2 grad log p_t) / alpha."""
    x_t = torch.randn(5, teacher.means.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = times(0.05, 0.2, 0.5, 0.8, 0.95)
    condition = teacher.condition([""] * 5)
    x_t.requires_grad_()
    (score,) = torch.autograd.grad(teacher.log_density(x_t, t, condition).sum(), x_t)
    alpha, sigma = teacher.schedule(t)
    expected = (x_t + scale(sigma**2, x_t) * score) / scale(alpha, x_t)
    torch.testing.assert_close(teacher(x_t, t, condition), expected, rtol=1e-9, atol=1e-9)


def test_density_is_normalised():
    teacher = two_modes()
    x = torch.linspace(-12, 12, 40_001, dtype=torch.float64)
    condition = teacher.condition(["mostly right"])
    log_density = teacher.log_density(x[:, None], torch.full_like(x, 0.3), condition)
    assert (log_density.exp().sum() * (x[1] - x[0])).item() == pytest.approx(1, abs=1e-9)


def test_prompts_pick_components_and_the_null_prompt_has_them_all():
    teacher = two_modes()
    pure_noise = times(1.0)
    expected = {"left": -1.0, "right": 2.0, "": 0.5, "mostly right": 0.3 * -1 + 0.7 * 2}
    for prompt, mean in expected.items():
        assert teacher(times(0.7)[:, None], pure_noise, teacher.condition([prompt])).item() == pytest.approx(mean)


def test_samples_have_the_mixtures_moments():
    teacher = anisotropic()
    x0 = teacher.sample([""] * 200_000, torch.Generator().manual_seed(0))
    covariance = torch.einsum("kij,kj,klj->il", teacher.axes, teacher.variances, teacher.axes) / 3
    covariance += torch.cov(teacher.means.T, correction=0)
    torch.testing.assert_close(x0.mean(0), teacher.means.mean(0), rtol=0, atol=0.03)
    torch.testing.assert_close(torch.cov(x0.T), covariance, rtol=0.03, atol=0.06)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="covariances of shape"):
        MixtureTeacher(torch.zeros(2, 3), torch.ones(3))
    with pytest.raises(ValueError, match="negative eigenvalue"):
        MixtureTeacher(torch.zeros(1, 1), torch.tensor([-1.0]))
    with pytest.raises(ValueError, match="not \\['middle'\\]"):
        two_modes().condition(["left", "middle"])
