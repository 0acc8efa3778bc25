"""DMD2's classifier: it learns with the critic, and changes the critic's trunk."""

import math

import pytest
import torch

from sds.critic import Critic, CriticSettings
from sds.ramps import Ramp, TimeRange
from students.features.discriminators import Discriminator, NetworkFeatures
from students.methods.judging_critic import JudgingCritic, Opinion
from students.training.batches import Images
from tests.sds.toys import ToyTeacher
from tests.students.toys import normals

MODERATE = TimeRange(Ramp(0.2, 0.2), Ramp(0.6, 0.6))


def critic(weight: float = 1.0) -> tuple[ToyTeacher, JudgingCritic, Opinion]:
    torch.manual_seed(0)
    teacher = ToyTeacher()
    found = JudgingCritic(teacher, CriticSettings(rank=None, learning_rate=3e-3, warm_up=1), weight)
    looks = NetworkFeatures(teacher, found.network, ["conv_in"], MODERATE)
    real = Images(normals(64, 3, 4, 4) + 1.5, teacher.condition(["a"] * 64))
    return teacher, found, found.judge(Discriminator(looks, [8]), real, share=0.5)


def test_trunk_and_heads_learn_to_tell_real_images_from_the_students():
    teacher, judging, opinion = critic()
    rng, told = torch.Generator().manual_seed(0), teacher.condition(["a"] * 32)
    before = {name: weights.clone() for name, weights in judging.network.named_parameters()}
    for _ in range(60):
        judging.update(normals(32, 3, 4, 4, seed=1) - 1.5, told, rng)
    assert opinion.updates == judging.updates == 60
    assert opinion.accuracy > 0.9
    assert any(not torch.equal(before[name], weights) for name, weights in judging.network.named_parameters())


def test_without_a_weight_it_is_a_critic():
    """The same steps as those of a plain critic, whatever the classifier thinks."""
    teacher, judging, _ = critic(weight=0.0)
    plain = Critic(teacher, judging.settings)
    told, x = teacher.condition(["a"] * 8), normals(8, 3, 4, 4, seed=1)
    losses = [one.update(x, told, torch.Generator().manual_seed(2)) for one in (judging, plain)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    shared = [name for name, _ in teacher.network.named_parameters()]  # both have new ones for the view as well
    for name in shared:
        torch.testing.assert_close(judging.network.get_parameter(name), plain.network.get_parameter(name))


def test_the_classifiers_loss_is_softplus():
    teacher, judging, opinion = critic()
    told, fake = teacher.condition(["a"] * 4), normals(4, 3, 4, 4, seed=3)
    opinion.discriminator.forward = lambda seen: torch.full((len(seen[0]),), 0.7)
    loss = opinion.classification(fake, told, torch.Generator().manual_seed(0))
    assert float(loss) == pytest.approx(math.log1p(math.exp(-0.7)) + math.log1p(math.exp(0.7)))
    student = opinion.generator_loss(fake.requires_grad_(), told, torch.Generator().manual_seed(0))
    assert opinion.updates == 1
    assert float(student) == pytest.approx(0.5 * math.log1p(math.exp(-0.7)))
    assert judging.updates == 0


def test_the_student_does_not_train_the_critic():
    teacher, judging, opinion = critic()
    told = teacher.condition(["a"] * 4)
    judging.update(normals(4, 3, 4, 4, seed=1), told, torch.Generator())
    judging.optimizer.zero_grad(set_to_none=True)
    x = normals(4, 3, 4, 4, seed=3).requires_grad_()
    opinion.generator_loss(x, told, torch.Generator().manual_seed(0)).backward()
    assert float(x.grad.abs().sum()) > 0
    assert all(parameter.grad is None for parameter in judging.network.parameters())
    assert all(parameter.requires_grad for parameter in judging.network.parameters())
