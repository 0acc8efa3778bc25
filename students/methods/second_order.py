"""Steps of second order from one evaluation: a head that knows how the prediction is about to change (GENIE).

Dockhorn et al. 2022 (GENIE) take a Taylor step in gamma = sigma / alpha for x / alpha, with a head k for d eps/d gamma.
Since eps = (x / alpha - D) / gamma along the path, d eps/d gamma = -(dD/d log gamma) / gamma^2, and the step becomes::

    x_s = ddim_step(x_t, D - (1 - r) / 2 * dD/d log gamma),        r = gamma_s / gamma_t

a DDIM step with the mean of the predictions on the way, to first order. It is finite at every noise level.

The head may be any flow map (`second_order`, `taylor`), or small and part of a student (`students.change_head`), whose
every jump is this step (`taylor_jump`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from sds.denoiser import Condition, Denoiser
from sds.schedule import scale
from sds.solvers import Solver, ddim_step
from students.change_head import taylor_share
from students.flow_map import FlowMap
from students.methods.continuous_consistency import SMALLEST_TIME, along_path
from students.methods.derivatives import with_derivative
from students.methods.targets import Learning, Objective, Target
from students.training.batches import Batch


def change_of_prediction(teacher: Denoiser, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
    """dD/d log gamma along the teacher's path through ``x_t``, shape of ``x_t``: exact, see `derivatives`.

    Args:
        teacher: whose path it is.
        x_t: shape (batch, ...).
        t: shape (batch,), above 0 and below 1.
        condition: what the teacher is told.
    """
    return prediction_and_change(teacher, x_t, t, condition)[1]


def prediction_and_change(teacher: Denoiser, x_t: Tensor, t: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
    """D and `change_of_prediction`, both of the shape of ``x_t``."""
    here = teacher(x_t, t, condition)

    def prediction(time: Tensor) -> Tensor:
        return teacher(along_path(teacher.schedule, x_t, here, t, time), time, condition)

    _, slope = with_derivative(prediction, t)
    _, fall = with_derivative(teacher.schedule.log_snr, t)
    return here, slope / scale(fall / -2, x_t)


def second_order(teacher: Denoiser) -> Objective:
    """The head's target: `change_of_prediction` at any noise level, with the weight of an image.

    A student of this objective is no flow map but the head of `taylor`.
    """

    def objective(learning: Learning, batch: Batch) -> Target:
        t = inner_times(learning, batch)
        x_t = teacher.schedule.add_noise(batch.x0, batch.noise, t)
        change = change_of_prediction(teacher, x_t, t, batch.condition)
        return Target(x_t, t, t, batch.condition, change, torch.ones_like(t))

    return objective


def taylor_jump(teacher: Denoiser) -> Objective:
    """What a student with a head shall predict: the jump of second order to the image, from any noise level.

    Its network already says what the ``teacher`` says, and is not trained; then this is the regression of the head on
    `change_of_prediction`, each half of it: from there to the image r is 0.
    """

    def objective(learning: Learning, batch: Batch) -> Target:
        t = inner_times(learning, batch)
        x_t = teacher.schedule.add_noise(batch.x0, batch.noise, t)
        here, change = prediction_and_change(teacher, x_t, t, batch.condition)
        x0 = here - taylor_share(teacher.schedule, t, 0 * t, x_t) * change
        return Target(x_t, t, 0 * t, batch.condition, x0, torch.ones_like(t))

    return objective


def inner_times(learning: Learning, batch: Batch) -> Tensor:
    """A time for each image of a batch, even between the ends, where there is no derivative to take."""
    return torch.rand(len(batch), dtype=torch.float64, generator=learning.rng).clamp(SMALLEST_TIME, 1 - SMALLEST_TIME)


def taylor(head: FlowMap) -> Solver:
    """The solver of a trained ``head``: one evaluation of the denoiser and one of the head for each step."""

    def step(denoiser: Denoiser, x_t: Tensor, t: Tensor, s: Tensor, condition: Condition) -> Tensor:
        share = taylor_share(denoiser.schedule, t, s, x_t)
        x0 = denoiser(x_t, t, condition) - share * head(x_t, t, t, condition)
        return ddim_step(denoiser.schedule, x_t, x0, t, s)

    return step
