"""Teachers on other noise levels than their own: straight paths, and the levels at which they have an answer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sds.denoiser import Condition, Denoiser, NeuralTeacher
from sds.schedule import NoiseSchedule, Prediction, flow_schedule, scale, time_at, time_at_angle
from students.flow_map import FlowMap
from students.teachers import AroundNeuralTeacher


class OnStraightPaths(AroundNeuralTeacher):
    """A neural teacher with the noise levels of a flow, x = (1 - s) x0 + s noise, whatever its own are.

    Dividing x_t by alpha + sigma makes any path straight in that sense, with s = sigma / (alpha + sigma); the clean
    image that belongs to it stays the same, and so do DDIM steps. A teacher that was never shown pure noise is asked
    for its last level beyond it, with as much noise as it knows there.
    """

    def __init__(self, teacher: NeuralTeacher) -> None:
        super().__init__(teacher)
        self._schedule = flow_schedule()

    @property
    def schedule(self) -> NoiseSchedule:
        """Straight paths."""
        return self._schedule

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """See `sds.denoiser.NeuralTeacher`."""
        return self.neural.denoise(network, *self._in_its_own_levels(x_t, t), condition)

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """See `sds.denoiser.Denoiser`."""
        return self.teacher(*self._in_its_own_levels(x_t, t), condition)

    def _in_its_own_levels(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        own = self.neural.schedule
        time = time_at_angle(own, torch.atan2(t, 1 - t))
        alpha, sigma = own(time)
        # Beyond its last level the noise is made what it is there: sigma / t, which below is alpha + sigma.
        stretch = torch.where(sigma / (alpha + sigma) < t - 1e-6, sigma / t, alpha + sigma)
        return x_t * scale(stretch, x_t), time


class BelowPureNoise(AroundNeuralTeacher):
    """A neural teacher whose t = 1 is a lower noise level than its own: what is above is never asked.

    Args:
        teacher: asked at t * top.
        top: its time at the new t = 1, in (0, 1].
    """

    def __init__(self, teacher: NeuralTeacher, top: float) -> None:
        super().__init__(teacher)
        self.top = top
        own = teacher.schedule
        self._schedule = NoiseSchedule(lambda t: own.coefficients(t * top), lambda t: own.told(t * top))

    @property
    def schedule(self) -> NoiseSchedule:
        """The lower part of the teacher's."""
        return self._schedule

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """See `sds.denoiser.NeuralTeacher`."""
        return self.neural.denoise(network, x_t, t * self.top, condition)

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """See `sds.denoiser.Denoiser`."""
        return self.teacher(x_t, t * self.top, condition)


def answerable(teacher: NeuralTeacher) -> NeuralTeacher:
    """``teacher``, or the part of it that a student can learn from.

    A network that predicts noise says x0 = (x_t - sigma eps) / alpha: its errors, and those of every student and critic
    that begins as its copy, are multiplied by sigma / alpha, and a loss of images by the square of that. Above
    `MOST_AMPLIFIED` what it says about an image is its error and nothing else, so that t = 1 becomes that level; a
    student of pure noise begins there. All else that a teacher may predict is bounded at every level.
    """
    top = answerable_time(teacher.schedule, prediction_of(teacher))
    return teacher if top == 1.0 else BelowPureNoise(teacher, top)


def answerable_time(schedule: NoiseSchedule, prediction: Prediction | None) -> float:
    """The largest t at which a network of this prediction type can be asked for an image; 1 for all but noise.

    It is a step of the network's own, so that a table of its noise levels can end with it.
    """
    if prediction is not Prediction.EPSILON:
        return 1.0
    first = float(time_at(schedule, torch.tensor([MOST_AMPLIFIED], dtype=torch.float64)))
    last_step = float(schedule.timestep(torch.ones(1, dtype=torch.float64)))
    return min(1.0, math.ceil(first * last_step - 1e-6) / last_step)  # up: what was cut there is not cut again


MOST_AMPLIFIED = 5.0
"""The largest sigma / alpha at which a prediction of noise is turned into an image in a training.

Below, pure noise is no longer what the teacher's paths hold; above, what a student errs by grows. Of a teacher of
digits on Stable Diffusion's schedule one-pass distillation ends at a Frechet distance of 0.27 from 10, at 0.24 from 5
and at 0.32 from 3.
"""


def amplification(network: Denoiser | FlowMap, t: Tensor) -> Tensor:
    """By what an error of a network is multiplied in x0, where that is more than 1. Shape of ``t``, float64.

    sigma / alpha for predictions of noise, which are not asked above `MOST_AMPLIFIED` whatever x_t is; what predicts
    anything else, or does not say what, errs by less in x0.
    """
    if prediction_of(network) is not Prediction.EPSILON:
        return torch.ones_like(t)
    alpha, sigma = network.schedule(t)
    return (sigma / alpha).clamp(1.0, MOST_AMPLIFIED)


def prediction_of(network: Denoiser | FlowMap) -> Prediction | None:
    """What it predicts; None if it does not say."""
    prediction = getattr(network, "prediction", None)
    return prediction if isinstance(prediction, Prediction) else None
