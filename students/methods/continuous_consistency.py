"""Continuous-time consistency models (sCM, Lu & Song 2025): the limit of neighbouring levels that are ever closer.

In the angle phi = atan2(sigma, alpha), with x = x_t / hypot(alpha, sigma), a consistency function is written by a
network F, and so is the teacher's prediction by a network F_D that gives the path its direction::

    f = cos phi x - sin phi F,      D = cos phi x - sin phi F_D,      dx / dphi = F_D

Along the path f does not change. Its derivative times cos phi is what the student must still unlearn (equation 6)::

    g = cos phi df/dphi = cos^2 phi (F_D - F) - r cos phi sin phi (x + dF/dphi)

and the target is F + g / (|g| + c). The share r grows from 0 to 1 over the first part of a run ("tangent warm-up").

Of all functions that do not change along paths the consistency function is the one that leaves a clean image as it is.
The paper's networks do so by construction; a teacher's architecture may not, so at the lowest noise levels the target
is the teacher's prediction, the one step to the image that discrete levels end with too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sds.denoiser import Denoiser
from sds.ramps import Ramp
from sds.schedule import NoiseSchedule, scale
from sds.solvers import ddim_step
from students.methods.targets import Learning, Objective, Target
from students.training.batches import Batch

WARM_UP = Ramp(0.0, 1.0, 0.0, 0.1)
"""r over the run."""


def continuous_consistency(
    teacher: Denoiser, step: float = 5e-3, normaliser: float = 0.1, warm_up: Ramp = WARM_UP, lowest: float = 0.06
) -> Objective:
    """sCM's distillation: the student's own change along the teacher's path is its error.

    The derivative is a central difference along the path: two further predictions of the student, where the paper
    takes a forward derivative, which few fast kernels know.

    Args:
        teacher: whose path it is.
        step: of the difference, in t.
        normaliser: c of the paper; root mean square of g where it begins to be cut.
        warm_up: r over the progress of the stage.
        lowest: t below which the teacher's prediction is the target.

    Raises:
        ValueError: if ``lowest`` leaves no room for the difference.
    """
    if lowest < 2 * step:
        raise ValueError(f"below t = {lowest} there is no room for a difference of {step}: raise lowest, or lower step")
    schedule = teacher.schedule

    def objective(learning: Learning, batch: Batch) -> Target:
        rows = len(batch)
        t = step + (1 - 2 * step) * torch.rand(rows, dtype=torch.float64, generator=learning.rng)
        s = torch.zeros_like(t)
        x_t = schedule.add_noise(batch.x0, batch.noise, t)
        denoised = teacher(x_t, t, batch.condition)

        def network_at(time: Tensor) -> Tensor:
            x = x_t if time is t else ddim_step(schedule, x_t, denoised, t, time)
            return direction(schedule, x, learning.student(x, time, s, batch.condition), time)

        network, towards = network_at(t), direction(schedule, x_t, denoised, t)
        below, above = t - step, t + step
        slope = (network_at(above) - network_at(below)) / scale(angle(schedule, above) - angle(schedule, below), x_t)
        phi = angle(schedule, t)
        cosine, sine = scale(phi.cos(), x_t), scale(phi.sin(), x_t)
        x = x_t / scale(length(schedule, t), x_t)
        g = cosine**2 * (towards - network) - warm_up(learning.progress) * cosine * sine * (x + slope)
        g = g / (g.square().flatten(1).mean(1).sqrt().reshape(rows, *[1] * (g.dim() - 1)) + normaliser)
        x0 = torch.where(scale(t, x_t) < lowest, denoised, cosine * x - sine * (network + g))
        return Target(x_t, t, s, batch.condition, x0, phi.sin() ** -2)

    return objective


def angle(schedule: NoiseSchedule, t: Tensor) -> Tensor:
    """atan2(sigma, alpha), from 0 to pi / 2; shape (batch,)."""
    alpha, sigma = schedule(t)
    return torch.atan2(sigma, alpha)


def length(schedule: NoiseSchedule, t: Tensor) -> Tensor:
    """hypot(alpha, sigma), which is 1 for variance-preserving schedules; shape (batch,)."""
    return torch.hypot(*schedule(t))


def direction(schedule: NoiseSchedule, x_t: Tensor, x0: Tensor, t: Tensor) -> Tensor:
    """F of a prediction x0 at x_t: (cos phi x - x0) / sin phi, shape of x_t."""
    phi = angle(schedule, t)
    x = x_t / scale(length(schedule, t), x_t)
    return (scale(phi.cos(), x) * x - x0) / scale(phi.sin(), x)
