"""The flow map's boundary, what a student is told, averages of weights, and the two ways to sample."""

import pytest
import torch

from sds.denoiser import Condition
from sds.solvers import ddim_target
from students.average import AverageStudent
from students.flow_map import even_jumps, flow, sample_again, sample_along
from students.student import GUIDANCE_SCALE, Student
from tests.closed_forms.quantiles import Quantiles
from tests.sds.toys import ToyTeacher
from tests.students.toys import normals, two_modes


def times(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_a_student_starts_as_its_teacher_and_leaves_it_alone():
    teacher = ToyTeacher()
    student, x, condition = Student(teacher), normals(2, 3, 4, 4), teacher.condition(["a", "bc"])
    t, s = times(0.8, 0.4), times(0.0, 0.1)
    torch.testing.assert_close(student(x, t, s, condition), teacher(x, t, condition), rtol=0, atol=0)
    assert all(name.startswith("network.") for name in student.state_dict())
    student(x, t, s, condition).sum().backward()
    assert all(p.grad is not None for p in student.network.parameters())
    assert all(p.grad is None for p in teacher.network.parameters())


def test_the_boundary_condition_holds_for_any_network():
    teacher = ToyTeacher()
    student, x = Student(teacher), normals(3, 3, 4, 4)
    t = times(0.0, 0.3, 1.0)
    assert torch.equal(flow(student, x, t, t, teacher.condition(["a"] * 3)), x)


def test_a_student_that_is_told_more_starts_equal_and_learns_to_listen():
    teacher = ToyTeacher()
    torch.manual_seed(0)
    student = Student(teacher, told_end=True, told_guidance=True)
    x, t = normals(2, 3, 4, 4), times(0.8, 0.8)
    condition = Condition({**teacher.condition(["a", "a"]).tensors, GUIDANCE_SCALE: torch.tensor([1.0, 5.0])})
    torch.testing.assert_close(student(x, t, times(0, 0.5), condition), teacher(x, t, condition), rtol=0, atol=0)

    same = x[:1].expand(2, -1, -1, -1)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.02)
    for _ in range(60):
        of_scale = student(same, t, times(0.2, 0.2), condition).mean((1, 2, 3))
        of_end = student(same, t, times(0.1, 0.6), condition[torch.tensor([0, 0])]).mean((1, 2, 3))
        loss = ((of_scale - torch.tensor([0.0, 0.5])) ** 2).sum() + ((of_end - torch.tensor([-0.5, 0.5])) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.02
    with pytest.raises(ValueError, match="GuidedTeacher"):
        student(x, t, t, teacher.condition(["a", "a"]))


def test_an_average_of_weights_by_hand():
    teacher = ToyTeacher()
    student = Student(teacher)
    x, t = normals(2, 3, 4, 4), times(0.7, 0.2)
    condition = teacher.condition(["a", "b"])
    average = AverageStudent(student, decay=0.75)
    start = student.network.conv_out.weight.detach().clone()
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 1
    average.update()
    average.update()
    torch.testing.assert_close(average.tensors["network.conv_out.weight"], start + (1 - 0.75**2))
    assert not torch.allclose(average(x, t, t * 0, condition), student(x, t, t * 0, condition))
    copied = AverageStudent(student, decay=0.5)
    torch.testing.assert_close(copied(x, t, t * 0, condition), student(x, t, t * 0, condition))
    assert not copied(x, t, t * 0, condition).requires_grad
    copied.load_state_dict(average.state_dict())
    assert torch.equal(copied(x, t, t * 0, condition), average(x, t, t * 0, condition))
    with pytest.raises(ValueError, match="decay"):
        AverageStudent(student, decay=1.0)


class ExactMap:
    """The true flow map of a mixture on a line."""

    def __init__(self) -> None:
        self.teacher = two_modes()
        self.schedule = self.teacher.schedule
        self.quantiles = Quantiles(self.teacher)

    def __call__(self, x_t, t, s, condition):
        return ddim_target(self.schedule, x_t, self.quantiles.flow(x_t, t, s), t, s)


@pytest.mark.parametrize("steps", [[1.0], [1.0, 0.5], [1.0, 0.8, 0.4, 0.2]])
def test_both_samplers_with_the_exact_map_draw_the_mixture(steps: list[float]):
    """Sampling again keeps the law (not the path); sampling along keeps the path too."""
    exact, count = ExactMap(), 20_000
    condition = exact.teacher.condition([""] * count)
    noise = [normals(count, 1, seed=i).double() for i in range(len(steps))]
    again = sample_again(exact, noise, steps, condition)
    along = sample_along(exact, noise[0], steps, condition)
    ends = exact.quantiles.flow(noise[0], torch.ones(count).double(), torch.zeros(count).double())
    torch.testing.assert_close(along, ends, rtol=0, atol=1e-9)
    for x in (again, along):
        assert float((x < 0).double().mean()) == pytest.approx(0.3, abs=0.015)
        assert float(x[x > 0].std()) == pytest.approx(0.3, abs=0.01)


def test_each_image_makes_its_own_number_of_jumps():
    """Four images of one batch, of which each is what a batch of its own number of jumps has there."""
    exact, times, condition = ExactMap(), [1.0, 0.6, 0.3], ExactMap().teacher.condition([""] * 4)
    noise = [normals(4, 1, seed=i).double() for i in range(3)]
    jumps = torch.tensor([3, 2, 2, 1])
    mixed = sample_again(exact, noise, times, condition, jumps)
    for row, count in enumerate(jumps.tolist()):
        alone = sample_again(exact, noise[:count], times[:count], condition)
        torch.testing.assert_close(mixed[row], alone[row], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("count", "most"), [(32, 4), (3, 4), (1, 2), (7, 1)])
def test_every_number_of_jumps_is_trained_equally_often(count: int, most: int):
    rng = torch.Generator().manual_seed(0)
    drawn = torch.stack([even_jumps(count, most, rng) for _ in range(400)])
    assert bool((drawn[:, :-1] >= drawn[:, 1:]).all())
    shares = torch.bincount(drawn.flatten(), minlength=most + 1).double() / drawn.numel()
    assert shares[0] == 0
    torch.testing.assert_close(shares[1:], torch.full((most,), 1 / most, dtype=torch.float64), rtol=0, atol=0.04)
    if count >= most:
        assert all(set(row.tolist()) == set(range(1, most + 1)) for row in drawn)  # a batch holds all of them


def test_the_gradient_flows_through_the_last_jump_only():
    teacher = ToyTeacher()
    student, condition = Student(teacher), teacher.condition(["a"])
    noise = [normals(1, 3, 4, 4, seed=i).requires_grad_() for i in range(2)]
    sample_again(student, noise, [1.0, 0.5], condition).sum().backward()
    assert noise[0].grad is None
    assert all(p.grad is not None for p in student.network.parameters())
