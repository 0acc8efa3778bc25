"""Continuous-time consistency models (sCM, Lu & Song 2025): the limit of neighbouring levels that are ever closer.

In the angle phi = atan2(sigma, alpha), with x = x_t / hypot(alpha, sigma), a consistency function is written by a
network F, and so is the teacher's prediction by a network F_D that gives the path its direction::

    f = cos phi x - sin phi F,      D = cos phi x - sin phi F_D,      dx / dphi = F_D

Along the path f does not change. Its derivative times cos phi is what the student must still unlearn (equation 6)::

    g = cos phi df/dphi = cos^2 phi (F_D - F) - r cos phi sin phi (x + dF/dphi)

and the target is F + g / (|g| + c). The share r grows from 0 to 1 over the first part of a run ("tangent warm-up").
dF/dphi is the exact derivative along the path (`students.methods.derivatives`).

Noise levels are drawn from the paper's proposal, log(tan phi) normal, tan phi in units of the data's deviation. Its
adaptive weight exp(w(t)) / D, whose network w learns the size of the loss at each level, is `LevelWeight`.

Of all functions that do not change along paths the consistency function is the one that leaves a clean image as it is.
The paper's networks do so by construction; a teacher's architecture may not, so at the lowest noise levels the target
is the teacher's prediction, the one step to the image that discrete levels end with too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sds.denoiser import Denoiser
from sds.ramps import Ramp
from sds.schedule import NoiseSchedule, scale, time_at
from students.levels import Times
from students.methods.derivatives import Derivative, with_derivative
from students.methods.targets import Learning, Objective, Target
from students.training.batches import Batch

WARM_UP = Ramp(0.0, 1.0, 0.0, 0.1)
"""r over the run."""


DATA_DEVIATION = 0.5
"""sigma_d: of pictures in [-1, 1], in all papers since EDM."""


@dataclass(frozen=True)
class LognormalTimes:
    """Noise levels whose log(sigma / alpha) is normal: sCM's proposal (Lu & Song 2025, section 5.1), and EDM's.

    Attributes:
        schedule: where they lie.
        mean, deviation: of log(sigma / (alpha sigma_d)). The paper's -1.0 and 1.4 (CIFAR-10) are for training from
            data, its -0.8 and 1.6 for distillation on ImageNet 64.
        even: share of the levels that are drawn evenly in t: one step begins at pure noise, where the proposal hardly
            looks.
    """

    schedule: NoiseSchedule
    mean: float = -0.8
    deviation: float = 1.6
    even: float = 0.25

    def sample(self, count: int, progress: float, generator: torch.Generator) -> Tensor:
        """``count`` times, float64."""
        del progress
        normal = torch.randn(count, dtype=torch.float64, generator=generator)
        proposed = time_at(self.schedule, DATA_DEVIATION * (self.mean + self.deviation * normal).exp())
        uniform = torch.rand(count, dtype=torch.float64, generator=generator)
        return torch.where(torch.rand(count, generator=generator) < self.even, uniform, proposed)


def continuous_consistency(
    teacher: Denoiser,
    normaliser: float = 0.1,
    warm_up: Ramp = WARM_UP,
    lowest: float = 0.06,
    times: Times | None = None,
    derivative: Derivative = with_derivative,
) -> Objective:
    """sCM's distillation: the student's own change along the teacher's path is its error.

    F and its derivative are those of the average of weights, which for the paper is the student itself. A short
    training takes steps so large that a student which follows itself falls apart, as with discrete levels.

    Args:
        teacher: whose path it is.
        normaliser: c of the paper; root mean square of g where it begins to be cut. The paper's norm is the root of the
            sum over the D numbers of an image, which makes its steps sqrt(D) smaller; Adam does not see the difference.
        warm_up: r over the progress of the stage.
        lowest: t below which the teacher's prediction is the target.
        times: the noise levels that are visited; even in t if None.
        derivative: how dF/dt is found.
    """
    schedule = teacher.schedule

    def objective(learning: Learning, batch: Batch) -> Target:
        rows = len(batch)
        if times is None:
            t = torch.rand(rows, dtype=torch.float64, generator=learning.rng)
        else:
            t = times.sample(rows, learning.progress, learning.rng)
        t = t.clamp(SMALLEST_TIME, 1 - SMALLEST_TIME)
        s = torch.zeros_like(t)
        x_t = schedule.add_noise(batch.x0, batch.noise, t)
        denoised = teacher(x_t, t, batch.condition)

        def network_at(time: Tensor) -> Tensor:
            x = along_path(schedule, x_t, denoised, t, time)
            return direction(schedule, x, learning.average(x, time, s, batch.condition), time)

        network, slope = derivative(network_at, t)
        _, turn = with_derivative(lambda time: angle(schedule, time), t)
        towards = direction(schedule, x_t, denoised, t)
        phi = angle(schedule, t)
        cosine, sine = scale(phi.cos(), x_t), scale(phi.sin(), x_t)
        x = x_t / scale(length(schedule, t), x_t)
        slope = slope / scale(turn, x_t)
        g = cosine**2 * (towards - network) - warm_up(learning.progress) * cosine * sine * (x + slope)
        g = g / (g.square().flatten(1).mean(1).sqrt().reshape(rows, *[1] * (g.dim() - 1)) + normaliser)
        x0 = torch.where(scale(t, x_t) < lowest, denoised, cosine * x - sine * (network + g))
        return Target(x_t, t, s, batch.condition, x0, phi.sin() ** -2)

    return objective


SMALLEST_TIME = 1e-3
"""The distance that levels keep from the clean image and from pure noise, where F has no direction."""


def along_path(schedule: NoiseSchedule, x_t: Tensor, x0: Tensor, t: Tensor, time: Tensor) -> Tensor:
    """`ddim_step` from ``t`` to any near ``time``, differentiable by it also where both are the same."""
    (alpha_t, sigma_t), (alpha, sigma) = schedule(t), schedule(time)
    kept = sigma / sigma_t
    return scale(kept, x_t) * x_t + scale(alpha - kept * alpha_t, x_t) * x0


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
