"""The loop: every regression method trained for a moment on a mixture whose exact flow map is known; stages; resume."""

import copy
import math
from collections.abc import Callable

import pytest
import torch

from sds.denoiser import Teacher
from sds.ramps import Ramp, TimeRange
from sds.schedule import flow_schedule
from sds.score import NonFiniteGradientError
from students.features.discriminators import Discriminator
from students.features.distances import pseudo_huber
from students.flow_map import flow
from students.methods.adversarial import LEAST_SQUARES, Adversary, DenoisedAdversary
from students.methods.bootstrap import boot, consistency, consistency_training, shortcut, tract, trajectory_consistency
from students.methods.levels import even_levels
from students.methods.mean_flow import MeanFlowTimes, mean_flow, teacher_velocity
from students.methods.pairs import one_pass, reflow, whole_path
from students.methods.targets import Learning, denoising, halved, progressive
from students.prompts import Prompts
from students.student import Student
from students.training.batches import Batch, Images, noise_batches, pair_batches
from students.training.loop import Distillation, DistillationSettings, Regression, Stage, StageBuilder
from students.training.pairs import make_pairs
from tests.closed_forms.quantiles import Quantiles
from tests.sds.toys import ToyTeacher
from tests.students.methods.test_adversarial import Waves
from tests.students.toys import PointTeacher, normals, null_prompt, two_modes

X = torch.linspace(-1.9, 1.9, 9)[:, None]


def images(teacher: PointTeacher, count: int = 4096) -> Images:
    x0 = teacher.sample([""] * count, torch.Generator().manual_seed(0)).float()
    return Images(x0, teacher.condition([""] * count))


def pairs(teacher: Teacher, count: int = 512) -> object:
    keep = [8, 16, 24]
    made = make_pairs(
        Prompts(teacher, [""]), count, torch.Generator().manual_seed(0), steps=32, keep=keep, batch_size=count
    )
    return pair_batches(made, teacher)


def one_stage(method: Callable[[PointTeacher], Regression], data: Callable, steps: int, decay: float = 0.0) -> Callable:
    """teacher -> a list with one stage."""

    def stages(teacher: PointTeacher) -> list[StageBuilder]:
        return [lambda of_stage: Stage([method(of_stage)], data(of_stage), steps, decay)]

    return stages


def progressive_stages(teacher: PointTeacher) -> list[StageBuilder]:
    data = images(teacher)

    def stage(steps: int) -> StageBuilder:
        return lambda of_stage: Stage([Regression(progressive(of_stage, steps))], data, 200)

    return [stage(steps) for steps in halved(16, 1)]


def tract_stages(teacher: PointTeacher) -> list[StageBuilder]:
    data = images(teacher)
    return [
        lambda of_stage: Stage([Regression(tract(of_stage, even_levels(16), 4))], data, 300, 0.5),
        lambda of_stage: Stage([Regression(tract(of_stage, even_levels(4), 1))], data, 300, 0.5),
    ]


def instaflow_stages(teacher: PointTeacher) -> list[StageBuilder]:
    """Reflow, then one-pass distillation of the straightened student."""

    def straighten(of_stage: Teacher) -> Stage:
        objective = reflow(teacher.schedule, TimeRange(Ramp(0.1, 0.1), Ramp(1, 1)))
        return Stage([Regression(objective)], pairs(of_stage), 500)

    def distil(of_stage: Teacher) -> Stage:
        return Stage([Regression(one_pass(teacher.schedule))], pairs(of_stage), 200)

    return [straighten, distil]


def shortcut_stages(teacher: PointTeacher) -> list[StageBuilder]:
    instant = denoising(teacher.schedule, TimeRange(Ramp(0.06, 0.06), Ramp(1, 1)))
    terms = [Regression(shortcut(teacher.schedule, 4), pseudo_huber), Regression(instant, pseudo_huber, weight=0.1)]
    return [lambda of_stage: Stage(terms, images(teacher), 500, 0.98)]


METHODS: dict[str, tuple[Callable, bool, float]] = {
    # name: (teacher -> stages, whether the student is told the end, largest mean error of its one jump)
    "one-pass": (one_stage(lambda t: Regression(one_pass(t.schedule)), pairs, 400), False, 0.1),
    "progressive": (progressive_stages, False, 0.2),
    "instaflow": (instaflow_stages, False, 0.1),
    "consistency": (one_stage(lambda t: Regression(consistency(t, even_levels(16))), images, 600), False, 0.2),
    "consistency training": (
        one_stage(
            lambda t: Regression(consistency_training(t.schedule, lambda _: even_levels(17)[:-1]), pseudo_huber),
            images,
            600,
        ),
        False,
        0.45,
    ),
    "tract": (tract_stages, False, 0.25),
    "trajectory": (
        one_stage(lambda t: Regression(trajectory_consistency(t, even_levels(12), 4)), images, 600, 0.5),
        True,
        0.2,
    ),
    "boot": (
        one_stage(lambda t: Regression(boot(t, even_levels(12))), lambda t: noise_batches(null_prompt(t)), 700),
        True,
        0.3,
    ),
    "whole path": (one_stage(lambda t: Regression(whole_path(t.schedule)), pairs, 300), True, 0.1),
    "shortcut": (shortcut_stages, True, 0.2),
}


