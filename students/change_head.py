"""GENIE's head: how the prediction is about to change, from what the network has seen anyway (Dockhorn et al. 2022).

A small network on the features before the last layer of a UNet; they know the image, the noise level and the condition.
With it a student that predicts D at t becomes a flow map whose DDIM steps are of second order::

    student(x_t, t, s) = D(x_t, t) - (1 - r) / 2 * head,        r = gamma_s / gamma_t,    gamma = sigma / alpha

where the head is to be dD/d log gamma along the path; see `students.methods.second_order`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sds.precision import computing_type, learning_type
from sds.schedule import NoiseSchedule, scale

HEAD = "student_change"
"""The name of the head inside a network."""

WIDTH = 64
"""Channels of the head's hidden layers."""


def ratio(schedule: NoiseSchedule, t: Tensor, s: Tensor) -> Tensor:
    """gamma_s / gamma_t = (sigma_s alpha_t) / (alpha_s sigma_t), shape (batch,); zero from pure noise."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
    return sigma_s * alpha_t / (alpha_s * sigma_t)


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer, with weights and bias of zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class Head(nn.Module):
    """Three convolutions, told the noise level; the last begins at zero.

    Args:
        features: channels of what the network has seen.
        channels: of x.
    """

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.level = nn.Sequential(nn.Linear(2, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 2 * WIDTH))
        self.first = nn.Conv2d(features + 2 * channels, WIDTH, 3, padding=1)
        self.second = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.last = zeroed(nn.Conv2d(WIDTH, channels, 3, padding=1))

    def forward(self, seen: Tensor, angle: Tensor) -> Tensor:
        """From features, x_t and x0 beside each other, and atan2(sigma, alpha), (batch,), to the change of x0."""
        told = self.level(torch.stack([angle.cos(), angle.sin()], dim=1).to(seen))
        one, two = told[:, :, None, None].chunk(2, dim=1)
        return self.last(F.silu(self.second(F.silu(self.first(seen) + one)) + two))


class ChangeHead:
    """Adds a head to a network, and asks it. Until it is trained, steps are of first order.

    Args:
        network: a UNet of diffusers, or any network whose last layer is a convolution ``conv_out``; the head becomes
            part of it, and is saved with it.
        channels: of x.

    Raises:
        ValueError: for a network without such a layer.
    """

    def __init__(self, network: nn.Module, channels: int) -> None:
        last = getattr(network, "conv_out", None)
        if not isinstance(last, nn.Conv2d):
            raise ValueError(
                f"a {type(network).__name__} has no convolution conv_out, on whose features GENIE's head sits; choose "
                "a teacher that is a UNet, or another method"
            )
        head = Head(last.in_channels, channels)
        self.head = head.to(last.weight.device, learning_type(computing_type(network)))
        network.add_module(HEAD, self.head)
        last.register_forward_pre_hook(self._see)
        self._seen: Tensor | None = None

    def _see(self, module: nn.Module, inputs: Any) -> None:
        del module
        self._seen = inputs[0].detach()

    def __call__(self, x_t: Tensor, x0: Tensor, angle: Tensor) -> Tensor:
        """dD/d log gamma as the head sees it, shape of ``x_t``, right after the network has predicted ``x0``.

        The network itself learns nothing from what is asked here.
        """
        assert self._seen is not None
        seen, self._seen = self._seen, None  # what is kept here would live as long as the student
        own = self.head.first.weight
        return self.head(torch.cat([part.to(own) for part in (seen, x_t, x0.detach())], dim=1), angle).to(x0)


def taylor_share(schedule: NoiseSchedule, t: Tensor, s: Tensor, x: Tensor) -> Tensor:
    """(1 - r) / 2 of the formula above for times (batch,), as it multiplies images like ``x``."""
    return scale((1 - ratio(schedule, t, s)) / 2, x)
