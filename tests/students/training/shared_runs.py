"""Trainings of every kind, in float64, for one process or several: started by `test_processes` under torchrun."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sds.copies import Copies
from sds.critic import Critic, CriticSettings
from sds.denoiser import Condition
from sds.processes import in_shares, is_first_process, process_count, rows_at_once
from sds.ramps import Ramp, TimeRange
from sds.sharding import gathered
from students.features.discriminators import Discriminator, LearningDiscriminator, LearningFeatures, NetworkFeatures
from students.generator import FewStepGenerator
from students.guided_teacher import GuidedTeacher
from students.methods.adversarial import Adversary, DenoisedAdversary
from students.methods.bootstrap import consistency, trajectory_consistency
from students.methods.distribution_matching import MatchingSettings, dmd2
from students.methods.levels import even_levels
from students.methods.targets import Objective, denoising, progressive
from students.prompts import Prompts
from students.student import Student
from students.teachers import TeacherInShares, WithCopies
from students.training.balance import Balanced, last_weights
from students.training.batches import Images
from students.training.loop import Distillation, DistillationSettings, Regression, Stage
from tests.sds.toys import ToyTeacher
from tests.students.toys import normals

BATCH = 5
"""An odd number, which two processes cannot share evenly."""

STEPS = 4


class DoubleTeacher(ToyTeacher):
    """The toy in float64, so that only the order of sums is left to differ."""

    def __init__(self) -> None:
        super().__init__()
        self.network.double()

    def condition(self, prompts, view=None) -> Condition:
        return Condition({"text": super().condition(prompts).tensors["text"].double()})


SHARDED = ContextVar("whether trained networks are sharded", default=False)


def toy_teacher() -> TeacherInShares | WithCopies | DoubleTeacher:
    teacher = DoubleTeacher()
    if process_count() == 1:
        return teacher
    return WithCopies(TeacherInShares(teacher), Copies(sharded=SHARDED.get()))


def adversary_on(teacher, network) -> Adversary:
    data = Images(normals(80, 3, 4, 4).double(), teacher.condition(["ab"] * 80, None))
    looks = NetworkFeatures(teacher, network, ["conv_in"], TimeRange(Ramp(0.3, 0.3), Ramp(0.6, 0.6)))
    return Adversary(Discriminator(looks, [8]).double(), data, r1=0.1)


def score_distillation() -> dict[str, Tensor]:
    """DMD2 of two steps: generator, critic and a discriminator on the critic's features."""
    teacher = toy_teacher()
    torch.manual_seed(0)
    generator = FewStepGenerator(Student(teacher), teacher.shape, Prompts(teacher, ["a", "bcd"]), (1.0, 0.5))
    critic = Critic(teacher, CriticSettings(rank=None))
    adversary = adversary_on(teacher, critic.network)
    run = dmd2(generator, teacher, MatchingSettings(STEPS, BATCH, 1e-2), critic, adversary, critic_steps=2)
    for _ in range(STEPS):
        run.step()
    state = gathered(run.state_dict())
    run.load_state_dict(state)  # whole tensors, as a checkpoint has them
    run.settings = replace(run.settings, steps=STEPS + 1)
    run.step()
    heads = adversary.discriminator.heads.state_dict()
    return {**generator.state_dict(), **critic.state_dict()["network"], **heads}


