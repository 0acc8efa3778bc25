"""Discriminators: their optimum, their losses, what they look at, and adversarial diffusion distillation."""

import copy
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from sds.denoiser import Condition
from sds.guidance import Guidance
from sds.ramps import Ramp, TimeRange
from students.features.discriminators import Discriminator, NetworkFeatures
from students.generator import FewStepGenerator, LatentDraw
from students.methods.adversarial import HINGE, LEAST_SQUARES, NON_SATURATING, AdversarialLoss, Adversary
from students.methods.adversarial_distillation import AddSettings, add
from students.student import Student
from students.training.batches import Images
from tests.sds.toys import ToyTeacher
from tests.students.toys import normals, null_prompt, ring, ring_shares


class Waves:
    """Features of points: sines and cosines of fixed random directions."""

    def __init__(self, dimension: int, channels: int = 64, reach: float = 2.0) -> None:
        self.directions = reach * normals(dimension, channels, seed=7)

    def __call__(self, x: Tensor, condition: Condition, rng: torch.Generator) -> Sequence[Tensor]:
        angles = x.flatten(1) @ self.directions
        return [torch.cat([angles.sin(), angles.cos()], dim=1)]


def test_losses_by_hand():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
    assert HINGE.discriminator(real, fake).item() == pytest.approx((0 + 0.5) / 2 + (0 + 1) / 2)
    assert HINGE.generator(fake).item() == pytest.approx(1.5)
    softplus = [math.log1p(math.exp(value)) for value in (-2.0, -0.5, -3.0, 0.0, 3.0)]
    expected = (softplus[0] + softplus[1]) / 2 + (softplus[2] + softplus[3]) / 2
    assert NON_SATURATING.discriminator(real, fake).item() == pytest.approx(expected)
    assert NON_SATURATING.generator(fake).item() == pytest.approx((softplus[4] + softplus[3]) / 2)
    assert LEAST_SQUARES.discriminator(real, fake).item() == pytest.approx((1 + 0.25) / 2 + (4 + 1) / 2)
    assert LEAST_SQUARES.generator(fake).item() == pytest.approx((16 + 1) / 2)


@pytest.mark.parametrize(
    ("loss", "optimum"),
    [(NON_SATURATING, lambda p, q: math.log(p / q)), (LEAST_SQUARES, lambda p, q: (p - q) / (p + q))],
)
def test_the_best_logit_of_each_loss(loss: AdversarialLoss, optimum):
    """Where real images come with density p and fakes with q; found by descent on the pointwise loss."""
    p, q = 0.8, 0.3
    logit = torch.zeros(1, requires_grad=True, dtype=torch.float64)
    optimizer = torch.optim.SGD([logit], lr=0.3)
    zero = torch.zeros(1, dtype=torch.float64)
    for _ in range(200):
        optimizer.zero_grad()
        (p * loss.discriminator(logit, zero) + q * loss.discriminator(zero, logit)).backward()
        optimizer.step()
    assert logit.item() == pytest.approx(optimum(p, q), abs=1e-5)


def learned(dimension: int = 1, **options: object) -> tuple[Adversary, Condition]:
    """A discriminator of N(1, 0.5^2) (real) and N(-0.5, 0.5^2) (fake), after a short training."""
    torch.manual_seed(0)
    real = 1 + 0.5 * normals(4096, dimension)
    told = Condition({"nothing": torch.zeros(4096, 1)})
    discriminator = Discriminator(Waves(dimension, reach=1.0), [128])
    adversary = Adversary(discriminator, Images(real, told), learning_rate=3e-3, **options)  # type: ignore[arg-type]
    rng = torch.Generator().manual_seed(0)
    for _ in range(150):
        adversary.update(-0.5 + 0.5 * torch.randn(256, dimension, generator=rng), told[:256], rng)
    return adversary, told


def test_a_trained_discriminator_knows_the_log_ratio_of_the_densities():
    """log p(x) - log q(x) = 6 x - 1.5 here: its zero, its sign and its order are found."""
    adversary, told = learned(loss=NON_SATURATING, r1=0.0)
    x = torch.linspace(-1, 1.5, 11)[:, None]
    logits = adversary.discriminator(adversary.discriminator.features(x, told[:11], torch.Generator()))
    assert bool((logits.diff() > 0).all())
    zero = torch.tensor(0.25)
    at_zero = adversary.discriminator(adversary.discriminator.features(zero.reshape(1, 1), told[:1], torch.Generator()))
    assert abs(at_zero.item()) < 0.3
    assert adversary.accuracy > 0.85


def test_r1_flattens_the_discriminator():
    def slope(r1: float) -> float:
        adversary, told = learned(r1=r1)
        seen = adversary.discriminator.features(torch.ones(1, 1), told[:1], torch.Generator())[0].requires_grad_()
        (gradient,) = torch.autograd.grad(adversary.discriminator([seen]).sum(), seen)
        return float(gradient.norm())

    assert slope(10.0) < 0.3 * slope(0.0)


