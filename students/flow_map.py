"""The flow map: where a path of the teacher is later, without following it.

Every student of this package predicts one thing, the clean image x0 whose DDIM step from x_t leads to x_s::

    G(x_t, t -> s) = (sigma_s / sigma_t) x_t + (alpha_s - alpha_t sigma_s / sigma_t) student(x_t, t, s)

For s = 0 it is a consistency model, from t = 1 to s = 0 a one-step generator, for s near t a denoiser. The boundary
condition G(x_t, t -> t) = x_t holds by construction (it is what consistency models need their c_skip and c_out for;
with sigma / alpha for t this is the parametrisation of Kim et al. 2024, equation 9).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from sds.denoiser import Condition, Denoiser
from sds.schedule import NoiseSchedule
from sds.solvers import ddim_step


class FlowMap(Protocol):
    """Predicts the clean image whose DDIM step from ``t`` leads to the path's state at ``s``."""

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise levels of the teacher."""
        ...

    def __call__(self, x_t: Tensor, t: Tensor, s: Tensor, condition: Condition) -> Tensor:
        """x0 of the shape of ``x_t``, for times of shape (batch,) with s <= t."""
        ...


def flow(student: FlowMap, x_t: Tensor, t: Tensor, s: Tensor, condition: Condition) -> Tensor:
    """G(x_t, t -> s), the state at ``s``."""
    return ddim_step(student.schedule, x_t, student(x_t, t, s, condition), t, s)


class DenoiserAsFlowMap:
    """A denoiser of a finished student as a flow map again: it predicts the one end that it was made for."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser

    @property
    def schedule(self) -> NoiseSchedule:
        """The denoiser's."""
        return self.denoiser.schedule

    def __call__(self, x_t: Tensor, t: Tensor, s: Tensor, condition: Condition) -> Tensor:
        """The denoiser's x0, whatever the end."""
        del s
        return self.denoiser(x_t, t, condition)


def sample_again(
    student: FlowMap,
    noise: Sequence[Tensor],
    times: Sequence[float],
    condition: Condition,
    jumps: Tensor | None = None,
) -> Tensor:
    """Jump to the image from each of ``times``, adding noise in between (Song et al. 2023, algorithm 1).

    Args:
        student: any flow map that knows s = 0.
        noise: for each time, shape (batch, ...); at the first time it stands for x_t, whatever its level.
        times: falling numbers in (0, 1].
        condition: what the student is told.
        jumps: (batch,), how many of them each image makes, falling; all by default.

    Returns:
        The last image x0 of each, shape (batch, ...). The gradient flows through the last jump only: what comes before
        is where the student leads itself when it is used ("backward simulation", Yin et al. 2024b, section 4.4).
    """
    x_t = noise[0]
    jumps = torch.full((len(x_t),), len(times)) if jumps is None else jumps
    levels, end = torch.tensor(times, dtype=torch.float64), torch.zeros(len(x_t), dtype=torch.float64)
    with torch.no_grad():
        for i in range(1, len(times)):
            further = int((jumps > i).sum())
            x0 = flow(student, x_t[:further], levels[i - 1].expand(further), end[:further], condition[:further])
            x_s = student.schedule.add_noise(x0, noise[i][:further], levels[i].expand(further))
            x_t = torch.cat([x_s, x_t[further:]])
    return flow(student, x_t, levels[jumps - 1], end, condition)


def even_jumps(count: int, most: int, rng: torch.Generator) -> Tensor:
    """How many jumps each of ``count`` images makes in training, (count,), falling: 1 to ``most``, equally often.

    A batch holds all of them (systematic sampling), so that a critic does not follow one kind of image after another.
    """
    places = (torch.arange(count) + torch.rand((), generator=rng)) * (most / count)
    return most - places.long().clamp(max=most - 1)


def sample_along(student: FlowMap, noise: Tensor, times: Sequence[float], condition: Condition) -> Tensor:
    """Follow one path without new noise: from the first of ``times`` to the next, and at last to the image.

    For students that know every end they are asked for (progressive distillation, TRACT, CTM).
    """
    levels = [torch.full((len(noise),), level, dtype=torch.float64) for level in (*times, 0.0)]
    x = noise
    for t, s in pairwise(levels):
        x = flow(student, x, t, s, condition)
    return x


def sample_path(student: FlowMap, noise: Tensor, ends: Sequence[float], condition: Condition) -> Tensor:
    """All states of the paths that begin at ``noise``, by one call (parallel decoding; DSNO, equation 5).

    Args:
        student: a flow map that is told the end, with or without layers that mix states.
        noise: shape (batch, ...).
        ends: falling times, those of the states that it learned; the last is 0.
        condition: one row for each path.

    Returns:
        (batch, len(ends), ...); the last state is the image.
    """
    count = len(noise)
    s = torch.tensor(ends, dtype=torch.float64).repeat(count)
    rows = noise.repeat_interleave(len(ends), dim=0)
    told = condition[torch.arange(count).repeat_interleave(len(ends))]
    return flow(student, rows, torch.ones_like(s), s, told).unflatten(0, (count, len(ends)))
