"""ADD's distillation term in pixels: with pixels it is the row of the table, with latents it is decoded first."""

import torch
from torch import Tensor

from cli.main import main
from sds.baselines import sds
from sds.guidance import Guidance, PromptConditions
from sds.ramps import Ramp, TimeRange
from sds.score import score_gradient
from students.folder import read_card
from students.methods.adversarial_distillation import PixelDistillation, exponential_weight
from students.methods.targets import Learning, StepTimes
from students.training.batches import Images
from tests.sds.tiny_pipelines import stable_diffusion
from tests.sds.toys import ToyTeacher
from tests.students.toys import normals

LEVEL = TimeRange(Ramp(0.5, 0.5), Ramp(0.5, 0.5))


class Fixed:
    """A student that makes the same images of everything."""

    def __init__(self, x: Tensor) -> None:
        self.x, self.schedule = x, ToyTeacher().schedule

    def __call__(self, x_t: Tensor, t: Tensor, s: Tensor, condition) -> Tensor:
        return self.x


class Curved(ToyTeacher):
    """Its pixels are no straight line of its x."""

    def decode(self, x: Tensor) -> Tensor:
        return torch.tanh(x)


def batch_of(teacher: ToyTeacher):
    return Images(normals(64, 3, 4, 4), teacher.condition(["ab"] * 64))(3, torch.Generator().manual_seed(0))


def learning(x: Tensor, seed: int = 1) -> Learning:
    return Learning(Fixed(x), Fixed(x), 0.0, torch.Generator().manual_seed(seed))


def test_in_pixels_its_gradient_is_the_sds_row():
    """decode(x) = (x + 1) / 2 makes 2 weight alpha (x - D) / 4 of it, over the numbers of an image and the batch."""
    teacher = ToyTeacher()
    x, batch = normals(3, 3, 4, 4, seed=5).requires_grad_(), batch_of(teacher)
    PixelDistillation(teacher, StepTimes([0.9]), weight=3.0, noise_levels=LEVEL)(learning(x), batch).backward()

    rng = torch.Generator().manual_seed(1)
    torch.randint(1, (3,), generator=rng)  # which step the student starts from
    LEVEL.sample(3, 0.0, rng)
    noise, t = torch.randn(x.shape, generator=rng), torch.full((3,), 0.5, dtype=torch.float64)
    told = PromptConditions(batch.condition, batch.condition)
    row = score_gradient(teacher, x, noise, t, told, Guidance(1.0), sds, weighting=exponential_weight).gradient
    torch.testing.assert_close(x.grad, 2 * 3.0 * row / 4 / 48 / 3)


def test_latents_are_compared_after_decoding():
    teacher = Curved()
    x, batch = normals(3, 3, 4, 4, seed=5).requires_grad_(), batch_of(teacher)
    term = PixelDistillation(teacher, StepTimes([0.9]), weight=1.0, noise_levels=LEVEL)
    loss = term(learning(x), batch)
    loss.backward()
    rng = torch.Generator().manual_seed(1)
    torch.randint(1, (3,), generator=rng)
    LEVEL.sample(3, 0.0, rng)
    noise, t = torch.randn(x.shape, generator=rng), torch.full((3,), 0.5, dtype=torch.float64)
    by_teacher = teacher(teacher.schedule.add_noise(x.detach(), noise, t), t, batch.condition)
    alpha, decoded = float(teacher.schedule.alpha(t[:1])), torch.tanh(x.detach())
    error = decoded - torch.tanh(by_teacher)
    torch.testing.assert_close(loss.detach(), alpha * error.square().mean())
    torch.testing.assert_close(x.grad, alpha * 2 * error * (1 - decoded**2) / error.numel())


def test_add_for_a_teacher_of_latents(tmp_path):
    torch.manual_seed(0)
    stable_diffusion(tmp_path / "work").save_pretrained(tmp_path / "teacher")
    small = ["--steps", "2", "--pairs", "64", "--batch-size", "2", "--path-steps", "2", "--prompt", "a cat"]
    out = tmp_path / "student"
    assert main(["distill", "--teacher", str(tmp_path / "teacher"), "--out", str(out), "--method", "add", *small]) == 0
    assert read_card(out).method == "add"