def test_the_term_pushes_a_student_towards_real_images():
    adversary, told = learned(loss=HINGE)
    rng = torch.Generator().manual_seed(1)
    x = torch.full((64, 1), 0.25, requires_grad=True)
    draw = LatentDraw([], told[:64], lambda: told[:64], torch.ones(64))
    adversary(draw, x, 0.0, rng).backward()
    assert bool((x.grad < 0).all())  # descent moves to the right, where the real images are


def test_features_of_a_network_are_what_its_layers_say():
    teacher = ToyTeacher()
    times = TimeRange(Ramp(0.3, 0.3), Ramp(0.3, 0.3))
    features = NetworkFeatures(teacher, teacher.network, ["conv_in", "conv_out"], times)
    x, condition = normals(2, 3, 4, 4).requires_grad_(), teacher.condition(["a", "b"])
    seen = features(x, condition, torch.Generator().manual_seed(3))
    assert [tuple(f.shape) for f in seen] == [(2, 8, 4, 4), (2, 3, 4, 4)]
    rng = torch.Generator().manual_seed(3)
    t = times.sample(2, 0.0, rng)
    x_t = teacher.schedule.add_noise(x, torch.randn(x.shape, generator=rng), t)
    torch.testing.assert_close(seen[0], teacher.network.conv_in(x_t))
    torch.testing.assert_close(seen[1], teacher(x_t, t, condition))
    seen[0].sum().backward()
    assert x.grad.abs().sum() > 0
    assert len(teacher.network.conv_in._forward_hooks) == 0
    with pytest.raises(ValueError, match="no layers \\['middle'\\]; it has time_embedding, "):
        NetworkFeatures(teacher, teacher.network, ["middle"], times)


def test_heads_take_maps_and_vectors():
    discriminator = Discriminator(Waves(2), [8, 5])
    discriminator.eval()  # spectral normalisation moves at every call of training
    a_map, vector = normals(3, 8, 4, 4), normals(3, 5)
    at_places = discriminator.heads[0](nn.functional.layer_norm(a_map.permute(0, 2, 3, 1), (8,))).mean((1, 2, 3))
    of_vector = discriminator.heads[1](nn.functional.layer_norm(vector, (5,)))[:, 0]
    torch.testing.assert_close(discriminator([a_map, vector]), (at_places + of_vector) / 2)


def test_too_few_real_images_are_refused():
    told = Condition({"nothing": torch.zeros(10, 1)})
    with pytest.raises(ValueError, match="at least 64 real images, not 10"):
        Adversary(Discriminator(Waves(2), [128]), Images(torch.zeros(10, 2), told))
    with pytest.raises(ValueError, match="need a condition each"):
        Images(torch.zeros(100, 2), told)


def adversarial_ring(distillation_weight: float, steps: int) -> tuple[FewStepGenerator, Adversary]:
    teacher = ring(6, 0.15)
    torch.manual_seed(1)
    generator = FewStepGenerator(Student(teacher), teacher.shape, null_prompt(teacher), (0.7,))
    real = teacher.sample([""] * 4096, torch.Generator().manual_seed(0)).float().reshape(-1, 1, 1, 2)
    discriminator = Discriminator(Waves(2), [128])
    source = Images(real, teacher.condition([""] * len(real)))
    adversary = Adversary(discriminator, source, weight=0.5, learning_rate=3e-3)
    settings = AddSettings(
        steps,
        batch_size=128,
        learning_rate=1e-3,
        distillation_weight=distillation_weight,
        guidance=Guidance(1.0),
        times=TimeRange(Ramp(0.05, 0.05), Ramp(0.3, 0.3)),
    )
    run = add(generator, teacher, settings, adversary)
    for _ in range(steps):
        run.step()
    return generator, adversary


def test_add_draws_the_ring():
    """At low noise the SDS row keeps points on their modes, and the discriminator keeps the modes even."""
    generator, adversary = adversarial_ring(distillation_weight=1.0, steps=400)
    teacher = generator.prompts.teacher
    with torch.no_grad():
        points = generator.first_step(normals(2000, 1, 1, 2, seed=5), teacher.condition([""] * 2000))
    shares, near = ring_shares(points, teacher)
    assert near > 0.75
    assert float(shares.min()) > 0.03
    assert 0.4 < adversary.accuracy < 0.9


def test_an_adversary_continues_exactly():
    def run(adversary: Adversary, told: Condition, seed: int) -> Tensor:
        rng = torch.Generator().manual_seed(seed)
        for _ in range(3):
            adversary.update(torch.randn(64, 1, generator=rng), told[:64], rng)
        return torch.cat([p.detach().flatten() for p in adversary.discriminator.heads.parameters()])

    first, told = learned()
    second, _ = learned(r1=0.1)
    second.r1 = first.r1
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(run(second, told, 5), run(first, told, 5))
