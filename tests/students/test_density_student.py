"""A flow of known density: the density by autograd's Jacobian, the inverse, what it learns of a Gaussian teacher."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from sds.copies import Copies
from sds.denoiser import Condition
from sds.ramps import Ramp, TimeRange
from sds.teachers.diffusers import load_diffusers_teacher
from students.density_flow import DensityFlow, counts_of, numbers_of
from students.density_student import FINEST, DensityStudent
from students.flow_map import flow
from students.inputs import FLOW, INPUTS, inputs_of, save_inputs, with_inputs
from students.methods.density_distillation import DensityMatching
from students.recipes.catalogue import RECIPES
from students.recipes.order import Order
from students.student import Student
from students.teachers import WithCopies
from students.training.batches import noise_batches
from students.training.loop import Distillation, DistillationSettings, Stage
from tests.sds.toys import ToyTeacher
from tests.students.toys import PointTeacher, normals, null_prompt

ANGLE = torch.tensor([0.3, 1.2], dtype=torch.float64)
TOLD = Condition({"text": torch.tensor([[0.5, 1.0], [-1.0, 2.0]]), "class": torch.tensor([0, 2])})


def trained_flow(channels: int) -> DensityFlow:
    """A flow with weights that are no longer zero anywhere."""
    torch.manual_seed(0)
    made = DensityFlow(channels, {"text": 2, "class": 3}, width=16, pairs=2).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return made


def test_the_density_is_that_of_the_jacobian():
    made, z = trained_flow(2), normals(2, 2, 3, 4).double()
    x, log_det = made(z, ANGLE, TOLD)
    for row in range(2):
        one = TOLD[torch.tensor([row])]

        def drawn(flat: Tensor, row: int = row, one: Condition = one) -> Tensor:
            return made(flat.reshape(1, 2, 3, 4), ANGLE[row : row + 1], one)[0].flatten()

        jacobian = torch.autograd.functional.jacobian(drawn, z[row].flatten())
        assert float(log_det[row].detach()) == pytest.approx(
            float(torch.linalg.slogdet(jacobian.detach()).logabsdet), abs=1e-8
        )
        of_noise = -0.5 * float(z[row].square().sum()) - 12 * math.log(2 * math.pi)
        density = made.log_density(x[row : row + 1], ANGLE[row : row + 1], one)
        assert float(density.detach()) == pytest.approx(of_noise - float(log_det[row].detach()), abs=1e-8)
    assert float(log_det.detach().abs().min()) > 0.1


def test_there_and_back():
    made, z = trained_flow(3), normals(2, 3, 4, 4, seed=1).double()
    x, _ = made(z, ANGLE, TOLD)
    assert float((x - z).detach().abs().max()) > 0.5
    torch.testing.assert_close(made.inverse(x, ANGLE, TOLD), z, rtol=0, atol=1e-9)


def test_a_new_flow_draws_its_noise_and_all_that_it_is_told_counts():
    z = normals(2, 3, 4, 4)
    fresh = DensityFlow(3, {"text": 2, "class": 3}, width=8, pairs=2)
    x, log_det = fresh(z, ANGLE, TOLD)
    assert torch.equal(x, z)
    assert torch.equal(log_det, torch.zeros(2))
    made, z = trained_flow(3), z.double()
    x, _ = made(z, ANGLE, TOLD)
    for angle, told in (
        (ANGLE + 0.1, TOLD),
        (ANGLE, Condition({**TOLD.tensors, "text": TOLD.tensors["text"] + 1})),
        (ANGLE, Condition({**TOLD.tensors, "class": torch.tensor([1, 1])})),
    ):
        assert not torch.allclose(made(z, angle, told)[0], x, atol=1e-3)


def test_a_condition_as_numbers():
    condition = Condition(
        {
            "text": torch.arange(12.0).reshape(1, 3, 4),
            "pooled": torch.ones(1, 2),
            "class": torch.tensor([1]),
            "mask": torch.ones(1, 3, dtype=torch.bool),
            "nothing": torch.zeros(1, 0),
        }
    )
    counts = counts_of(condition, classes=3)
    assert counts == {"text": 4, "pooled": 2, "class": 3}
    numbers = numbers_of(condition, counts)
    assert numbers["text"].tolist() == [[4.0, 5.0, 6.0, 7.0]]
    assert numbers["class"].tolist() == [[0.0, 1.0, 0.0]]


MEAN = torch.tensor([0.6, -0.3, 0.1, 0.4], dtype=torch.float64)
COVARIANCE = 0.2 * torch.tensor(
    [[1.0, 0.7, 0.0, 0.0], [0.7, 1.0, 0.0, 0.3], [0.0, 0.0, 0.5, 0.0], [0.0, 0.3, 0.0, 1.0]], dtype=torch.float64
)


def gaussian_pictures() -> PointTeacher:
    """N(MEAN, COVARIANCE) of pictures with four numbers."""
    teacher = PointTeacher(MEAN.reshape(1, 4), COVARIANCE[None])
    teacher._shape = (1, 2, 2)
    return teacher


def divergence(student: DensityStudent, t: float) -> float:
    """KL(q || p) of what the student draws at ``t`` from the noised Gaussian, both densities exact."""
    time = torch.full((2000,), t, dtype=torch.float64)
    condition = Condition({"log_weights": torch.zeros(2000, 1)})
    alpha, sigma = (float(c[0]) for c in student.schedule(time))
    exact = torch.distributions.MultivariateNormal(
        alpha * MEAN, alpha**2 * COVARIANCE + sigma**2 * torch.eye(4, dtype=torch.float64)
    )
    with torch.no_grad():
        x_t, _ = student.drawn(normals(2000, 1, 2, 2, seed=3), time, condition)
        own = student.log_density(x_t, time, condition)
    return float((own.double() - exact.log_prob(x_t.double().flatten(1))).mean())


def test_it_learns_the_density_of_a_gaussian_at_every_noise_level():
    teacher = gaussian_pictures()
    torch.manual_seed(0)
    student = DensityStudent(teacher, {"log_weights": 1}, width=16, pairs=2)
    low = float(student.finest)
    levels = (low, 0.3, 0.7)
    before = [divergence(student, t) for t in levels]
    term = DensityMatching(teacher, TimeRange(Ramp(low, low), Ramp(1.0, 1.0)))
    stages = [lambda _: Stage([term], noise_batches(null_prompt(teacher)), 120)]
    run = Distillation(student, teacher, stages, DistillationSettings(64, 3e-3))
    while not run.finished:
        run.step()
    after = [divergence(student, t) for t in levels]
    assert before[0] > 5
    assert all(-0.01 < then < 0.25 * first for first, then in zip(before, after, strict=True)), (before, after)


def test_it_is_a_flow_map_to_the_image():
    """What it draws at its finest level, without the level's share of image."""
    teacher = ToyTeacher()
    student = DensityStudent(teacher, {"text": 1})
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    noise, one, condition = normals(2, 3, 4, 4), torch.ones(2, dtype=torch.float64), teacher.condition(["a", "bcd"])
    with torch.no_grad():
        x_t, _ = student.drawn(noise, student.finest.expand(2), condition)
        drawn = flow(student, noise, one, 0 * one, condition)
    alpha, sigma = teacher.schedule(student.finest)
    assert float(sigma / alpha) == pytest.approx(FINEST)
    torch.testing.assert_close(drawn, x_t / float(alpha), rtol=0, atol=1e-5)


