"""The loop: what reaches the generator, what never reaches the teacher, and exact resume."""

import gc
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sds.baselines import METHODS, nfsd, sds, vsd
from sds.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from sds.critic import Critic, CriticSettings
from sds.denoiser import Condition
from sds.engine import ScoreDistillation, Settings
from sds.guidance import Guidance, PromptConditions
from sds.noising import NOISINGS, FreshNoise
from sds.ramps import Ramp, TimeRange
from sds.score import NonFiniteGradientError, score_gradient, surrogate_loss
from sds.teachers.mixture import MixtureTeacher
from tests.sds.toys import Pixels, ToyTeacher, told


class RaisesOnBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        raise AssertionError("a gradient reached the teacher")


class UntouchableTeacher(ToyTeacher):
    """Would raise if a gradient ever passed through it, and computes with gradients enabled to make sure of it."""

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return RaisesOnBackward.apply(self.denoise(self.network, x_t, t, condition))


def run(
    method_name: str = "sds", steps: int = 5, teacher: ToyTeacher | None = None, seed: int = 0
) -> ScoreDistillation:
    teacher = teacher or ToyTeacher()
    torch.manual_seed(0)
    generator = Pixels()
    critic = Critic(teacher, CriticSettings(rank=2)) if method_name == "vsd" else None
    return ScoreDistillation(
        generator,
        teacher,
        told(teacher),
        torch.optim.Adam(generator.parameters(), lr=0.02),
        Settings(
            steps=steps,
            batch_size=3,
            method=METHODS[method_name],
            guidance=Guidance(2.0),
            noising=NOISINGS.get(method_name, FreshNoise()),
            seed=seed,
        ),
        critic=critic,
    )


@pytest.mark.parametrize("method_name", METHODS)
def test_no_gradient_passes_through_the_teacher(method_name: str):
    distillation = run(method_name, teacher=UntouchableTeacher())
    before = distillation.generator.image.detach().clone()
    distillation.step()
    assert (distillation.generator.image.detach() - before).abs().max() > 0
    assert all(p.grad is None for p in distillation.teacher.network.parameters())


def test_memory_does_not_grow_from_step_to_step():
    distillation = run("sds", steps=40)

    def tensors_alive() -> int:
        gc.collect()
        return sum(1 for item in gc.get_objects() if issubclass(type(item), Tensor))

    for _ in range(5):
        distillation.step()
    early = tensors_alive()
    for _ in range(20):
        distillation.step()
    assert tensors_alive() <= early


def test_pixels_reach_the_mode_of_a_gaussian_teacher():
    """SDS on N(mu, s^2 I) with guidance g has the one fixed point mu0 + g (mu - mu0)."""
    mu, mu0 = torch.full((1, 3, 4, 4), 0.4), torch.full((1, 3, 4, 4), 0.2)
    teacher = MixtureTeacher(
        torch.cat([mu, mu0]), torch.tensor([0.1, 0.1]), {"": torch.tensor([0.0, 1.0]), "good": torch.tensor([1.0, 0.0])}
    )
    generator = Pixels()
    distillation = ScoreDistillation(
        generator,
        teacher,
        lambda count: PromptConditions(teacher.condition(["good"] * count), teacher.condition([""] * count)),
        torch.optim.SGD(generator.parameters(), lr=0.05),
        Settings(steps=400, batch_size=8, guidance=Guidance(2.0), learning_rate=Ramp(1.0, 0.02, begin=0.3)),
    )
    for _ in range(400):
        distillation.step()
    x = teacher.encode(generator.image.detach())
    assert x.mean().item() == pytest.approx(0.2 + 2 * (0.4 - 0.2), abs=0.01)
    assert x.std().item() < 0.05


@pytest.mark.parametrize("loss_scale", [1.0, 1024.0])
def test_the_surrogate_is_an_ordinary_loss(loss_scale: float):
    """Its gradient is gradient / batch, and scaling the loss scales the gradient (as mixed precision does)."""
    x = torch.randn(4, 3, 2, 2, requires_grad=True, generator=torch.Generator().manual_seed(0))
    gradient = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    (loss_scale * surrogate_loss(x, gradient)).backward()
    torch.testing.assert_close(x.grad, loss_scale * gradient / 4, rtol=1e-5, atol=1e-6)


