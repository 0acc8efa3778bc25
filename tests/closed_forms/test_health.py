"""The critic's lag for Gaussians: by the formula, and in what it says."""

import math

import pytest
import torch

from sds.guidance import PromptConditions
from sds.teachers.mixture import MixtureTeacher
from students.measures.health import critic_lag

COUNT = 200_000


def gaussian(mean: float, spread: float) -> MixtureTeacher:
    return MixtureTeacher(torch.tensor([[mean]], dtype=torch.float64), torch.tensor([spread**2], dtype=torch.float64))


def lag(critic: MixtureTeacher, mean: float = 0.5) -> float:
    """Of a student that draws N(mean, 0.4^2), with the teacher N(1, 0.4^2)."""
    teacher, rng = gaussian(1.0, 0.4), torch.Generator().manual_seed(0)
    x = mean + 0.4 * torch.randn(COUNT, 1, dtype=torch.float64, generator=rng)
    condition = teacher.condition([""] * COUNT)
    return critic_lag(teacher, critic, x, PromptConditions(condition, condition), rng)


def test_a_critic_that_knows_the_student_has_no_lag():
    assert lag(gaussian(0.5, 0.4)) == pytest.approx(0, abs=0.01)


def test_a_critic_behind_the_student_has_a_positive_lag_and_one_before_it_a_negative_one():
    assert lag(gaussian(0.0, 0.4)) > 0.2
    assert lag(gaussian(0.8, 0.4)) < -0.2


def test_the_lag_by_its_formula():
    """With equal spreads C and D differ by a shift, g(t) (mean_teacher - mean_critic) with g = sigma^2 / v."""
    t = torch.linspace(0.02, 0.98, 4001, dtype=torch.float64)
    alpha, sigma = gaussian(0, 1).schedule(t)
    g = sigma**2 / (alpha**2 * 0.4**2 + sigma**2)
    unknown, way = 0.5 - 0.2, 1.0 - 0.2  # student minus critic, teacher minus critic
    rest = 0.4**2 * g  # the variance of x that x_t leaves open
    expected = (g**2 * unknown * way).mean() / math.sqrt(((g * unknown) ** 2 + rest).mean() * ((g * way) ** 2).mean())
    assert lag(gaussian(0.2, 0.4)) == pytest.approx(float(expected), abs=0.01)
