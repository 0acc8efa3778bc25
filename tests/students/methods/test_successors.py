"""SiD, f-distill, sCM, MeanFlow and told guidance scales, each trained for a moment on a mixture that is known."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from sds.critic import Critic, CriticSettings
from sds.denoiser import Condition
from sds.ramps import Ramp, TimeRange
from sds.solvers import ddim, even_times, solve
from students.answerable import OnStraightPaths
from students.features.discriminators import Discriminator
from students.features.distances import pseudo_huber
from students.flow_map import flow, sample_again
from students.generator import FewStepGenerator
from students.guided_teacher import GuidedTeacher, with_guidance
from students.methods.bootstrap import consistency
from students.methods.continuous_consistency import continuous_consistency
from students.methods.distribution_matching import MatchingSettings
from students.methods.f_distillation import RatioCritic, f_distillation, forward_kl
from students.methods.levels import even_levels
from students.methods.mean_flow import MeanFlowTimes, mean_flow, teacher_velocity
from students.methods.score_identity import ScoreIdentity
from students.methods.targets import Learning, at_random_guidance
from students.student import GUIDANCE_SCALE, Student
from students.teachers import Differentiable
from students.training.batches import Images, noise_batches
from students.training.loop import Distillation, DistillationSettings, Regression, Stage
from tests.closed_forms.quantiles import Quantiles
from tests.students.methods.test_adversarial import Waves
from tests.students.toys import PointTeacher, normals, null_prompt, ring, ring_shares, sliced, two_modes

X = torch.linspace(-1.9, 1.9, 9)[:, None]


def jump_error(student: Student, teacher: PointTeacher) -> float:
    """Mean distance of the student's jump from pure noise from the exact map between quantiles."""
    t = torch.ones(len(X), dtype=torch.float64)
    with torch.no_grad():
        jumped = flow(student, X, t, 0 * t, teacher.condition([""] * len(X)))
    return float((jumped - Quantiles(teacher).flow(X.double(), t, 0 * t)).abs().mean())


def data(teacher: PointTeacher, count: int = 4096) -> Images:
    x0 = teacher.sample([""] * count, torch.Generator().manual_seed(0)).float()
    return Images(x0, teacher.condition([""] * count))


def trained(student: Student, run: Distillation) -> Student:
    while not run.finished:
        run.step()
    return student


def test_continuous_consistency_finds_the_exact_map():
    teacher = two_modes()
    torch.manual_seed(0)
    student = Student(teacher)
    before = jump_error(student, teacher)
    terms = [Regression(continuous_consistency(teacher))]
    stages = [lambda _: Stage(terms, data(teacher), 300)]
    trained(student, Distillation(student, teacher, stages, DistillationSettings(128, 3e-3)))
    assert jump_error(student, teacher) < 0.3 * before


def test_mean_flow_finds_the_exact_map_of_a_teacher_with_another_schedule():
    """The student learns on straight paths, and is called with the teacher's own x_t and t afterwards."""
    teacher = two_modes()
    straight = OnStraightPaths(teacher)
    torch.manual_seed(0)
    student = Student(straight, told_end=True)
    terms = [
        Regression(
            mean_flow(straight.schedule, teacher_velocity(straight), MeanFlowTimes(same=0.25, whole=0.25)), pseudo_huber
        )
    ]
    stages = [lambda _: Stage(terms, data(teacher), 350)]
    trained(student, Distillation(student, straight, stages, DistillationSettings(128, 3e-3)))
    saved = Student(teacher, told_end=True)
    saved.load_state_dict(student.state_dict())
    assert jump_error(saved, teacher) < 0.3


def test_sid_matches_a_distribution_without_data():
    teacher = two_modes()
    torch.manual_seed(0)
    student, count = Student(teacher), 2000
    critic = Critic(teacher, CriticSettings(rank=None, learning_rate=6e-3))
    levels = TimeRange(Ramp(0.15, 0.15), Ramp(0.7, 0.7))
    term = ScoreIdentity(Differentiable(teacher), critic, (0.7,), levels, correction=1.0, critic_steps=2)
    stages = [lambda _: Stage([term], noise_batches(null_prompt(teacher)), 300)]
    exact = teacher.sample([""] * count, torch.Generator().manual_seed(9)).float()

    def drawn() -> Tensor:
        with torch.no_grad():
            return sample_again(student, [normals(count, 1, seed=5)], (0.7,), teacher.condition([""] * count))

    before = sliced(drawn(), exact)
    trained(student, Distillation(student, teacher, stages, DistillationSettings(128, 2e-3)))
    assert sliced(drawn(), exact) < 0.5 * before
    assert 0.1 < float((drawn() < 0).float().mean()) < 0.5


