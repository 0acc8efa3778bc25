"""What a student shall predict, for every method that is a regression. One equation.

::

    loss = E  weight * distance( student(x_t, t, s), x0 )              x0 is never differentiated

The methods differ in where they look (t and s) and in how they know x0. A method is an `Objective`: a function from a
batch to a `Target`. Here are those whose x0 is an image or what the teacher makes of it. Those that learn where the
teacher's own paths end are in `students.methods.pairs`, those where the student helps to make its own target in
`students.methods.bootstrap`.

    =================================  ===================  ==================================================
    `denoising`                        any t, s = t         the image itself (the loss of every diffusion model)
    `guidance_distillation`            any t, s = t         the teacher's guided prediction, its scale told
    `progressive`                      s = t - 1/N          two steps of the teacher
    =================================  ===================  ==================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sds.denoiser import Condition, Denoiser
from sds.ramps import Ramp, TimeRange
from sds.schedule import NoiseSchedule
from sds.solvers import Solver, ddim, ddim_target, even_times, solve
from students.flow_map import FlowMap
from students.guided_teacher import with_guidance
from students.levels import Times
from students.training.batches import Batch


@dataclass(frozen=True)
class StepTimes:
    """The times of a student's few steps, and no others.

    Attributes:
        times: in (0, 1], all visited equally often.
    """

    times: Sequence[float]

    def sample(self, count: int, progress: float, generator: torch.Generator) -> Tensor:
        """``count`` of the times, float64."""
        del progress
        table = torch.tensor(self.times, dtype=torch.float64)
        return table[torch.randint(len(table), (count,), generator=generator)]


ALL_TIMES = TimeRange(Ramp(0.01, 0.01), Ramp(1.0, 1.0))
"""All noise levels at which a prediction has something to say."""


@dataclass(frozen=True)
class Learning:
    """A student in the middle of its training.

    Attributes:
        student: with its present weights.
        average: with averaged weights, never trained; many methods' targets.
        progress: of the stage, in [0, 1].
        rng: of everything random.
    """

    student: FlowMap
    average: FlowMap
    progress: float
    rng: torch.Generator


@dataclass(frozen=True)
class Target:
    """What shall be predicted, and from what.

    Attributes:
        x_t: shape (batch, ...).
        t, s: float64 of shape (batch,), s <= t.
        condition: what the student is told.
        x0: what it shall predict, shape (batch, ...).
        weight: float64 of shape (batch,).
        compared: where prediction and target are compared, if not as they are: x0 -> something else of any shape.
    """

    x_t: Tensor
    t: Tensor
    s: Tensor
    condition: Condition
    x0: Tensor
    weight: Tensor
    compared: Callable[[Tensor], Tensor] = lambda x0: x0


def leading_to(
    schedule: NoiseSchedule, x_s: Tensor, x_t: Tensor, t: Tensor, s: Tensor, condition: Condition, weight: Tensor
) -> Target:
    """The target of a student that shall jump from ``x_t`` at ``t`` to ``x_s`` at ``s``."""
    return Target(x_t, t, s, condition, ddim_target(schedule, x_t, x_s, t, s), weight)


Objective = Callable[[Learning, Batch], Target]
"""A method. It is called without gradients."""


def velocity_weight(schedule: NoiseSchedule, t: Tensor) -> Tensor:
    """1 / sigma^2: an error of x0 as the error of v, or of the velocity of a flow, that it stands for.

    For variance-preserving schedules this is SNR + 1 (Salimans & Ho 2022, section 4).
    """
    return schedule.sigma(t).square().reciprocal()


def straight_weight(schedule: NoiseSchedule, t: Tensor) -> Tensor:
    """((alpha + sigma) / sigma)^2: an error of x0 as the error of the velocity of x_t / (alpha + sigma).

    Divided so, every path of noise and image is straight; on the straight paths of a flow it is `velocity_weight`.
    """
    alpha, sigma = schedule(t)
    return ((alpha + sigma) / sigma).square()


def truncated_snr(schedule: NoiseSchedule, t: Tensor) -> Tensor:
    """max(SNR, 1): errors of the noise, but never less than errors of the image (Salimans & Ho 2022, section 4)."""
    return schedule.log_snr(t).exp().clamp(min=1.0)


def denoising(schedule: NoiseSchedule, times: Times = ALL_TIMES) -> Objective:
    """x0 = the image that was noised, weighted as velocity.

    ::

        |v(y, r) - (noise - x0)|^2  =  |student(x_t) - x0|^2 / r^2,    y = x_t / (alpha + sigma) = (1 - r) x0 + r noise

    On real images with fresh noise this is flow matching, or rectified flow (Liu et al. 2023), and denoising score
    matching.
    """

    def objective(learning: Learning, batch: Batch) -> Target:
        t = times.sample(len(batch), learning.progress, learning.rng)
        x_t = schedule.add_noise(batch.x0, batch.noise, t)
        return Target(x_t, t, t, batch.condition, batch.x0, straight_weight(schedule, t))

    return objective


def guidance_distillation(teacher: Denoiser, times: Times = ALL_TIMES) -> Objective:
    """x0 = the guided prediction: one evaluation where the teacher needs two (Meng et al. 2023, equation 4).

    ``teacher`` is a `GuidedTeacher`. Under `at_random_guidance` the student learns every scale, as one of its inputs;
    without, the one scale of the batch.
    """

    def objective(learning: Learning, batch: Batch) -> Target:
        t = times.sample(len(batch), learning.progress, learning.rng)
        x_t = teacher.schedule.add_noise(batch.x0, batch.noise, t)
        x0 = teacher(x_t, t, batch.condition)
        return Target(x_t, t, t, batch.condition, x0, truncated_snr(teacher.schedule, t))

    return objective


def at_random_guidance(objective: Objective, lowest: float, highest: float) -> Objective:
    """``objective``, each image at its own guidance scale between two bounds, which a student can be told.

    With `guidance_distillation` this is the first stage of Meng et al. 2023, with `consistency` it is LCM.
    Raises ValueError for bounds that do not rise.
    """
    if not 0 < lowest <= highest:
        raise ValueError(f"guidance scales must rise from above 0, not from {lowest} to {highest}")

    def at_random(learning: Learning, batch: Batch) -> Target:
        scales = lowest + (highest - lowest) * torch.rand(len(batch), generator=learning.rng)
        condition = with_guidance(batch.condition, scales)
        return objective(learning, Batch(batch.noise, condition, batch.image, batch.states, batch.times))

    return at_random


def progressive(teacher: Denoiser, steps: int, solver: Solver = ddim) -> Objective:
    """x0 = what leads in one step where the teacher goes in two (progressive distillation, Salimans & Ho 2022).

    ::

        t = i / N,  i = 1 ... N;   x_s = two steps of the teacher, t -> t - 1/2N -> t - 1/N;   x0 = ddim_target(x_s)

    Args:
        teacher: the student of the stage before; the teacher itself in the first.
        steps: N, those of the student after this stage; half of the teacher's.
        solver: of the teacher's steps.

    Raises:
        ValueError: if N is not positive.
    """
    if steps < 1:
        raise ValueError(f"a student of progressive distillation needs one step or more, not {steps}")

    def objective(learning: Learning, batch: Batch) -> Target:
        i = torch.randint(1, steps + 1, (len(batch),), generator=learning.rng).double()
        t, s = i / steps, (i - 1) / steps
        x_t = teacher.schedule.add_noise(batch.x0, batch.noise, t)
        x_s = solve(teacher, x_t, even_times(t, s, 2), batch.condition, solver)
        weight = truncated_snr(teacher.schedule, t)
        return leading_to(teacher.schedule, x_s, x_t, t, s, batch.condition, weight)

    return objective


def halved(steps: int, student_steps: int) -> list[int]:
    """The numbers of steps of the stages of progressive distillation, from ``steps`` / 2 down to ``student_steps``.

    Raises ValueError if halving does not lead there.
    """
    stages = [steps]
    while stages[-1] > student_steps and stages[-1] % 2 == 0:
        stages.append(stages[-1] // 2)
    if stages[-1] != student_steps or len(stages) < 2:
        raise ValueError(
            f"progressive distillation halves the number of steps: {steps} steps of the teacher never become "
            f"{student_steps}; choose {student_steps} times a power of two, for example {student_steps * 16}"
        )
    return stages[1:]
