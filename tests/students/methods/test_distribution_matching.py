"""Students trained through the engine: a ring of modes by Diff-Instruct, DMD and DMD2, against SDS; exact resume."""

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch

from sds.baselines import sds
from sds.critic import Critic, CriticSettings
from sds.engine import ScoreDistillation
from sds.ramps import Ramp, TimeRange
from students.features.discriminators import Discriminator, NetworkFeatures
from students.features.distances import absolute
from students.generator import FewStepGenerator
from students.methods.adversarial import Adversary
from students.methods.distribution_matching import MatchingSettings, PairedRegression, diff_instruct, dmd, dmd2
from students.prompts import Prompts
from students.student import Student
from students.training.batches import Images
from students.training.pairs import make_pairs
from tests.sds.toys import ToyTeacher
from tests.students.toys import PointTeacher, null_prompt, ring, ring_shares


def settings(steps: int, **changes: object) -> MatchingSettings:
    return MatchingSettings(
        steps,
        batch_size=128,
        learning_rate=1e-3,
        critic=CriticSettings(rank=None, learning_rate=6e-3),
        times=TimeRange(Ramp(0.1, 0.1), Ramp(0.5, 0.5)),
        decay=Ramp(1.0, 0.1, begin=0.5),
        **changes,  # type: ignore[arg-type]
    )


def on_the_ring(
    method: Callable[[FewStepGenerator, PointTeacher], ScoreDistillation], steps: int, times: tuple[float, ...] = (0.7,)
) -> tuple[torch.Tensor, float]:
    """What share of a trained student's points is at each of five modes, and at any of them."""
    teacher = ring(5, 0.2)
    torch.manual_seed(1)
    generator = FewStepGenerator(Student(teacher), teacher.shape, null_prompt(teacher), times)
    run = method(generator, teacher)
    for _ in range(steps):
        run.step()
    rng = torch.Generator().manual_seed(5)
    draw = dataclasses.replace(
        generator.draw(2000, rng), noise=[torch.randn(2000, *teacher.shape, generator=rng) for _ in times]
    )
    with torch.no_grad():
        return ring_shares(generator(draw), teacher)


def test_diff_instruct_covers_every_mode_evenly():
    shares, near = on_the_ring(lambda generator, teacher: diff_instruct(generator, teacher, settings(400)), 400)
    assert near > 0.6
    assert shares.min() > 0.09
    assert shares.max() < 0.18


def test_without_the_critic_every_point_ends_between_the_modes():
    def plain_sds(generator: FewStepGenerator, teacher: PointTeacher) -> ScoreDistillation:
        run = diff_instruct(generator, teacher, settings(200))
        run.settings, run.critic = dataclasses.replace(run.settings, method=sds), None
        return run

    _, near = on_the_ring(plain_sds, 200)
    assert near < 0.02


def test_dmd_covers_every_mode_evenly():
    def with_pairs(generator: FewStepGenerator, teacher: PointTeacher) -> ScoreDistillation:
        pairs = make_pairs(null_prompt(teacher), 512, torch.Generator().manual_seed(0), steps=40)
        return dmd(generator, teacher, settings(300), pairs)

    shares, near = on_the_ring(with_pairs, 300)
    assert near > 0.65
    assert shares.min() > 0.09


def test_dmd2_trains_two_steps_on_its_own_images():
    def with_real_images(generator: FewStepGenerator, teacher: PointTeacher) -> ScoreDistillation:
        real = teacher.sample([""] * 2048, torch.Generator().manual_seed(0)).float().reshape(-1, *teacher.shape)
        told = teacher.condition([""] * len(real))
        options = settings(150)
        critic = Critic(teacher, options.critic)
        looks = NetworkFeatures(teacher, critic.network, ["first", "second"], TimeRange(Ramp(0.1, 0.1), Ramp(0.5, 0.5)))
        adversary = Adversary(Discriminator(looks, [96, 96]), Images(real, told), weight=0.05)
        return dmd2(generator, teacher, options, critic, adversary, critic_steps=3)

    shares, near = on_the_ring(with_real_images, 150, times=(0.7, 0.4))
    assert near > 0.5
    assert shares.min() > 0.05


def small_run(seed: int = 0) -> ScoreDistillation:
    """DMD on the toy network teacher, with pairs and two steps."""
    teacher = ToyTeacher()
    prompts = Prompts(teacher, ["a", "bcd"])
    torch.manual_seed(0)
    generator = FewStepGenerator(Student(teacher), teacher.shape, prompts, (1.0, 0.5))
    pairs = make_pairs(prompts, 8, torch.Generator().manual_seed(0), steps=4)
    return dmd(generator, teacher, MatchingSettings(6, batch_size=3, seed=seed), pairs, distance=absolute)


def test_resume_equals_never_having_stopped():
    straight, interrupted, resumed = small_run(), small_run(), small_run(seed=7)
    for _ in range(6):
        straight.step()
    for _ in range(2):
        interrupted.step()
    resumed.load_state_dict(copy.deepcopy(interrupted.state_dict()))
    for _ in range(4):
        resumed.step()
    for name, tensor in straight.generator.state_dict().items():
        assert torch.equal(resumed.generator.state_dict()[name], tensor)


def test_no_teacher_or_critic_weight_is_trained_by_the_student():
    run = small_run()
    before = copy.deepcopy(run.critic.network.state_dict())
    run._update_critic_on_draws = lambda: None  # type: ignore[method-assign]
    run.step()
    for name, tensor in run.critic.network.state_dict().items():
        assert torch.equal(before[name], tensor)
    assert all(p.grad is None for p in run.critic.network.parameters())
    assert all(p.grad is None for p in run.teacher.teacher.network.parameters())


def test_the_regression_on_pairs_by_hand():
    teacher = ToyTeacher()
    generator = FewStepGenerator(Student(teacher), teacher.shape, Prompts(teacher, ["a"]))
    pairs = make_pairs(generator.prompts, 5, torch.Generator().manual_seed(0), steps=4)
    term = PairedRegression(generator, pairs, absolute, weight=0.25)
    loss = term(None, torch.zeros(3, 3, 4, 4), 0.0, torch.Generator().manual_seed(2))
    chosen = torch.randint(5, (3,), generator=torch.Generator().manual_seed(2))
    drawn = teacher(pairs.noise[chosen], torch.ones(3).double(), teacher.condition(["a"] * 3))
    assert loss.item() == pytest.approx(0.25 * 48 * (drawn - pairs.x0[chosen]).abs().mean().item(), rel=1e-5)


def test_a_students_times_must_fall():
    teacher = ToyTeacher()
    for times in ((), (0.5, 0.5), (0.2, 0.8), (1.0, 0.0), (1.1,)):
        with pytest.raises(ValueError, match="must fall"):
            FewStepGenerator(Student(teacher), teacher.shape, Prompts(teacher, ["a"]), times)


def test_a_critic_costs_no_null_prompts(monkeypatch: pytest.MonkeyPatch):
    """Of a teacher whose prompts are pictures of a view, telling it the null prompt costs as much as a picture."""
    teacher, asked = ring(5, 0.2), []
    generator = FewStepGenerator(Student(teacher), teacher.shape, null_prompt(teacher), (0.7,))
    told = teacher.condition

    def counted(prompts, view=None):
        asked.append(prompts[0])
        return told(prompts, view)

    monkeypatch.setattr(teacher, "condition", counted)
    diff_instruct(generator, teacher, settings(10), critic_steps=3).step()
    assert len(asked) == 3 + 2  # what the critic sees, and what the student draws with the null prompt beside it
