"""GENIE's head: a start in first order, the paper's step once it has learned, and a network that stays as it was."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sds.denoiser import Condition, NeuralTeacher
from sds.solvers import ddim_step, even_times, solve
from sds.teachers.mixture import MixtureTeacher
from students.change_head import HEAD
from students.flow_map import flow, sample_along
from students.inputs import INPUTS, inputs_of, save_inputs, with_inputs
from students.methods.second_order import change_of_prediction, taylor
from students.recipes.catalogue import RECIPES, usual_steps
from students.recipes.order import Order, StudentRun
from students.student import Student
from students.training.batches import Images
from tests.sds.toys import ToyNetwork, ToyTeacher
from tests.students.toys import normals, two_modes


class TwoBlobs(MixtureTeacher):
    """N(1, 1) or N(-1, 1) in each number of a picture, exactly, and a network that corrects it by nothing."""

    def __init__(self) -> None:
        means = torch.tensor([1.0, -1.0])[:, None, None, None].expand(2, 3, 4, 4)
        super().__init__(means, torch.ones(2), {"light": torch.tensor([1.0, 1e-9])})
        torch.manual_seed(0)
        self.network = ToyNetwork().requires_grad_(False)
        nn.init.zeros_(self.network.conv_out.weight)
        nn.init.zeros_(self.network.conv_out.bias)

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return super().__call__(x_t, t, condition) + network(x_t, t, torch.zeros_like(t))


def times(*levels: float) -> torch.Tensor:
    return torch.tensor(levels, dtype=torch.float64)


def with_weights(student: Student) -> Student:
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            if HEAD in name:
                parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
    return student


def test_it_begins_with_steps_of_first_order():
    teacher, x = ToyTeacher(), normals(3, 3, 4, 4)
    student, condition = Student(teacher, change=True), teacher.condition(["a", "b", "cde"])
    t, s = times(0.9, 0.5, 1.0), times(0.5, 0.0, 0.3)
    with torch.no_grad():
        expected = ddim_step(teacher.schedule, x, teacher(x, t, condition), t, s)
        torch.testing.assert_close(flow(student, x, t, s, condition), expected, rtol=0, atol=1e-6)


def test_a_jump_is_the_papers_taylor_step():
    """With whatever the head says, read off where it counts for a half: from t to the image."""
    teacher, x = ToyTeacher(), normals(3, 3, 4, 4)
    student, condition = with_weights(Student(teacher, change=True)), teacher.condition(["a", "b", "cde"])
    t, s = times(0.9, 0.5, 0.7), times(0.5, 0.1, 0.3)
    with torch.no_grad():
        said = 2 * (teacher(x, t, condition) - student(x, t, 0 * t, condition))
        assert float(said.abs().max()) > 0.05
        step = taylor(lambda *_: said)(teacher, x, t, s, condition)
        torch.testing.assert_close(flow(student, x, t, s, condition), step, rtol=0, atol=1e-5)


def trained(teacher: NeuralTeacher, x0: Tensor, guidance_scale: float, steps: int) -> tuple[StudentRun, Order]:
    order = Order(
        teacher,
        ["light"],
        None,
        "genie",
        steps=steps,
        student_steps=usual_steps("genie"),
        guidance_scale=guidance_scale,
        batch_size=32,
        learning_rate=4e-3,
    )
    order = replace(order, images=Images(x0, order.guided.teacher.condition(["light"] * len(x0), None)))
    run = RECIPES["genie"](order)
    for _ in range(steps):
        run.trainer.step()
    return run, order


def test_the_head_learns_how_the_prediction_changes_and_the_network_nothing():
    """Then five steps lead nearer to where many lead than five of DDIM do."""
    teacher = TwoBlobs()
    light = teacher.sample(["light"] * 544, torch.Generator().manual_seed(0)).float()
    run, _ = trained(teacher, light[32:], 1.0, 100)
    student, own = run.finished_student(), teacher.network.state_dict()
    assert all(torch.equal(student.network.state_dict()[name], tensor) for name, tensor in own.items())
    assert all(name.startswith(f"network.{HEAD}") for name, p in run.student.named_parameters() if p.requires_grad)
    noise, condition = normals(32, 3, 4, 4, seed=8), teacher.condition(["light"] * 32)
    t, one = torch.linspace(0.2, 0.9, 32, dtype=torch.float64), torch.ones(32, dtype=torch.float64)
    with torch.no_grad():
        x_t = teacher.schedule.add_noise(light[:32], noise, t)
        exact = change_of_prediction(teacher, x_t, t, condition)
        said = 2 * (teacher(x_t, t, condition) - student(x_t, t, 0 * t, condition))
        assert float((said - exact).square().mean()) < 0.1 * float(exact.square().mean())

        end = solve(teacher, noise, even_times(one, 0 * one, 100), condition)
        first = solve(teacher, noise, even_times(one, 0 * one, 5), condition)
        second = sample_along(student, noise, run.card.with_steps(5).times, condition)
        assert float((second - end).square().mean()) < 0.3 * float((first - end).square().mean())
    assert (len(run.card.times), run.card.same_path, run.card.fixed_steps) == (10, True, False)


def test_of_a_guided_teacher_the_network_learns_guidance_first():
    teacher = ToyTeacher()
    with torch.no_grad():
        for parameter in teacher.network.parameters():
            parameter *= 2.5  # what it is told counts for more
    run, order = trained(teacher, normals(256, 3, 4, 4, seed=4), 3.0, 120)
    guided, student = order.guided.teacher, run.finished_student()
    x_t, t, told = normals(8, 3, 4, 4), torch.full((8,), 0.6).double(), guided.condition(["light"] * 8, None)
    with torch.no_grad():
        wanted, plain, learned = guided(x_t, t, told), teacher(x_t, t, told), student(x_t, t, t, told)
    left = float((learned - wanted).square().mean() / (plain - wanted).square().mean())
    assert left < 0.8
    assert run.trainer.number == 1
    own = run.student.network.state_dict()
    assert all(torch.equal(own[n], student.network.state_dict()[n]) for n in teacher.network.state_dict())


def test_its_file_and_what_cannot_have_one(tmp_path: Path):
    teacher = ToyTeacher()
    student = with_weights(Student(teacher, change=True))
    save_inputs(inputs_of(student), tmp_path)
    loaded = with_inputs(load_file(tmp_path / INPUTS), teacher)
    assert isinstance(loaded, Student)
    assert loaded.knows_change
    x, t, condition = normals(2, 3, 4, 4), times(0.9, 0.4), teacher.condition(["a", "bcd"])
    with torch.no_grad():
        assert torch.equal(loaded(x, t, 0 * t, condition), student(x, t, 0 * t, condition))
        assert torch.equal(student.copied()(x, t, t, condition), teacher(x, t, condition))
    with pytest.raises(ValueError, match="no place"):
        Student(teacher, change=True, lora=2)
    with pytest.raises(ValueError, match="has no convolution conv_out"):
        Student(two_modes(), change=True)
