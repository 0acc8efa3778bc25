"""DSNO's layers: their Fourier sums written out, a start that changes nothing, and paths learned in one pass."""

import cmath
import math

import pytest
import torch

from students.average import AverageStudent
from students.flow_map import flow, sample_path
from students.methods.pairs import whole_path
from students.student import Student
from students.temporal_fourier import PathStates, TemporalFourier, unet_widths
from students.training.batches import pair_batches
from students.training.loop import Distillation, DistillationSettings, Regression, Stage
from students.training.pairs import make_pairs
from tests.closed_forms.quantiles import Quantiles
from tests.sds.tiny_shapes import talking_teacher
from tests.sds.toys import ToyTeacher
from tests.students.toys import normals, null_prompt, two_modes

ENDS = [0.75, 0.5, 0.25, 0.0]
STATES = PathStates(ENDS, {"first": 64, "second": 64})


@pytest.mark.parametrize(("states", "modes"), [(4, 1), (4, 2), (4, 3), (5, 2)])
def test_a_layer_is_its_fourier_sums(states: int, modes: int):
    """Real signals: frequency k stands for k and -k, except 0 and, of an even number of states, the highest."""
    layer, h = TemporalFourier(2, states, modes), normals(2 * states, 2, 3)
    with torch.no_grad():
        layer.weight.copy_(normals(*layer.weight.shape, seed=1))
    weight = torch.view_as_complex(layer.weight.detach())
    paths = h.reshape(2, states, 2, 3)
    for p in range(2):
        for time in range(states):
            change = torch.zeros(2, 3)
            for k in range(modes):
                frequency = sum(paths[p, u] * cmath.exp(-2j * math.pi * k * u / states) for u in range(states))
                mixed = torch.einsum("cx,cd->dx", frequency.to(torch.complex64), weight[k])
                twice = 1 if k in (0, states / 2) else 2
                if twice == 1:
                    mixed = mixed.real.to(torch.complex64)  # an inverse for real signals sees no more of these
                change += twice * (mixed * cmath.exp(2j * math.pi * k * time / states)).real / states
            expected = paths[p, time] + torch.nn.functional.leaky_relu(change, 0.1)
            torch.testing.assert_close(layer(h).detach().reshape(2, states, 2, 3)[p, time], expected, rtol=0, atol=1e-5)


def test_a_path_that_is_shifted_in_time_is_answered_by_a_shift():
    layer, h = TemporalFourier(3, 6, 3), normals(6, 3, 4)
    with torch.no_grad():
        layer.weight.copy_(normals(*layer.weight.shape, seed=1))
    torch.testing.assert_close(layer(h.roll(2, 0)), layer(h).roll(2, 0))


def test_what_cannot_be():
    with pytest.raises(ValueError, match="4 states have 3 frequencies"):
        TemporalFourier(2, 4, 4)
    with pytest.raises(ValueError, match="7 rows are no whole paths of 4 states"):
        TemporalFourier(2, 4)(normals(7, 2))
    with pytest.raises(ValueError, match="must be told the end"):
        Student(ToyTeacher(), states=PathStates(ENDS, {"conv_in": 8}))
    for ends in ([], [0.5], [0.5, 0.75, 0.0], [0.0, 0.5]):
        with pytest.raises(ValueError, match="fall to 0"):
            PathStates(ends, {})
    assert unet_widths(ToyTeacher().network) == {}


def test_a_unet_starts_unchanged_and_mixes_when_it_has_learned():
    teacher = talking_teacher()
    noise, condition = normals(2, *teacher.shape), teacher.condition(["a red ball", "a table"], None)
    found = unet_widths(teacher.network)
    assert "mid_block" in found
    assert all(name == "mid_block" or ".resnets." in name for name in found)
    torch.manual_seed(0)
    plain = Student(teacher, told_end=True)
    torch.manual_seed(0)
    student = Student(teacher, told_end=True, states=PathStates(ENDS, found))
    with torch.no_grad():
        before = sample_path(plain, noise, ENDS, condition)
        assert torch.equal(sample_path(student, noise, ENDS, condition), before)
        one = torch.ones(2, dtype=torch.float64)
        alone = flow(Student(teacher, told_end=True), noise, one, 0.5 * one, condition)
        torch.testing.assert_close(before[:, 1], alone, rtol=0, atol=1e-5)
        for name, parameter in student.network.named_parameters():
            if "student_states" in name:
                parameter += 0.01 * torch.randn_like(parameter)
        after = sample_path(student, noise, ENDS, condition)
        assert not torch.allclose(after, before, atol=1e-4)
        swapped = sample_path(student, noise.flip(0), ENDS, condition[torch.tensor([1, 0])])
        torch.testing.assert_close(swapped.flip(0), after, rtol=0, atol=1e-5)  # paths do not see each other
        averaged = sample_path(AverageStudent(student, 0.5), noise, ENDS, condition)
        torch.testing.assert_close(averaged, after, rtol=0, atol=1e-6)
    assert any("student_states" in name for name in student.state_dict())


def test_all_states_are_learned_in_one_pass():
    """On a mixture whose path is known: every state near the exact one, after a short training on whole paths."""
    teacher = two_modes()
    torch.manual_seed(0)
    student = Student(teacher, told_end=True, states=STATES)
    made = make_pairs(
        null_prompt(teacher), 512, torch.Generator().manual_seed(0), steps=32, keep=[8, 16, 24], batch_size=512
    )
    source = pair_batches(made, teacher)
    x = torch.linspace(-1.9, 1.9, 9)[:, None]
    condition = teacher.condition([""] * 9)
    one = torch.ones(9, dtype=torch.float64)
    exact = torch.stack([Quantiles(teacher).flow(x.double(), one, end * one) for end in ENDS], dim=1)

    def error() -> float:
        with torch.no_grad():
            return float((sample_path(student, x, ENDS, condition) - exact).abs().mean())

    before = error()
    stages = [lambda _: Stage([Regression(whole_path(teacher.schedule))], source, 250)]
    run = Distillation(student, teacher, stages, DistillationSettings(64, 3e-3))
    while not run.finished:
        run.step()
    assert error() < 0.08 < 0.3 * before
    layers = [p for name, p in student.named_parameters() if "student_states" in name]
    assert all(float(p.detach().abs().max()) > 1e-3 for p in layers)
