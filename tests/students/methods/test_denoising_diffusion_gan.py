"""Denoising diffusion GANs: real steps, a student that draws instead of averaging, what it refuses."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from sds.denoiser import Condition
from students.features.discriminators import Discriminator
from students.methods.adversarial import NON_SATURATING, Adversary
from students.methods.denoising_diffusion_gan import END, START, DenoisingDiffusionGan, Steps, sample_steps
from students.student import LATENT, Student, with_latent
from students.training.batches import Images
from students.training.loop import Distillation, DistillationSettings, Stage
from tests.students.toys import normals, two_modes


class StepWaves:
    """Features of pairs of points and of the step's start."""

    directions = 1.5 * normals(3, 96, seed=7)

    def __call__(self, x: Tensor, condition: Condition, rng: torch.Generator) -> Sequence[Tensor]:
        told = torch.cat([x.flatten(1), 2 * condition.tensors[START].to(x)[:, None]], dim=1)
        angles = told @ self.directions
        return [torch.cat([angles.sin(), angles.cos()], dim=1)]


def test_real_steps_are_those_of_the_forward_process():
    teacher = two_modes()
    count = 100_000
    images = Images(torch.full((64, 1), 0.7), teacher.condition([""] * 64))
    batch = Steps(images, teacher.schedule, [0.0, 0.5, 1.0])(count, torch.Generator().manual_seed(0))
    x_s, x_t = batch.x0.double().chunk(2, dim=1)
    for start, end in ((0.5, 0.0), (1.0, 0.5)):
        here = batch.condition.tensors[START] == start
        assert bool((batch.condition.tensors[END][here] == end).all())
        times = torch.tensor([start, end], dtype=torch.float64)
        (alpha_t, alpha_s), (sigma_t, sigma_s) = (c.tolist() for c in teacher.schedule(times))
        for x, alpha, sigma in ((x_s[here], alpha_s, sigma_s), (x_t[here], alpha_t, sigma_t)):
            assert x.mean().item() == pytest.approx(alpha * 0.7, abs=0.02)
            assert x.std().item() == pytest.approx(sigma, abs=0.02)
        covariance = ((x_s[here] - x_s[here].mean()) * x_t[here]).mean().item()
        assert covariance == pytest.approx(alpha_t / alpha_s * sigma_s**2, abs=0.02)


def test_two_large_steps_draw_both_modes_where_a_mean_draws_none():
    teacher, latent, times = two_modes(), 4, [1.0, 0.5]
    torch.manual_seed(0)
    student = Student(teacher, latent=latent)
    real = teacher.sample([""] * 4096, torch.Generator().manual_seed(0)).float()
    images = Images(real, teacher.condition([""] * 4096))
    steps = Steps(images, teacher.schedule, [0.0, 0.5, 1.0])
    adversary = Adversary(Discriminator(StepWaves(), [192]), steps, loss=NON_SATURATING, r1=0.02, learning_rate=2e-3)
    term = DenoisingDiffusionGan(adversary, steps, latent)
    run = Distillation(student, teacher, [lambda _: Stage([term], images, 800)], DistillationSettings(128, 1e-3))
    condition, noise = teacher.condition([""] * 2000), normals(2000, 1, seed=3)

    def drawn() -> Tensor:
        return sample_steps(student, noise, times, condition, latent, torch.Generator().manual_seed(1))[:, 0]

    def far_from_modes(x: Tensor) -> float:
        return float(((x.abs() - 1).abs() > 0.7).float().mean())

    untrained = far_from_modes(drawn())
    while not run.finished:
        run.step()
    x = drawn()
    assert untrained > 0.15
    assert far_from_modes(x) < 0.5 * untrained
    assert 0.06 < float((x < 0).float().mean()) < 0.5
    assert float(x[x > 0].std()) == pytest.approx(0.3, abs=0.12)


def test_a_student_that_is_told_noise_needs_some():
    teacher = two_modes()
    student = Student(teacher, latent=3)
    x, t, condition = normals(2, 1), torch.full((2,), 0.5).double(), teacher.condition([""] * 2)
    with pytest.raises(ValueError, match="with_latent"):
        student(x, t, 0 * t, condition)
    told = with_latent(condition, 3, torch.Generator().manual_seed(0))
    assert told.tensors[LATENT].shape == (2, 3)
    torch.testing.assert_close(student(x, t, 0 * t, told), teacher(x, t, condition))
    with torch.no_grad():
        for parameter in student.network.parameters():
            parameter += 0.1
        silent = Condition({**condition.tensors, LATENT: torch.zeros(2, 3)})
        folded = teacher.denoise(student.plain_network(), x, t, condition)
        torch.testing.assert_close(folded, student(x, t, 0 * t, silent))
        assert not torch.allclose(folded, student(x, t, 0 * t, told))
