"""LCM, guided progressive distillation and MeanFlow on other schedules: fixed points for a guided Gaussian teacher."""

import pytest
import torch
from torch import Tensor

from sds.denoiser import Condition
from sds.schedule import NoiseSchedule, cosine_schedule, flow_schedule, tabulated_schedule, time_at
from sds.solvers import ddim, ddim_step, even_times, solve
from sds.teachers.mixture import MixtureTeacher
from students.answerable import OnStraightPaths
from students.guided_teacher import GuidedTeacher
from students.methods.bootstrap import consistency
from students.methods.levels import even_levels
from students.methods.targets import Learning, at_random_guidance, progressive
from students.student import GUIDANCE_SCALE
from students.training.batches import Batch
from tests.students.toys import two_modes

LEVELS = 6


def guided_teacher() -> GuidedTeacher:
    """N(0, 1) and, told "good", N(1, 0.4^2)."""
    means, variances = torch.tensor([[0.0], [1.0]], dtype=torch.float64), torch.tensor([1.0, 0.16]).double()
    one = torch.eye(2, dtype=torch.float64)
    return GuidedTeacher(MixtureTeacher(means, variances, {"": one[0], "good": one[1]}), 1.0)


class GuidedPath:
    """The flow map that takes ``per_level`` DDIM steps of the guided teacher for each level: x0 of its jump to s."""

    def __init__(self, teacher: GuidedTeacher, levels: int) -> None:
        self.teacher, self.schedule, self.levels = teacher, teacher.schedule, levels

    def __call__(self, x_t: Tensor, t: Tensor, s: Tensor, condition: Condition) -> Tensor:
        x0 = torch.empty_like(x_t)
        for row in range(len(x_t)):
            here, told = slice(row, row + 1), condition[slice(row, row + 1)]
            steps = max(1, round(float(t[row] - s[row]) * self.levels))
            x_s = solve(self.teacher, x_t[here], even_times(t[here], s[here], steps), told, ddim)
            # the x0 whose step from x_t leads to x_s, and the teacher's own where there is no way to go
            kept = ddim_step(self.schedule, x_t[here], torch.zeros_like(x_s), t[here], s[here])
            gained = ddim_step(self.schedule, x_t[here], torch.ones_like(x_s), t[here], s[here]) - kept
            x0[here] = (x_s - kept) / gained if float(gained) > 0 else self.teacher(x_t[here], t[here], told)
        return x0


@pytest.mark.parametrize("method", ["lcm", "progressive"])
def test_a_student_that_is_told_the_scale_follows_the_guided_path_of_each(method: str):
    """For every scale the guided solver is a fixed point: LCM's to the image, Meng's second stage to t - 1/N."""
    teacher, rng = guided_teacher(), torch.Generator().manual_seed(0)
    if method == "lcm":
        objective, exact = consistency(teacher, even_levels(LEVELS), ddim), GuidedPath(teacher, LEVELS)
    else:
        objective, exact = progressive(teacher, 3), GuidedPath(teacher, 6)
    count = 60
    noise, image = torch.randn(2, count, 1, dtype=torch.float64, generator=rng)
    examples = Batch(noise, teacher.condition(["good"] * count, None), image)
    target = at_random_guidance(objective, 1.0, 6.0)(Learning(exact, exact, 0.0, rng), examples)
    scales = target.condition.tensors[GUIDANCE_SCALE]
    assert float(scales.max() - scales.min()) > 4
    predicted = exact(target.x_t, target.t, target.s, target.condition)
    torch.testing.assert_close(target.x0, predicted, rtol=0, atol=1e-9)
    other = Condition({**target.condition.tensors, GUIDANCE_SCALE: scales.flip(0)})
    assert not torch.allclose(target.x0, exact(target.x_t, target.t, target.s, other), atol=1e-2)


@pytest.mark.parametrize("schedule", [cosine_schedule(), flow_schedule(3.0)])
def test_any_teacher_on_straight_paths_is_the_teacher_of_straight_paths(schedule: NoiseSchedule):
    """The same mixture with the schedule of a flow makes the same predictions."""
    straight, expected = OnStraightPaths(two_modes(schedule)), two_modes(flow_schedule())
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    t = torch.linspace(0.05, 1.0, 9, dtype=torch.float64)
    condition = expected.condition([""] * 9)
    torch.testing.assert_close(straight(x, t, condition), expected(x, t, condition), rtol=0, atol=1e-9)
    by_network = straight.denoise(straight.network.double(), x, t, condition)
    torch.testing.assert_close(by_network, expected(x, t, condition), rtol=0, atol=1e-6)
    assert straight.schedule.alpha(t).tolist() == pytest.approx((1 - t).tolist())


def test_the_time_of_a_noise_level():
    for schedule in (cosine_schedule(), flow_schedule(), tabulated_schedule(torch.linspace(0.99, 0.0, 50))):
        t = torch.tensor([0.1, 0.5, 0.93], dtype=torch.float64)
        alpha, sigma = schedule(t)
        torch.testing.assert_close(time_at(schedule, sigma / alpha), t, rtol=0, atol=1e-9)
    assert time_at(cosine_schedule(), torch.tensor([float("inf"), 0.0]).double()).tolist() == pytest.approx([1.0, 0.0])
    never_pure = tabulated_schedule(torch.linspace(0.99, 0.01, 50))
    assert float(time_at(never_pure, torch.tensor([1e6]).double())) == pytest.approx(1.0)