class NoisyWaves(Waves):
    """The same of points with noise."""

    def __init__(self, teacher: PointTeacher, dimension: int) -> None:
        super().__init__(dimension)
        self.teacher, self.times = teacher, TimeRange(Ramp(0.5, 0.5), Ramp(0.5, 0.5))

    def __call__(self, x, condition, rng):
        t = self.times.sample(len(x), 0.0, rng)
        noise = torch.randn(x.shape, generator=rng).to(x)
        return self.at(self.teacher.schedule.add_noise(x, noise, t), t, condition)

    def at(self, x_t, t, condition):
        return super().__call__(x_t, condition, torch.Generator())


def test_the_ratio_of_f_distill_is_that_of_the_gradients_own_noisy_images():
    """Theorem 1 weighs each x_t by r(x_t): not by that of another noising of the same image."""
    teacher, seen = two_modes(), []
    torch.manual_seed(0)
    critic = RatioCritic(teacher, CriticSettings(rank=None))
    discriminator = Discriminator(NoisyWaves(teacher, 1), [128])
    times = TimeRange(Ramp(0.1, 0.1), Ramp(0.9, 0.9))
    critic.look_through(discriminator, times)
    assert discriminator.features.times is times  # it learns at the gradient's noise levels
    settings = MatchingSettings(3, batch_size=16, times=times)
    generator = FewStepGenerator(Student(teacher), (1,), null_prompt(teacher))
    run = f_distillation(generator, teacher, settings, critic, data(teacher), forward_kl, critic_steps=1)
    asked = critic.looks.at

    def remembering(x_t, t, condition):
        seen.append((x_t.clone(), t.clone(), [p.detach().clone() for p in discriminator.parameters()]))
        return asked(x_t, t, condition)

    critic.looks.at = remembering
    original = teacher.__class__.__call__
    gradients_at = []

    class Watched(PointTeacher):
        def __call__(self, x_t, t, condition):
            gradients_at.append((x_t.clone(), t.clone()))
            return original(self, x_t, t, condition)

    teacher.__class__ = Watched
    run.step()
    (x_t, t), matching = gradients_at[0], [entry for entry in seen if entry[0].shape == gradients_at[0][0].shape]
    assert any(torch.equal(x_t, entry[0]) and torch.equal(t, entry[1]) for entry in matching)


def test_f_distill_wants_features_that_see_noise():
    critic = RatioCritic(two_modes(), CriticSettings(rank=None))
    with pytest.raises(ValueError, match="must see noise"):
        critic.look_through(Discriminator(Waves(1), [128]), TimeRange(Ramp(0.1, 0.1), Ramp(0.9, 0.9)))


def test_the_critic_of_sid_learns_from_images_of_its_own():
    """On the loss's own images it would know by heart what they are."""
    teacher = two_modes()
    torch.manual_seed(0)
    student, critic = Student(teacher), Critic(teacher, CriticSettings(rank=None))
    term = ScoreIdentity(Differentiable(teacher), critic, (0.7,), critic_steps=2)
    learned = []
    update = critic.update
    critic.update = lambda x, condition, rng: (learned.append(x.clone()), update(x, condition, rng))[1]
    batch = noise_batches(null_prompt(teacher))(16, torch.Generator().manual_seed(1))
    term(Learning(student, student, 0.0, torch.Generator().manual_seed(2)), batch)
    own = sample_again(student, [batch.noise], (0.7,), batch.condition)
    assert len(learned) == 2
    for images in (*learned, learned[0] - learned[1]):
        assert not images.requires_grad
        assert float((images - own).abs().mean()) > 0.1
    assert not torch.equal(*learned)