class CountingTeacher(ToyTeacher):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[int] = []

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        self.rows.append(len(x_t))
        return super().__call__(x_t, t, condition)


@pytest.mark.parametrize(
    ("method", "scale", "rows"), [(sds, 1.0, 4), (sds, 7.5, 8), (nfsd, 7.5, 8 + 3), (METHODS["csd"], 7.5, 8)]
)
def test_only_the_predictions_that_count_are_computed_and_in_one_call(method, scale: float, rows: int):
    """NFSD: the negative prompt is asked only for the three images with t >= 0.2."""
    teacher = CountingTeacher()
    x = torch.zeros(4, 3, 4, 4)
    t = torch.tensor([0.1, 0.3, 0.5, 0.7], dtype=torch.float64)
    score_gradient(teacher, x, x, t, told(teacher)(4), Guidance(scale), method)
    assert teacher.rows == [rows]


def test_missing_critic_and_negative_prompt_are_refused_with_what_to_do():
    teacher = ToyTeacher()
    x, t = torch.zeros(2, 3, 4, 4), torch.full((2,), 0.5, dtype=torch.float64)
    conditions = PromptConditions(teacher.condition(["a"] * 2), teacher.condition([""] * 2))
    with pytest.raises(ValueError, match="critic"):
        score_gradient(teacher, x, x, t, conditions, Guidance(2.0), vsd)
    with pytest.raises(ValueError, match="negative prompt"):
        score_gradient(teacher, x, x, t, conditions, Guidance(2.0), nfsd)


class BrokenTeacher(ToyTeacher):
    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return super().__call__(x_t, t, condition) * float("nan")


def test_a_gradient_that_is_not_a_number_stops_the_run_without_a_crash():
    distillation = run(teacher=BrokenTeacher())
    before = distillation.generator.image.detach().clone()
    with pytest.raises(NonFiniteGradientError, match="not finite"):
        distillation.step()
    torch.testing.assert_close(distillation.generator.image.detach(), before, rtol=0, atol=0)


def test_a_penalty_that_is_not_a_number_stops_the_run_before_the_generator_changes():
    distillation = run()
    distillation.penalty = lambda rendering, progress: (rendering * float("inf")).sum()
    before = distillation.generator.image.detach().clone()
    with pytest.raises(NonFiniteGradientError, match="step 0"):
        distillation.step()
    torch.testing.assert_close(distillation.generator.image.detach(), before, rtol=0, atol=0)


@pytest.mark.parametrize("method_name", ["sds", "nfsd", "vsd"])
def test_resume_equals_never_having_stopped(method_name: str, tmp_path: Path):
    straight = run(method_name, steps=8)
    for _ in range(8):
        straight.step()

    interrupted = run(method_name, steps=8)
    for _ in range(3):
        interrupted.step()
    save_checkpoint(tmp_path / "checkpoint.pt", interrupted.state_dict())
    resumed = run(method_name, steps=8, seed=99)
    resumed.load_state_dict(load_checkpoint(tmp_path / "checkpoint.pt"))
    for _ in range(5):
        resumed.step()
    assert resumed.done == straight.done == 8
    assert torch.equal(resumed.generator.image, straight.generator.image)


class Drift:
    """A term with a state: it pulls towards a value that moves by chance at every call."""

    def __init__(self) -> None:
        self.value = 0.0

    def __call__(self, draw: int, x: Tensor, progress: float, rng: torch.Generator) -> Tensor:
        self.value += float(torch.rand(1, generator=rng))
        return (x - self.value).square().sum() / len(x)

    def state_dict(self) -> dict[str, float]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.value = state["value"]


def test_terms_add_to_the_loss_and_resume_with_it():
    def drifting(seed: int = 0) -> ScoreDistillation:
        distillation = run(seed=seed)
        distillation.terms = [Drift()]
        return distillation

    plain, straight, interrupted, resumed = run(), drifting(), drifting(), drifting(seed=5)
    for _ in range(4):
        plain.step()
        straight.step()
    for _ in range(2):
        interrupted.step()
    resumed.load_state_dict(interrupted.state_dict())
    for _ in range(2):
        resumed.step()
    assert torch.equal(resumed.generator.image, straight.generator.image)
    assert not torch.equal(plain.generator.image, straight.generator.image)
    with pytest.raises(ValueError, match="another method"):
        plain.load_state_dict(straight.state_dict())


