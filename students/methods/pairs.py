"""Regressions on pairs: a noise, and the image where the teacher's path from it ends.

::

    =============  =============  ====================================================================
    `one_pass`     t = 1, s = 0   where the noise's path ends: Luhman & Luhman, InstaFlow's last stage
    `reflow`       any t, s = t   the same, from the straight way there: rectified flow, InstaFlow
    `whole_path`   t = 1, any s   the path's state at s: DSNO
    =============  =============  ====================================================================

The loss is that of `students.methods.targets`; `students.training.pairs` draws the pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sds.schedule import NoiseSchedule, scale
from sds.solvers import ddim_step
from students.levels import Times
from students.methods.targets import ALL_TIMES, Learning, Objective, Target, denoising, leading_to
from students.training.batches import Batch


@dataclass(frozen=True)
class EndsTimes:
    """Both ends of the path more often than its middle (Lee et al. 2024, "Improving the training of rectified flows").

    ::

        density of t  ~  cosh(steepness (2 t - 1))

    On pairs of noise and image the middle is easy; at the noise is what one step needs.

    Attributes:
        steepness: 4 in the paper; 0 is even.
        lowest: no t below.
    """

    steepness: float = 4.0
    lowest: float = 0.01

    def sample(self, count: int, progress: float, generator: torch.Generator) -> Tensor:
        """``count`` times, float64: the inverse of the distribution at evenly spread numbers."""
        del progress
        spread = 2 * torch.rand(count, dtype=torch.float64, generator=generator) - 1
        ends = torch.asinh(spread * math.sinh(self.steepness)) / self.steepness if self.steepness else spread
        return ((1 + ends) / 2).clamp(min=self.lowest)


def one_pass(schedule: NoiseSchedule) -> Objective:
    """x0 = the end of the noise's path, predicted at once (Luhman & Luhman 2021; the last stage of InstaFlow).

    Needs pairs. The optimum of a squared distance is the teacher's own map, without any residue.
    """

    def objective(learning: Learning, batch: Batch) -> Target:
        del learning
        t = torch.ones(len(batch), dtype=torch.float64)
        return leading_to(schedule, batch.x0, batch.noise, t, torch.zeros_like(t), batch.condition, torch.ones_like(t))

    return objective


def reflow(schedule: NoiseSchedule, times: Times = ALL_TIMES) -> Objective:
    """x0 = where the noise's path ends, from anywhere on the straight way there (rectified flow, Liu et al. 2023).

    `denoising` on the pairs of a teacher: noise and image that belong to one path stay together, and in the student's
    own flow that path is straight (in y: of the schedule only r = sigma / (alpha + sigma) matters). The way begins at
    the noise of the pair, so what is added to the image is

    ::

        eps = (noise - alpha_1 x0) / sigma_1,      which is the noise where nothing is left of an image at t = 1

    since a student that had seen alpha_1 x0 in training would miss it in pure noise.
    """
    on_images = denoising(schedule, times)

    def objective(learning: Learning, batch: Batch) -> Target:
        alpha, sigma = (scale(at_one, batch.x0) for at_one in schedule(torch.ones(1, dtype=torch.float64)))
        return on_images(learning, replace(batch, noise=(batch.noise - alpha * batch.x0) / sigma))

    return objective


def whole_path(schedule: NoiseSchedule) -> Objective:
    """All states of the path at once, from its noise (DSNO, Zheng et al. 2023, equation 6).

    ::

        G(noise, 1 -> s) = x_s   for all kept s,   weighted by max(1, alpha / sigma) at s

    Needs pairs that keep states, and a student that is told the end. Each state is one row of the batch; with
    `students.temporal_fourier` they see each other, as in the paper's network.
    """

    def objective(learning: Learning, batch: Batch) -> Target:
        del learning
        states, times = batch.path
        count, ends = len(batch), len(times) - 1
        noise = batch.noise.repeat_interleave(ends, dim=0)
        s = times[1:].repeat(count)
        t = torch.ones_like(s)
        alpha, sigma = schedule(s)
        weight = (alpha / sigma.clamp(min=1e-2)).clamp(min=1.0)
        told = batch.condition[torch.arange(count).repeat_interleave(ends)]
        target = leading_to(schedule, states[:, 1:].flatten(0, 1), noise, t, s, told, weight)
        return replace(target, compared=lambda x0: ddim_step(schedule, noise, x0, t, s))

    return objective