def jump_error(student: Student, teacher: PointTeacher, top: float = 1.0) -> float:
    """Mean distance of the student's jump from the exact map between quantiles."""
    t = torch.full((len(X),), top).double()
    with torch.no_grad():
        jumped = flow(student, X, t, 0 * t, teacher.condition([""] * len(X)))
    return float((jumped - Quantiles(teacher).flow(X.double(), t, 0 * t)).abs().mean())


@pytest.mark.parametrize("name", METHODS)
def test_a_short_training_finds_the_exact_map(name: str):
    stages, told_end, tolerance = METHODS[name]
    teacher = two_modes()
    torch.manual_seed(0)
    student = Student(teacher, told_end=told_end)
    top = 16 / 17 if name == "consistency training" else 1.0
    assert jump_error(student, teacher, top) > 0.7
    run = Distillation(student, teacher, stages(teacher), DistillationSettings(128, 3e-3))
    while not run.finished:
        run.step()
    error = jump_error(run.result, teacher, top)
    assert error < tolerance


def small_run(seed: int = 0) -> Distillation:
    """Two stages on the toy network teacher, with a discriminator in the second; three steps each."""
    teacher = ToyTeacher()
    torch.manual_seed(0)
    student = Student(teacher)
    data = Images(normals(80, 3, 4, 4), teacher.condition(["ab"] * 80))
    adversary = Adversary(Discriminator(Waves(48), [128]), data, loss=LEAST_SQUARES)
    denoised = DenoisedAdversary(adversary, TimeRange(Ramp(0.5, 0.5), Ramp(0.9, 0.9)))
    stages: list[StageBuilder] = [
        lambda of_stage: Stage([Regression(progressive(of_stage, 4))], data, 3, 0.5),
        lambda of_stage: Stage([Regression(progressive(of_stage, 2)), denoised], data, 3),
    ]
    return Distillation(student, teacher, stages, DistillationSettings(4, smoothing=0.9, seed=seed))


@pytest.mark.parametrize("stopped_after", [2, 3, 5])
def test_resume_equals_never_having_stopped(stopped_after: int):
    straight, interrupted, resumed = small_run(), small_run(), small_run(seed=9)
    stages = []
    for _ in range(6):
        stages.append(straight.step().stage)
    for _ in range(stopped_after):
        interrupted.step()
    resumed.load_state_dict(copy.deepcopy(interrupted.state_dict()))
    for _ in range(6 - stopped_after):
        resumed.step()
    assert stages == [0, 0, 0, 1, 1, 1]
    assert straight.finished
    assert resumed.finished
    for name, tensor in straight.result.tensors.items():
        assert torch.equal(resumed.result.tensors[name], tensor)
    for name, tensor in straight.student.state_dict().items():
        assert torch.equal(resumed.student.state_dict()[name], tensor)


class ThereAndBack:
    """A loss that pulls all weights up in one step, and down as much in the next."""

    slope = 1.0

    def __call__(self, learning: Learning, batch: Batch) -> torch.Tensor:
        self.slope = -self.slope
        assert isinstance(learning.student, Student)
        return self.slope * sum(weights.sum() for weights in learning.student.parameters())

    def state_dict(self) -> dict[str, float]:
        return {}

    def load_state_dict(self, state: dict[str, float]) -> None: ...


@pytest.mark.parametrize(("betas", "left"), [((0.0, 0.99), 0.0), ((0.9, 0.999), 18 / 19)])
def test_without_momentum_a_student_turns_with_its_loss(betas: tuple[float, float], left: float):
    """After slopes of -1 and 1 Adam's mean is (0.1 - 0.09) / 0.19 = 1/19 with momentum: of one step 18/19 is left."""
    teacher = ToyTeacher()
    data = Images(normals(80, 3, 4, 4), teacher.condition(["ab"] * 80))
    student = Student(teacher)
    before = [weights.detach().clone() for weights in student.parameters()]
    settings = DistillationSettings(4, 0.01, betas, decay=Ramp(1.0, 1.0), clip=math.inf)
    run = Distillation(student, teacher, [lambda _: Stage([ThereAndBack()], data, 2)], settings)
    run.step()
    run.step()
    for weights, old in zip(student.parameters(), before, strict=True):
        assert torch.allclose(weights - old, torch.full_like(old, 0.01 * left), atol=1e-5)


