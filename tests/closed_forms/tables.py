"""A student without a network: for each (t, s) an affine map of x_t, fitted by least squares.

For a Gaussian teacher every target is affine in x_t, so a fit has no residue, and what a method converges to can be
computed to the last digits instead of trained.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sds.denoiser import Condition
from sds.teachers.mixture import MixtureTeacher
from students.methods.targets import Learning, Objective
from students.training.batches import Batch

MEAN, SPREAD = 0.3, 0.5


def gaussian(schedule=None) -> MixtureTeacher:
    return MixtureTeacher(
        torch.tensor([[MEAN]], dtype=torch.float64), torch.tensor([SPREAD**2], dtype=torch.float64), schedule=schedule
    )


class TableStudent:
    """x0 = gain(t, s) x_t + offset(t, s); where nothing was fitted yet, the teacher's prediction."""

    def __init__(self, teacher: MixtureTeacher) -> None:
        self.teacher, self.schedule = teacher, teacher.schedule
        self.table: dict[tuple[float, float], Tensor] = {}

    def __call__(self, x_t: Tensor, t: Tensor, s: Tensor, condition: Condition) -> Tensor:
        x0 = self.teacher(x_t, t, condition)
        for key, coefficients in self.table.items():
            here = (t == key[0]) & (s == key[1])
            x0[here] = coefficients[0] * x_t[here] + coefficients[1]
        return x0

    def as_teacher(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self(x_t, t, t, condition)

    def fit(self, x_t: Tensor, t: Tensor, s: Tensor, x0: Tensor) -> float:
        """Fit every (t, s) that occurs; returns the largest residue."""
        residue = 0.0
        for key in {(a, b) for a, b in zip(t.tolist(), s.tolist(), strict=True)}:
            here = (t == key[0]) & (s == key[1])
            inputs = torch.cat([x_t[here], torch.ones_like(x_t[here])], dim=1)
            solution = torch.linalg.lstsq(inputs, x0[here], driver="gelsd").solution
            residue = max(residue, float((inputs @ solution - x0[here]).abs().max()))
            self.table[key] = solution[:, 0]
        return residue

    def lerp(self, other: TableStudent, share: float) -> None:
        """Move towards ``other``: an average of weights."""
        for key, coefficients in other.table.items():
            own = self.table.get(key)
            self.table[key] = coefficients if own is None else torch.lerp(own, coefficients, share)


def batch(teacher: MixtureTeacher, count: int, rng: torch.Generator) -> Batch:
    """Noise and independent images."""
    noise = torch.randn(count, 1, dtype=torch.float64, generator=rng)
    return Batch(noise, teacher.condition([""] * count), teacher.sample([""] * count, rng))


def sweep(
    student: TableStudent,
    objective: Objective,
    rng: torch.Generator,
    average: TableStudent | None = None,
    examples: Batch | None = None,
    count: int = 400,
) -> float:
    """One exact regression of every (t, s) on its present targets; returns the largest residue."""
    examples = examples or batch(student.teacher, count, rng)
    target = objective(Learning(student, average or student, 0.0, rng), examples)
    return student.fit(target.x_t, target.t, target.s, target.x0)
