"""Discriminators whose features learn: what they see, that they learn it, and who listens to them when."""

import copy

import pytest
import torch
from torch import Tensor

from sds.denoiser import Condition
from sds.ramps import Ramp, TimeRange
from sds.teachers.embedded import load_embedded_teacher
from students.average import AverageStudent
from students.features.discriminators import Discriminator, LearningDiscriminator, LearningFeatures, NetworkFeatures
from students.features.sources import learning_features
from students.methods.adversarial import (
    NON_SATURATING,
    TREMBLE,
    Adversary,
    DenoisedAdversary,
    FittingNoise,
    fitting_noise,
)
from students.methods.targets import Learning, denoising
from students.student import Student
from students.training.batches import Batch, Images
from tests.sds.toys import ToyTeacher
from tests.students.toys import normals

NO_NOISE = TimeRange(Ramp(0.0, 0.0), Ramp(0.0, 0.0))
AT_HALF = TimeRange(Ramp(0.5, 0.5), Ramp(0.5, 0.5))
LAYERS = ["conv_in"]


def looks_of(teacher: ToyTeacher) -> LearningFeatures:
    return LearningFeatures(teacher, lambda network: NetworkFeatures(teacher, network, LAYERS, NO_NOISE))


def toy(head_start: int = 0, seed: int = 0) -> tuple[ToyTeacher, Adversary]:
    torch.manual_seed(seed)
    teacher = ToyTeacher()
    discriminator = LearningDiscriminator(looks_of(teacher), [8])
    real = Images(normals(64, 3, 4, 4), teacher.condition(["a"] * 64))
    adversary = Adversary(discriminator, real, loss=NON_SATURATING, r1=0.0, learning_rate=1e-2, head_start=head_start)
    return teacher, adversary


def checkerboard(count: int) -> Tensor:
    """A fault that is the same everywhere: +1 and -1 in turn."""
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
    return (1.0 - 2.0 * ((rows + columns) % 2)).expand(count, 3, 4, 4)


def test_features_begin_as_the_teachers_and_learn_apart_from_them():
    teacher, adversary = toy()
    x, told = normals(2, 3, 4, 4), teacher.condition(["a", "b"])
    own = NetworkFeatures(teacher, teacher.network, LAYERS, NO_NOISE)(x, told, torch.Generator())
    torch.testing.assert_close(adversary.discriminator.features(x, told, torch.Generator()), own)
    before = copy.deepcopy(teacher.network.state_dict())
    adversary.update(checkerboard(16), teacher.condition(["a"] * 16), torch.Generator().manual_seed(0))
    learned = adversary.discriminator.features(x, told, torch.Generator())
    assert float((learned[0] - own[0]).detach().abs().max()) > 1e-3
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.network.state_dict().items())


def test_a_pattern_that_is_the_same_everywhere_is_found():
    """Real and fake images differ by a checkerboard; a head start of forty updates is enough to tell them apart."""
    teacher, adversary = toy()
    rng = torch.Generator().manual_seed(0)
    for _ in range(40):
        fake = 0.3 * torch.randn(32, 3, 4, 4, generator=rng) + checkerboard(32)
        adversary.update(fake, teacher.condition(["a"] * 32), rng)
    assert adversary.accuracy > 0.9


def test_the_logit_is_the_sum_of_the_means_of_linear_heads():
    discriminator = LearningDiscriminator(looks_of(ToyTeacher()), [8, 3])
    seen = [normals(5, 8, 4, 4), normals(5, 3, 2, 2)]
    by_hand = torch.zeros(5)
    for feature, head, channels in zip(seen, discriminator.heads, (2, 3), strict=True):  # in a group
        groups = feature.reshape(5, -1, channels * feature[0, 0].numel())
        deviation = (groups.var(2, correction=0, keepdim=True) + 1e-5).sqrt()
        normalised = ((groups - groups.mean(2, keepdim=True)) / deviation).reshape(feature.shape)
        by_hand = by_hand + normalised.mean((2, 3)) @ head.weight[0, :, 0, 0] + head.bias
    torch.testing.assert_close(discriminator(seen), by_hand)


def test_nobody_listens_during_the_head_start():
    teacher, adversary = toy(head_start=3)
    x = normals(8, 3, 4, 4).requires_grad_()
    heard = []
    for _ in range(5):
        loss = adversary.generator_loss(x, teacher.condition(["a"] * 8), torch.Generator().manual_seed(1))
        (gradient,) = torch.autograd.grad(loss, x)
        heard.append(bool(gradient.abs().sum() > 0))
    assert heard == [False, False, False, True, True]
    assert adversary.updates == 5


def test_the_students_loss_trains_no_discriminator():
    teacher, adversary = toy()
    x = normals(8, 3, 4, 4).requires_grad_()
    adversary.generator_loss(x, teacher.condition(["a"] * 8), torch.Generator().manual_seed(1))
    adversary.optimizer.zero_grad(set_to_none=True)
    loss = adversary.weight * 0
    branch = adversary.generator_loss(x, teacher.condition(["a"] * 8), torch.Generator().manual_seed(2))
    adversary.optimizer.zero_grad(set_to_none=True)
    (loss + branch).backward()
    assert float(x.grad.abs().sum()) > 0
    assert all(parameter.grad is None for parameter in adversary.discriminator.parameters())
    assert all(parameter.requires_grad for parameter in adversary.discriminator.parameters())


