"""The critic's lag for Gaussians: by the formula, and in what it says."""

import math

import pytest
import torch

from sds.guidance import PromptConditions
from sds.teachers.mixture import MixtureTeacher
from students.generator import FewStepGenerator
from students.measures.health import GoneToNoiseError, NoiseWatch, critic_lag, is_noise, score_signals
from students.methods.distribution_matching import MatchingSettings, diff_instruct
from students.student import Student
from tests.students.toys import null_prompt, two_modes

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


def test_what_is_noise_and_what_is_a_picture():
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 3, 16, 16, generator=rng)
    smooth = torch.nn.functional.interpolate(torch.randn(2, 3, 4, 4, generator=rng), 16, mode="bilinear")
    assert is_noise(3 * noise)
    assert is_noise(torch.full((1, 3, 8, 8), float("nan")))
    for picture in (0.5 * noise, 4 * smooth, smooth.clamp(-1, 1), torch.zeros(1, 3, 8, 8), 0.8 * smooth + 0.2 * noise):
        assert not is_noise(picture)


def test_a_student_that_stays_noise_is_stopped_and_one_that_recovers_is_not():
    noise, picture = 3 * torch.randn(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    watch = NoiseWatch(patience=3)
    for x in (noise, noise, picture, noise, noise, picture):
        watch.look(x)
    watch.look(noise)
    watch.look(noise)
    with pytest.raises(GoneToNoiseError, match="nothing but noise"):
        watch.look(noise)


def test_the_lag_in_the_log_is_that_on_fresh_images():
    """On the images that the critic has just learned from it is too low; and looking does not disturb the run."""
    teacher = two_modes()
    torch.manual_seed(0)
    generator = FewStepGenerator(Student(teacher), (1,), null_prompt(teacher), (0.7,))
    run = diff_instruct(generator, teacher, MatchingSettings(4, batch_size=64))
    learned, update = [], run.critic.update
    run.critic.update = lambda x, condition, rng: (learned.append(x.clone()), update(x, condition, rng))[1]
    step = run.step()
    assert not torch.equal(learned[0], step.rendering.detach())  # nor from those of the generator's step
    before = run.rng.get_state()
    signals = score_signals(run, step)
    assert torch.equal(run.rng.get_state(), before)
    rng = torch.Generator().manual_seed(run.done)
    draw = generator.draw(64, rng)
    expected = critic_lag(run.teacher, run.critic, generator(draw).detach(), draw.conditions, rng)
    assert signals["critic_lag"] == pytest.approx(expected)