def test_the_teacher_of_a_stage_is_the_smoothed_student_of_the_one_before():
    seen: list[Teacher] = []
    teacher = ToyTeacher()
    data = Images(normals(80, 3, 4, 4), teacher.condition(["ab"] * 80))

    def stage(of_stage: Teacher) -> Stage:
        seen.append(of_stage)
        return Stage([Regression(progressive(of_stage, 2), weight=100.0)], data, 2)

    student = Student(teacher)
    run = Distillation(student, teacher, [stage, stage], DistillationSettings(4, 0.05, smoothing=0.5))
    x_t, t, condition = normals(2, 3, 4, 4), torch.full((2,), 0.5).double(), teacher.condition(["a", "a"])
    run.step()
    run.step()
    result = run.result(x_t, t, t, condition).clone()
    assert not torch.allclose(result, student(x_t, t, t, condition))
    run.step()
    assert seen[0] is teacher
    assert torch.equal(seen[1](x_t, t, condition), result)
    assert torch.equal(seen[1].condition(["abc"], None).tensors["text"], torch.tensor([3.0]))
    assert not torch.allclose(teacher(x_t, t, condition), result)


def test_checkpoints_of_other_runs_are_refused():
    run = small_run()
    for _ in range(4):
        run.step()
    state = run.state_dict()
    other = small_run()
    other.stages = other.stages[:1]
    with pytest.raises(ValueError, match="in stage 2, the run has only 1"):
        other.load_state_dict(state)
    state["terms"] = state["terms"][:1]
    with pytest.raises(ValueError, match="another method"):
        small_run().load_state_dict(state)
    with pytest.raises(ValueError, match="one stage or more"):
        Distillation(run.student, run.teacher, [])


def test_a_loss_that_is_not_a_number_stops_the_run_before_the_student_changes():
    run = small_run()
    run.stage = Stage(
        [Regression(progressive(run.teacher, 4), lambda x, y: (x - y).sum() * float("nan"))], run.stage.source, 3
    )
    before = copy.deepcopy(run.student.state_dict())
    with pytest.raises(NonFiniteGradientError, match="step 0 of stage 1"):
        run.step()
    for name, tensor in run.student.state_dict().items():
        assert torch.equal(before[name], tensor)


def test_an_adversary_keeps_a_denoiser_from_blurring():
    """UFOGen's and adversarial score matching's bargain: from high noise the best prediction of x0 is the mean of two
    modes; a discriminator moves the student's images to the modes themselves.
    """

    def distance_to_modes(adversarial_weight: float) -> float:
        teacher = two_modes()
        torch.manual_seed(0)
        student = Student(teacher)
        data, high = images(teacher), TimeRange(Ramp(0.85, 0.85), Ramp(0.95, 0.95))
        adversary = Adversary(Discriminator(Waves(1), [128]), data, loss=LEAST_SQUARES, learning_rate=3e-3)
        denoised = DenoisedAdversary(adversary, high)
        adversary.weight = adversarial_weight
        terms = [Regression(denoising(teacher.schedule, high), weight=0.2), denoised]
        run = Distillation(student, teacher, [lambda _: Stage(terms, data, 300)], DistillationSettings(128, 3e-3))
        while not run.finished:
            run.step()
        t = torch.full((512,), 0.9).double()
        batch = data(512, torch.Generator().manual_seed(4))
        x_t = teacher.schedule.add_noise(batch.x0, batch.noise, t)
        with torch.no_grad():
            x0 = student(x_t, t, 0 * t, batch.condition)
        return float((x0.abs() - 1).abs().mean())

    assert distance_to_modes(1.0) < 0.5 * distance_to_modes(0.0)


def test_mean_flow_learns_the_exact_map():
    teacher = two_modes(flow_schedule())
    torch.manual_seed(0)
    student = Student(teacher, told_end=True)
    terms = [
        Regression(
            mean_flow(teacher.schedule, teacher_velocity(teacher), MeanFlowTimes(same=0.25, whole=0.25)), pseudo_huber
        )
    ]
    stages = [lambda of_stage: Stage(terms, images(teacher), 600)]
    run = Distillation(student, teacher, stages, DistillationSettings(128, 3e-3))
    while not run.finished:
        run.step()
    assert jump_error(run.result, teacher) < 0.3
