"""Between one path and ever new noise: how much of its noise a student renews from step to step.

With gamma the share that is renewed, a step from t to s jumps to a lower level u and adds fresh noise up to s::

    sigma_u / alpha_u = sqrt(1 - gamma^2) sigma_s / alpha_s,      x_s = alpha_s / alpha_u x_u + fresh noise

gamma = 0 follows one path (`students.flow_map.sample_along`), gamma = 1 begins each time anew from the image
(`students.flow_map.sample_again`, the sampling of consistency models). Anything between is

* the gamma-sampling of consistency trajectory models (Kim et al. 2024, algorithm 3), for students that know every end;
* consistent annealed sampling (Jolicoeur-Martineau et al. 2021, algorithm 2), for denoisers: their x_{i+1} = x_i +
  eta sigma_i^2 score + beta sigma_{i+1} z keeps the level of the noise exactly, and is this with
  sqrt(1 - gamma^2) = (1 - eta) sigma_i / sigma_{i+1}. The paper ends with a denoising step, as every student does here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sds.denoiser import Condition
from sds.schedule import NoiseSchedule, scale, time_at
from students.flow_map import FlowMap, flow


def sample_renewing(
    student: FlowMap, noise: Sequence[Tensor], times: Sequence[float], condition: Condition, gamma: float
) -> Tensor:
    """Draw images, renewing a share of the noise between two steps.

    Args:
        student: a flow map that knows the ends it is asked for, or a denoiser as one.
        noise: for each time, shape (batch, ...); at the first time it stands for x_t, whatever its level.
        times: falling numbers in (0, 1].
        condition: what the student is told.
        gamma: the share, in [0, 1].

    Returns:
        The image x0, shape (batch, ...).

    Raises:
        ValueError: for a share outside [0, 1].
    """
    if not 0 <= gamma <= 1:
        raise ValueError(f"the share of the noise that is renewed lies in [0, 1], not {gamma}")
    levels = [torch.full((len(noise[0]),), time, dtype=torch.float64) for time in times]
    x = noise[0]
    for fresh, t, s in zip(noise[1:], levels[:-1], levels[1:], strict=True):
        u = level_below(student.schedule, s, gamma)
        x = raised(student.schedule, flow(student, x, t, u, condition), fresh, u, s)
    return flow(student, x, levels[-1], torch.zeros_like(levels[-1]), condition)


def level_below(schedule: NoiseSchedule, s: Tensor, gamma: float) -> Tensor:
    """u of the formula above, shape (batch,): where sigma / alpha is sqrt(1 - gamma^2) times that of ``s``."""
    if gamma == 0:
        return s
    alpha, sigma = schedule(s)
    return time_at(schedule, math.sqrt(1 - gamma**2) * sigma / alpha)


def raised(schedule: NoiseSchedule, x_u: Tensor, noise: Tensor, u: Tensor, s: Tensor) -> Tensor:
    """x_s for a state ``x_u`` of a lower level u <= s: a step of the forward process, with ``noise`` like ``x_u``."""
    (alpha_s, sigma_s), (alpha_u, sigma_u) = schedule(s), schedule(u)
    kept = alpha_s / alpha_u
    added = (sigma_s**2 - (kept * sigma_u) ** 2).clamp(min=0).sqrt()
    return scale(kept, x_u) * x_u + scale(added, x_u) * noise.to(x_u)