def without(state: dict, key: str) -> dict:
    return {name: value for name, value in state.items() if name != key}


def test_a_checkpoint_of_another_form_is_refused_before_the_generator_changes():
    straight = run("vsd")
    straight.step()
    whole = straight.state_dict()
    wrong = [
        *(without(whole, key) for key in whole),
        *(whole | {key: value} for key in whole for value in ("text", 7.5, [1, 2])),
        whole | {"done": -1},
        whole | {"done": 10**30},
        whole | {"generator": {"image": torch.zeros(3, 5, 5)}},
        whole | {"generator": {"image": torch.zeros(3, 4, 4, dtype=torch.float64)}},
        whole | {"critic": None},
        whole | {"critic": whole["critic"] | {"network": {}}},
        whole | {"critic": without(whole["critic"], "optimizer")},
        whole | {"terms": [{}]},
        whole | {"rng": torch.zeros(5, dtype=torch.uint8)},
    ]
    for state in wrong:
        resumed = run("vsd")
        before = resumed.generator.image.detach().clone()
        with pytest.raises(CheckpointError):
            resumed.load_state_dict(state)
        assert torch.equal(resumed.generator.image, before)


def test_a_run_is_a_function_of_its_seed():
    first, second, third = run(seed=1), run(seed=1), run(seed=2)
    for distillation in (first, second, third):
        distillation.step()
    assert torch.equal(first.generator.image, second.generator.image)
    assert not torch.equal(first.generator.image, third.generator.image)


class TwoModes(nn.Module):
    """Several scalars, one drawn at a time: a distribution of point masses."""

    def __init__(self, particles: Tensor) -> None:
        super().__init__()
        self.particles = nn.Parameter(particles[:, None])

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        return torch.randint(len(self.particles), (count,), generator=rng)

    def forward(self, draw: Tensor) -> Tensor:
        return self.particles[draw]


class IdentityMixture(MixtureTeacher):
    def encode(self, image: Tensor) -> Tensor:
        return image


class ExactCritic:
    """The exact score of the particles, each a narrow Gaussian."""

    def __init__(self, generator: TwoModes) -> None:
        self.generator = generator
        self.settings = CriticSettings()

    def _mixture(self) -> MixtureTeacher:
        particles = self.generator.particles.detach()
        return MixtureTeacher(particles, torch.full((len(particles),), 1e-4))

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        mixture = self._mixture()
        return mixture(x_t, t, mixture.condition([""] * len(x_t)))

    def update(self, x: Tensor, condition: Condition, generator: torch.Generator) -> float:
        return 0.0


@pytest.mark.parametrize(("method", "low_noise_spread"), [(sds, False), (vsd, True)])
def test_sds_collapses_and_vsd_keeps_both_modes(method, low_noise_spread: bool):
    """Particles that start on one side: SDS leaves them there, VSD's critic pushes some over to the other mode."""
    teacher = IdentityMixture(torch.tensor([[-1.0], [1.0]]), torch.tensor([0.05, 0.05]))
    generator = TwoModes(torch.tensor([0.15, 0.2, 0.25, 0.3, 0.35, 0.4], dtype=torch.float64))
    distillation = ScoreDistillation(
        generator,
        teacher,
        lambda draw: PromptConditions(teacher.condition([""] * len(draw)), teacher.condition([""] * len(draw))),
        torch.optim.SGD(generator.parameters(), lr=0.05),
        Settings(
            steps=600,
            batch_size=48,
            method=method,
            guidance=Guidance(1.0),
            times=TimeRange(Ramp(0.02, 0.02), Ramp(0.7, 0.3)),
        ),
        critic=ExactCritic(generator) if low_noise_spread else None,
    )
    for _ in range(600):
        distillation.step()
    particles = generator.particles.detach()
    assert (particles > 0.5).any()
    assert bool((particles < -0.5).any()) == low_noise_spread