def test_f_distill_covers_the_ring():
    teacher = ring(5, 0.2)
    torch.manual_seed(1)
    generator = FewStepGenerator(Student(teacher), teacher.shape, null_prompt(teacher), (0.7,))
    real = teacher.sample([""] * 2048, torch.Generator().manual_seed(0)).float().reshape(-1, *teacher.shape)
    settings = MatchingSettings(
        140,
        batch_size=128,
        learning_rate=1e-3,
        critic=CriticSettings(rank=None, learning_rate=6e-3),
        times=TimeRange(Ramp(0.1, 0.1), Ramp(0.5, 0.5)),
        decay=Ramp(1.0, 0.1, begin=0.5),
    )
    critic = RatioCritic(teacher, settings.critic)
    critic.look_through(Discriminator(NoisyWaves(teacher, 2), [128]), settings.times)
    source = Images(real, teacher.condition([""] * len(real)))
    run = f_distillation(
        generator, teacher, settings, critic, source, forward_kl, critic_steps=2, weight=0.05, learning_rate=3e-3
    )
    for _ in range(140):
        run.step()
    assert critic.ratio.shape == (128,)
    assert 1 / math.e**3 - 1e-6 <= float(critic.ratio.min()) < float(critic.ratio.max()) <= math.e**3 + 1e-3
    rng = torch.Generator().manual_seed(5)
    draw = dataclasses.replace(generator.draw(2000, rng), noise=[torch.randn(2000, *teacher.shape, generator=rng)])
    with torch.no_grad():
        shares, near = ring_shares(generator(draw), teacher)
    assert near > 0.6
    assert shares.min() > 0.08


class ToldTeacher(PointTeacher):
    """N(0, 1) for the null prompt, N(1, 0.5^2) for "good"."""

    def __init__(self) -> None:
        one = torch.eye(2)
        super().__init__(torch.tensor([[0.0], [1.0]]), torch.tensor([1.0, 0.25]), {"": one[0], "good": one[1]})

    def denoise(self, network, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        told = Condition({"log_weights": condition.tensors["log_weights"].clamp(min=-1e9)})
        return super().denoise(network, x_t, t, told)


def test_lcm_jumps_to_the_end_of_the_guided_path_of_any_scale():
    teacher = ToldTeacher()
    guided, count = GuidedTeacher(teacher, 2.0), 2048
    torch.manual_seed(0)
    student = Student(teacher, told_guidance=True)
    x0 = teacher.sample(["good"] * count, torch.Generator().manual_seed(0)).float()
    images = Images(x0, guided.condition(["good"] * count, None))

    def stage(of_stage) -> Stage:
        objective = at_random_guidance(consistency(of_stage, even_levels(8), ddim), 1.0, 4.0)
        return Stage([Regression(objective)], images, 300, average_decay=0.95)

    def error(scale: float) -> float:
        condition = with_guidance(guided.condition(["good"] * len(X), None), torch.full((len(X),), scale))
        one = torch.ones(len(X), dtype=torch.float64)
        path = solve(guided, X.double(), even_times(one, 0 * one, 8), condition)
        with torch.no_grad():
            return float((flow(student, X, one, 0 * one, condition) - path).abs().mean())

    before = [error(scale) for scale in (1.0, 2.0, 4.0)]
    trained(student, Distillation(student, guided, [stage], DistillationSettings(128, 3e-3)))
    after = [error(scale) for scale in (1.0, 2.0, 4.0)]
    assert max(after) < 0.35 * min(before)
    assert GUIDANCE_SCALE in images.condition.tensors


@pytest.mark.parametrize("method", ["sid", "f-distill"])
def test_what_learns_beside_the_student_continues_exactly(method: str):
    """Critics, and in f-distill the ratio: a resumed run goes on as if never stopped."""

    def begun(seed: int):
        teacher = two_modes()
        torch.manual_seed(0)
        student = Student(teacher)
        if method == "sid":
            critic = Critic(teacher, CriticSettings(rank=None))
            term = ScoreIdentity(Differentiable(teacher), critic, (1.0, 0.5))
            stages = [lambda _: Stage([term], noise_batches(null_prompt(teacher)), 6)]
            return student, Distillation(student, teacher, stages, DistillationSettings(8, seed=seed))
        generator = FewStepGenerator(student, (1,), null_prompt(teacher), (1.0, 0.5))
        ratio_critic = RatioCritic(teacher, CriticSettings(rank=None))
        settings = MatchingSettings(6, batch_size=8, seed=seed)
        ratio_critic.look_through(Discriminator(NoisyWaves(teacher, 1), [128]), settings.times)
        return student, f_distillation(
            generator, teacher, settings, ratio_critic, data(teacher), forward_kl, critic_steps=1
        )

    (straight, first), (_, second), (resumed, third) = begun(0), begun(0), begun(9)
    for _ in range(4):
        first.step()
    for _ in range(2):
        second.step()
    third.load_state_dict(second.state_dict())
    for _ in range(2):
        third.step()
    for name, tensor in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor)