def regressions(path: Callable[..., Objective] = trajectory_consistency) -> dict[str, Tensor]:
    """Progressive distillation of a guided teacher; CTM, whose targets are differentiated; an adversary; an average."""
    teacher = toy_teacher()
    torch.manual_seed(0)
    student = Student(teacher, told_end=True)
    guided = GuidedTeacher(teacher, 2.0)
    data = Images(normals(80, 3, 4, 4).double(), guided.condition(["ab"] * 80, None))
    denoised = DenoisedAdversary(adversary_on(teacher, teacher.network), TimeRange(Ramp(0.5, 0.5), Ramp(0.9, 0.9)))

    def first(of_stage) -> Stage:
        return Stage([Regression(progressive(of_stage, 4))], data, STEPS // 2)

    def second(of_stage) -> Stage:
        return Stage([Regression(path(of_stage, even_levels(4))), denoised], data, STEPS // 2, 0.5)

    run = Distillation(student, guided, [first, second], DistillationSettings(BATCH, 1e-2, smoothing=0.5))
    while not run.finished:
        run.step()
    return {**{f"result.{name}": tensor for name, tensor in run.result.tensors.items()}, **student.state_dict()}


def learning_features() -> dict[str, Tensor]:
    """A discriminator whose features learn with its heads: their weights are computed in shares too."""
    teacher = toy_teacher()
    torch.manual_seed(0)
    student = Student(teacher)
    data = Images(normals(80, 3, 4, 4).double(), teacher.condition(["ab"] * 80, None))
    features = LearningFeatures(
        teacher, lambda copy: NetworkFeatures(teacher, copy, ["conv_in"], TimeRange(Ramp(0.3, 0.3), Ramp(0.6, 0.6)))
    )
    discriminator = LearningDiscriminator(features, [8]).double()
    adversary = Adversary(discriminator, data, r1=0.0, steadiness=1.0)
    denoised = DenoisedAdversary(adversary, TimeRange(Ramp(0.5, 0.5), Ramp(0.9, 0.9)))
    settings = DistillationSettings(BATCH, 1e-2)
    run = Distillation(student, teacher, [lambda _: Stage([denoised], data, STEPS)], settings)
    while not run.finished:
        run.step()
    return {**student.state_dict(), **{f"discriminator.{n}": t for n, t in discriminator.state_dict().items()}}


def shares() -> dict[str, Tensor]:
    """A function of rows in shares: its values, and its gradients in x and in the weights."""
    network = torch.nn.Linear(3, 2).double()
    with torch.no_grad():
        network.weight.copy_(normals(2, 3))
        network.bias.copy_(normals(2, seed=1))
    found = {}
    for rows in (1, 2, 7):
        x = normals(rows, 3, seed=rows).double().requires_grad_()
        told = normals(rows, seed=rows + 1).double()
        weights = list(network.parameters())
        y = in_shares(lambda own, number: network(own) * number[:, None], x, told, weights=weights)
        gradients = torch.autograd.grad((y**3).sum(), [x, *weights])
        found |= {f"{rows}.{i}": tensor for i, tensor in enumerate([y.detach(), *gradients])}
    return found


def balanced() -> dict[str, Tensor]:
    """CTM's balance of losses, which asks for gradients in the middle of a step."""
    teacher = toy_teacher()
    student = Student(teacher)
    guided = GuidedTeacher(teacher, 2.0)
    data = Images(normals(80, 3, 4, 4).double(), guided.condition(["ab"] * 80, None))
    denoised = Regression(denoising(teacher.schedule, TimeRange(Ramp(0.1, 0.1), Ramp(0.9, 0.9))))
    path = Regression(consistency(guided, even_levels(4)))
    term = Balanced(path, [(denoised, 1.0)], last_weights(student.network))
    run = Distillation(student, guided, [lambda _: Stage([term], data, STEPS)], DistillationSettings(BATCH, 1e-2))
    while not run.finished:
        run.step()
    return student.state_dict()


def in_parts() -> dict[str, Tensor]:
    """The first of them, whose networks see two rows at a time."""
    with rows_at_once(2):
        return score_distillation()


RUNS: dict[str, Callable[[], dict[str, Tensor]]] = {
    "score": score_distillation,
    "regressions": regressions,
    "learning features": learning_features,
    "shares": shares,
    "balanced": balanced,
    "consistency": partial(regressions, consistency),
    "in parts": in_parts,
}

CANNOT_BE_SHARDED = ("shares", "regressions", "balanced", "in parts")
"""Nothing to shard, an average that is differentiated, gradients at one layer, and as the first."""


def sharded_runs() -> dict[str, dict[str, Tensor]]:
    """The runs whose networks can be sharded, with whole tensors again."""
    SHARDED.set(True)
    return {name: gathered(run()) for name, run in RUNS.items() if name not in CANNOT_BE_SHARDED}


if __name__ == "__main__":
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == process_count() > 1
    results = {"whole": {name: run() for name, run in RUNS.items()}, "sharded": sharded_runs()}
    for refused, message in ((balanced, "train it without sharding"), (regressions, "which cannot be sharded")):
        with pytest.raises(ValueError, match=message):
            refused()
    if is_first_process():
        torch.save(results, Path(sys.argv[1]))
    accelerator.wait_for_everyone()
    accelerator.end_training()
