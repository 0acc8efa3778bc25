"""MeanFlow: the mean velocity over a jump, learned from its own derivative (Geng et al. 2025)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sds.denoiser import Denoiser
from sds.ramps import Ramp
from sds.schedule import NoiseSchedule, scale
from students.methods.derivatives import Derivative, with_derivative
from students.methods.targets import Learning, Objective, Target
from students.training.batches import Batch

Velocity = Callable[[Tensor, Tensor, Batch], Tensor]
"""(x_t, t, batch) -> the velocity of x_t on straight paths, shape of x_t."""


@dataclass(frozen=True)
class MeanFlowTimes:
    """Where MeanFlow looks (Geng et al. 2025, table 1): t and r are logit-normal, for most images they are the same.

    Attributes:
        location, spread: of logit t.
        same: share of the images with r = t, which learn the velocity of a moment; the paper's best is three quarters.
        whole: share of the others that learn the whole way, from t = 1 to the image: what one step is.
    """

    location: float = -0.4
    spread: float = 1.0
    same: float = 0.75
    whole: float = 0.0

    def sample(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """t and r <= t, each float64 of shape (count,)."""
        normal = torch.randn(2, count, dtype=torch.float64, generator=generator)
        pair = (self.location + self.spread * normal).sigmoid()
        t, r = pair.amax(0), pair.amin(0)
        if self.whole:
            everything = torch.rand(count, generator=generator) < self.whole
            t, r = torch.where(everything, 1.0, t), torch.where(everything, 0.0, r)
        alike = torch.rand(count, generator=generator) < self.same
        return t, torch.where(alike, t, r)


ALL_OF_IT = Ramp(1.0, 1.0)
"""The share of the derivative in the paper's target, at all times."""


def mean_flow(
    schedule: NoiseSchedule,
    velocity: Velocity,
    times: MeanFlowTimes | None = None,
    warm_up: Ramp = ALL_OF_IT,
    derivative: Derivative = with_derivative,
) -> Objective:
    """MeanFlow (Geng et al. 2025, equation 10) on straight paths: the mean velocity over a jump, from its derivative.

    With u = (x_t - x_s) / (t - s) = (x_t - student) / t and v the velocity of x_t::

        u = v - (t - s) du/dt,      du/dt along (v, 1, 0), exact (`students.methods.derivatives`)

    u on the right is that of the average of weights, for the paper the student itself; see `continuous_consistency`.

    Prediction and target are compared as velocities u, whatever the distance. A pseudo-Huber one is the paper's
    adaptive weight with p = 1/2. Needs a student that is told the end, and ``flow_schedule()``.

    Args:
        schedule: straight paths.
        velocity: `data_velocity` to train, `teacher_velocity` to distil.
        times: which jumps are learned.
        warm_up: share of the derivative in the target over the progress of the stage, see sCM's "tangent warm-up": a
            short training takes large steps, and a derivative that the student has not learned yet runs away.
        derivative: how du/dt is found.
    """
    jumps = times or MeanFlowTimes()

    def objective(learning: Learning, batch: Batch) -> Target:
        t, s = jumps.sample(len(batch), learning.rng)
        x_t = schedule.add_noise(batch.x0, batch.noise, t)
        v = velocity(x_t, t, batch)

        def mean_velocity(time: Tensor) -> Tensor:
            at = x_t + scale(time - t, v) * v
            return (at - learning.average(at, time, s, batch.condition)) / scale(time, at)

        _, slope = derivative(mean_velocity, t)
        u = v - warm_up(learning.progress) * scale(t - s, v) * slope
        target = Target(x_t, t, s, batch.condition, x_t - scale(t, u) * u, torch.ones_like(t))
        return replace(target, compared=lambda x0: (x_t - x0) / scale(t, x0))

    return objective


def data_velocity(x_t: Tensor, t: Tensor, batch: Batch) -> Tensor:
    """noise - image: right on average, which is all that a regression needs."""
    del x_t, t
    return batch.noise - batch.x0


def teacher_velocity(teacher: Denoiser) -> Velocity:
    """(x_t - D(x_t)) / t: the velocity of a teacher of straight paths, without variance."""

    def velocity(x_t: Tensor, t: Tensor, batch: Batch) -> Tensor:
        return (x_t - teacher(x_t, t, batch.condition)) / scale(t, x_t)

    return velocity
