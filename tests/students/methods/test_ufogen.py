"""UFOGen: what its discriminator sees, and at which noise."""

import torch

from sds.denoiser import Condition
from students.average import AverageStudent
from students.features.discriminators import LearningDiscriminator, LearningFeatures
from students.methods.adversarial import NON_SATURATING, Adversary
from students.methods.targets import Learning, velocity_weight
from students.methods.ufogen import JUDGED_AT, UFOGen, at_level
from students.student import Student
from students.training.batches import Batch, Images
from tests.sds.toys import ToyTeacher
from tests.students.toys import normals

LEVELS = [0.0, 0.25, 0.5, 1.0]


class Noted:
    """Features that keep the levels at which they were asked, and what they saw."""

    def __init__(self, looks) -> None:
        self.looks, self.seen = looks, []

    def __call__(self, x, condition, rng):
        self.seen.append((x.detach(), condition.tensors.get(JUDGED_AT)))
        return self.looks(x, condition, rng)


def run(head_start: int = 0) -> tuple[ToyTeacher, UFOGen, LearningDiscriminator]:
    torch.manual_seed(0)
    teacher = ToyTeacher()
    features = LearningFeatures(teacher, lambda network: at_level(teacher, network, ["conv_in"]))
    discriminator = LearningDiscriminator(features, [8])
    real = Images(normals(64, 3, 4, 4), teacher.condition(["a"] * 64))
    adversary = Adversary(discriminator, real, loss=NON_SATURATING, r1=0.0, head_start=head_start)
    return teacher, UFOGen(adversary, LEVELS), discriminator


def test_both_are_seen_at_the_level_below_that_of_the_student():
    teacher, term, discriminator = run()
    noted = Noted(discriminator.features.of_network)
    discriminator.features.of_network = noted
    student = Student(teacher)
    learning = Learning(student, AverageStudent(student, 0.0), 0.0, torch.Generator().manual_seed(3))
    batch = Batch(normals(32, 3, 4, 4, seed=1), teacher.condition(["a"] * 32), normals(32, 3, 4, 4, seed=2))
    assert bool(torch.isfinite(term(learning, batch)))
    levels = [level for _, level in noted.seen]
    assert len(levels) == 3  # real and fake for the discriminator, fake for the student
    assert all(torch.equal(level, levels[0]) for level in levels)
    assert set(levels[0].tolist()) == set(LEVELS[:-1])
    assert torch.equal(noted.seen[0][0], batch.x0)


def test_the_lowest_level_is_the_image_itself():
    """At level 0 nothing is added, so the features do not depend on the random numbers."""
    teacher, _, discriminator = run()
    condition = Condition({**teacher.condition(["a"] * 2).tensors, JUDGED_AT: torch.zeros(2, dtype=torch.float64)})
    x = normals(2, 3, 4, 4)
    seen = [discriminator.features(x, condition, torch.Generator().manual_seed(seed))[0] for seed in (0, 1)]
    assert torch.equal(*seen)
    condition.tensors[JUDGED_AT].fill_(0.5)
    seen = [discriminator.features(x, condition, torch.Generator().manual_seed(seed))[0] for seed in (0, 1)]
    assert not torch.equal(*seen)


def test_beside_the_discriminator_there_is_denoising_weighted_as_velocity():
    teacher, term, _ = run()
    term.adversary.weight = 0.0
    student = Student(teacher)
    batch = Batch(normals(16, 3, 4, 4, seed=1), teacher.condition(["a"] * 16), normals(16, 3, 4, 4, seed=2))
    found = term(Learning(student, AverageStudent(student, 0.0), 0.0, torch.Generator().manual_seed(5)), batch)
    index = torch.randint(1, 4, (16,), generator=torch.Generator().manual_seed(5))
    t = torch.tensor(LEVELS, dtype=torch.float64)[index]
    x = student(teacher.schedule.add_noise(batch.x0, batch.noise, t), t, 0 * t, batch.condition)
    errors = (x - batch.x0).square().flatten(1).mean(1)
    torch.testing.assert_close(
        found, term.reconstruction * (velocity_weight(teacher.schedule, t) * errors).mean().float()
    )


def test_nothing_is_asked_of_the_student_during_the_head_start():
    teacher, term, _ = run(head_start=1)
    student = Student(teacher)
    batch = Batch(normals(16, 3, 4, 4, seed=1), teacher.condition(["a"] * 16), normals(16, 3, 4, 4, seed=2))
    learning = Learning(student, AverageStudent(student, 0.0), 0.0, torch.Generator().manual_seed(5))
    assert float(term(learning, batch).detach()) == 0.0
    assert float(term(learning, batch).detach()) != 0.0
