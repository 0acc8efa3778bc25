"""How far two images are apart, for regressions. Each maps two tensors (batch, ...) to a number each, (batch,)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

Distance = Callable[[Tensor, Tensor], Tensor]
"""(x, y), each of shape (batch, ...) -> (batch,), zero for equal images."""


def squared(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared difference."""
    return (x - y).square().flatten(1).mean(1)


def absolute(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference."""
    return (x - y).abs().flatten(1).mean(1)


def pseudo_huber(x: Tensor, y: Tensor) -> Tensor:
    """sqrt(|x - y|^2 + c^2) - c with c = 0.00054 sqrt(d): squared for small, absolute for large differences.

    Song & Dhariwal 2024 (iCT), section 3.3; d is the number of values of an image.
    """
    difference = (x - y).flatten(1)
    c = 0.00054 * math.sqrt(difference.shape[1])
    return (difference.square().sum(1) + c * c).sqrt() - c


def perceptual(features: Callable[[Tensor], Sequence[Tensor]], pixels: float = 0.0) -> Distance:
    """The distance between features, each scaled to unit length over its channels (Zhang et al. 2018, equation 1).

    This is no LPIPS, whose numbers need its own network and learned weights: see `students.features.lpips`.

    Args:
        features: images (batch, channels, height, width) -> tensors (batch, channels, ...), differentiable.
        pixels: how much of the mean squared difference is added, so that no pixel is left free.
    """

    def distance(x: Tensor, y: Tensor) -> Tensor:
        total = pixels * squared(x, y)
        for of_x, of_y in zip(features(x), features(y), strict=True):
            total = total + (unit_length(of_x) - unit_length(of_y)).square().sum(1).flatten(1).mean(1)
        return total

    return distance


def unit_length(feature: Tensor) -> Tensor:
    """Each place of a feature (batch, channels, ...) divided by its length over the channels."""
    return feature / feature.norm(dim=1, keepdim=True).clamp(min=1e-8)