def test_it_continues_exactly():
    def go_on(adversary: Adversary, teacher: ToyTeacher) -> Tensor:
        rng = torch.Generator().manual_seed(5)
        for _ in range(3):
            fake = torch.randn(16, 3, 4, 4, generator=rng)
            adversary.update(fake, teacher.condition(["a"] * 16), rng)
        return torch.cat([parameter.detach().flatten() for parameter in adversary.discriminator.parameters()])

    teacher, first = toy(head_start=10)
    go_on(first, teacher)
    _, second = toy(head_start=10, seed=9)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert second.updates == 3
    assert torch.equal(go_on(second, teacher), go_on(first, teacher))


def test_denoising_beside_the_adversary_is_the_regression():
    """With a deaf student (the head start is not over) the loss is that of `targets.denoising` at the same noise."""
    teacher, adversary = toy(head_start=100)
    student, rng = Student(teacher), torch.Generator().manual_seed(3)
    x0, noise, told = normals(6, 3, 4, 4), normals(6, 3, 4, 4, seed=1), teacher.condition(["ab"] * 6)
    learning = Learning(student, AverageStudent(student, 0.0), 0.0, rng)
    loss = DenoisedAdversary(adversary, AT_HALF, denoising=0.7)(learning, Batch(noise, told, x0))
    target = denoising(teacher.schedule, AT_HALF)(learning, Batch(noise, told, x0))
    error = (student(target.x_t, target.t, target.s, told) - x0).square().mean((1, 2, 3))
    torch.testing.assert_close(loss, 0.7 * (target.weight.to(error) * error).mean())


def test_real_images_of_the_same_things_are_used_where_they_are_known():
    teacher, adversary = toy()
    seen: list[Tensor] = []
    look = adversary.discriminator.features.of_network.at

    def remembering(x_t: Tensor, t: Tensor, condition: Condition) -> object:
        seen.append(x_t)
        return look(x_t, t, condition)

    adversary.discriminator.features.of_network.at = remembering
    real, fake = normals(4, 3, 4, 4, seed=8), normals(4, 3, 4, 4, seed=9)
    adversary.update(fake, teacher.condition(["a"] * 4), torch.Generator().manual_seed(0), real)
    torch.testing.assert_close(seen[0], real)  # t = 0: no noise is added
    torch.testing.assert_close(seen[1], fake)


def test_the_embedded_teachers_copy_looks_at_all_levels_and_frozen_heads_stay_as_they_are():
    teacher = load_embedded_teacher()
    features = learning_features(teacher, teacher.network)
    told = teacher.condition(["a mug"], None)
    seen = features(torch.zeros(1, *teacher.shape), told, torch.Generator().manual_seed(0))
    widths = list(teacher.network.config["block_out_channels"])
    assert [feature.shape[1] for feature in seen] == [*widths, widths[-1]]
    frozen = Discriminator(NetworkFeatures(teacher, teacher.network, ["mid_block"], NO_NOISE), [widths[-1]])
    assert {name.split(".")[0] for name, _ in frozen.named_parameters()} == {"heads"}
    with pytest.raises(ValueError, match="no down_blocks"):
        learning_features(ToyTeacher(), ToyTeacher().network)


def test_a_steady_discriminator_hardly_notices_a_tremble():
    def excitement(steadiness: float) -> float:
        teacher, adversary = toy()
        adversary.steadiness = steadiness
        rng = torch.Generator().manual_seed(0)
        for _ in range(60):
            fake = torch.randn(32, 3, 4, 4, generator=rng) + checkerboard(32)
            adversary.update(fake, teacher.condition(["a"] * 32), rng)
        x, told = normals(64, 3, 4, 4, seed=4), teacher.condition(["a"] * 64)
        discriminator = adversary.discriminator
        with torch.no_grad():
            logits, again = (
                discriminator(discriminator.features(seen, told, torch.Generator()))
                for seen in (x, x + TREMBLE * normals(64, 3, 4, 4, seed=5))
            )
        return float((logits - again).square().mean())

    assert excitement(1e4) < 0.2 * excitement(0.0)


def test_the_noise_that_fits_is_the_one_in_which_the_teacher_sees_the_image():
    """A teacher that sees its input halved: of several noises the one nearest to twice the image is taken."""

    class Halving(ToyTeacher):
        def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
            return x_t / 2

    teacher = Halving()
    x0, told = 0.5 * normals(6, 3, 4, 4), teacher.condition(["a"] * 6)
    t = torch.full((6,), 0.9, dtype=torch.float64)
    chosen = fitting_noise(teacher, x0, t, told, torch.Generator().manual_seed(2), draws=7)
    drawn = torch.randn(7, 6, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    nearest = (drawn - 2 * x0).square().sum((2, 3, 4)).argmin(0)
    for row in range(6):
        assert torch.equal(chosen[row], drawn[nearest[row], row])
    alone = fitting_noise(teacher, x0, t, told, torch.Generator().manual_seed(2), draws=1)
    assert torch.equal(alone, drawn[0])


def test_noise_fits_where_the_student_starts_and_images_are_noised_below():
    teacher, x_t = ToyTeacher(), normals(4, 3, 4, 4, seed=5)
    batch = Batch(normals(4, 3, 4, 4), teacher.condition(["a"] * 4), normals(4, 3, 4, 4, seed=1))
    t = torch.tensor([0.4, 0.8, 0.4, 0.8], dtype=torch.float64)
    found = FittingNoise(teacher, 0.8)(x_t, t, batch, torch.Generator().manual_seed(2))
    chosen = fitting_noise(teacher, batch.x0[1::2], t[1::2], batch.condition[1::2], torch.Generator().manual_seed(2))
    assert torch.equal(found[1::2], chosen)
    assert torch.equal(found[::2], x_t[::2])
    assert torch.equal(FittingNoise(teacher, 0.9)(x_t, t, batch, torch.Generator()), x_t)