def test_its_recipe_and_its_file(tmp_path: Path):
    teacher = ToyTeacher()
    order = Order(teacher, ["a", "bcd"], None, "density", steps=3, batch_size=4)
    run = RECIPES["density"](order)
    for _ in range(3):
        run.trainer.step()
    assert run.card.times == [1.0]
    student = run.finished_student()
    save_inputs(inputs_of(student), tmp_path)
    tensors = load_file(tmp_path / INPUTS)
    assert all(name.startswith(FLOW) for name in tensors)
    loaded = with_inputs(tensors, teacher)
    assert isinstance(loaded, Student)
    noise, one, condition = normals(2, 3, 4, 4), torch.ones(2, dtype=torch.float64), teacher.condition(["a", "bcd"])
    with torch.no_grad():
        drawn = loaded(noise, one, 0 * one, condition)
        assert torch.equal(drawn, student(noise, one, 0 * one, condition))
        assert not torch.allclose(drawn, DensityStudent(teacher, {"text": 1})(noise, one, 0 * one, condition))
    plain = student.plain_network().state_dict()
    assert all(torch.equal(tensor, plain[name]) for name, tensor in teacher.network.state_dict().items())
    with pytest.raises((KeyError, RuntimeError, ValueError)):
        with_inputs({name: tensor for name, tensor in tensors.items() if "mixings.0" not in name}, teacher)


def test_it_is_told_every_class_of_a_teacher_whatever_is_around_it():
    digits = load_diffusers_teacher(Path(__file__).parents[2] / "examples" / "compare_students" / "teacher")
    for teacher in (digits, WithCopies(digits, Copies())):
        run = RECIPES["density"](Order(teacher, ["nine"], None, "density", steps=1, guidance_scale=1.0, batch_size=2))
        run.trainer.step()
        assert run.student.size[0] == {"class": 11}  # and none in particular


def test_what_it_cannot_be():
    teacher = ToyTeacher()
    with pytest.raises(ValueError, match="leave out --shard"):
        DensityStudent(WithCopies(teacher, Copies(sharded=True)), {"text": 1})
    for more, message in (({"student_steps": 2}, "only teaches the jump"), ({"lora": 2}, "which no LoRA corrects")):
        with pytest.raises(ValueError, match=message):
            RECIPES["density"](Order(teacher, ["a"], None, "density", **more))
    run = RECIPES["one-pass"](Order(teacher, ["a"], None, "one-pass", pairs=4, path_steps=2, batch_size=2))
    term = DensityMatching(teacher, TimeRange(Ramp(0.1, 0.1), Ramp(1.0, 1.0)))
    run.trainer.stage = Stage([term], noise_batches(null_prompt(teacher)), 1)
    with pytest.raises(TypeError, match="does not know its density"):
        run.trainer.step()
