"""Does every side of an object look like that side? Asked of the teacher itself, by its denoising error.

A teacher that knows views denoises a picture best when it is told where the picture was taken from. A back that shows
another face is denoised better when the teacher is told "front": that is the Janus problem, as a number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sds.denoiser import Condition, Teacher, View

TURNS = (0.0, math.pi / 2, math.pi, -math.pi / 2)
"""The views each picture is compared with: its own, and from the three other sides."""

CLEARLY = 0.05
"""By what share an error must be smaller to count: an object that is the same from all sides has no wrong side."""


@dataclass(frozen=True)
class ViewAgreement:
    """What the teacher says about pictures of one object from all sides.

    Attributes:
        janus_score: share of the side and back views that look clearly more like the front to the teacher; 0 is best.
        mistaken: share of all views that look clearly more like any other side; 0 is best.
        errors: shape (views, 4): the mean squared denoising error when told the own view, and turned by 90, 180 and
            270 degrees.
    """

    janus_score: float
    mistaken: float
    errors: Tensor


@dataclass(frozen=True)
class _TurnedView:
    """A view from elsewhere around the object."""

    azimuth: Tensor
    elevation: Tensor
    background: Tensor


@torch.no_grad()
def view_agreement(
    teacher: Teacher,
    images: Tensor,
    prompt: str,
    view: View,
    *,
    times: tuple[float, ...] = (0.4, 0.6, 0.8),
    seed: int = 0,
) -> ViewAgreement:
    """Compare pictures with what the teacher expects from each side.

    Args:
        teacher: must know views.
        images: shape (views, 3, height, width) in [0, 1], on any device.
        prompt: of the object.
        view: of each picture.
        times: the noise levels whose errors are averaged.
        seed: of the noise, which is the same for all turns.

    Raises:
        ValueError: if the teacher knows no views.
    """
    if not teacher.knows_views:
        raise ValueError("only a teacher that is told the camera as numbers can say which side a picture shows")
    count = len(images)
    conditions = [
        teacher.condition([prompt] * count, _TurnedView(view.azimuth + turn, view.elevation, view.background))
        for turn in TURNS
    ]
    x = teacher.encode(images.to(conditions[0].device))
    rng = torch.Generator().manual_seed(seed)
    errors = torch.zeros(count, len(TURNS))
    for time in times:
        t = torch.full((count,), time, dtype=torch.float64)
        x_t = teacher.schedule.add_noise(x, torch.randn(x.shape, generator=rng).to(x), t)
        x0 = teacher(x_t.repeat(len(TURNS), 1, 1, 1), t.repeat(len(TURNS)), Condition.concatenate(conditions))
        squared = (x0 - x.repeat(len(TURNS), 1, 1, 1)).square().flatten(1).mean(1)
        errors += squared.reshape(len(TURNS), count).T.cpu() / len(times)
    return judge(errors, view.azimuth)


def judge(errors: Tensor, azimuth: Tensor) -> ViewAgreement:
    """Scores from errors (views, 4) in the order of `TURNS` and azimuths (views,) in radians.

    The front is what lies within 45 degrees of azimuth 0. Each view is compared with the turn that brings it nearest.
    """
    own = errors[:, 0]
    mistaken = errors[:, 1:].min(1).values < (1 - CLEARLY) * own
    told = azimuth[:, None].cpu() + torch.tensor(TURNS)
    from_front = torch.atan2(told.sin(), told.cos()).abs()
    front_error = errors.gather(1, from_front.argmin(1, keepdim=True))[:, 0]
    elsewhere = from_front[:, 0] > math.pi / 4 + 1e-6
    janus = (front_error < (1 - CLEARLY) * own) & elsewhere
    return ViewAgreement(float(janus.sum() / elsewhere.sum().clamp(min=1)), float(mistaken.float().mean()), errors)
