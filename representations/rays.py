"""Rays, where they cross the unit sphere, and where along them samples lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rays:
    """R rays.

    Attributes:
        origins: (R, 3) in the world.
        directions: (R, 3), unit length.
        offsets: (R,) in [0, 1): where within its step the first sample of each ray lies.
    """

    origins: Tensor
    directions: Tensor
    offsets: Tensor

    def __post_init__(self) -> None:
        expected = (len(self.offsets), 3)
        if self.offsets.dim() != 1 or self.origins.shape != expected or self.directions.shape != expected:
            shapes = [tuple(tensor.shape) for tensor in (self.origins, self.directions, self.offsets)]
            raise ValueError(f"Rays must have shapes (R, 3), (R, 3) and (R,), not {shapes}.")

    def __len__(self) -> int:
        return len(self.offsets)

    def to(self, like: Tensor) -> Rays:
        """The same rays with the dtype and on the device of a tensor."""
        return Rays(self.origins.to(like), self.directions.to(like), self.offsets.to(like))


SMALLEST_STEP = 1e-5
"""Two hundred thousand samples across the unit sphere."""


@dataclass(frozen=True)
class Marching:
    """How rays are sampled: every `step` inside the unit sphere, while any light gets through.

    Attributes:
        step: distance between samples, in object units.
        stop_transmittance: a sample counts only while at least this share of the light still reaches it.
    """

    step: float = 2 / 48
    stop_transmittance: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.step <= 1:
            raise ValueError(f"Marching.step must lie in (0, 1], not {self.step}.")
        if self.step < SMALLEST_STEP:
            raise ValueError(f"Marching.step must be {SMALLEST_STEP:g} or more, not {self.step}: rays would never end.")
        if not 0 <= self.stop_transmittance < 1:
            raise ValueError(f"Marching.stop_transmittance must lie in [0, 1), not {self.stop_transmittance}.")


class RayIntegral(NamedTuple):
    """What R rays saw: sums over their samples, each weighted by the share of light that it sends to the camera."""

    features: Tensor
    """(R, C): the colour (premultiplied by opacity), then anything else that was integrated."""
    opacity: Tensor
    """(R,) in [0, 1]: sum of the weights."""
    depth: Tensor
    """(R,): sum of weight times distance (divide by opacity for the mean distance)."""


def sphere_span(rays: Rays) -> tuple[Tensor, Tensor]:
    """(R,) distances at which rays enter and leave the unit sphere; both 0 for rays that miss it."""
    middle = -(rays.origins * rays.directions).sum(dim=-1)
    nearest = rays.origins + middle[:, None] * rays.directions
    half = (1 - nearest.square().sum(dim=-1)).clamp(min=0).sqrt()
    near = (middle - half).clamp(min=0)
    far = (middle + half).clamp(min=0)
    return torch.where(half > 0, near, 0), torch.where(half > 0, far, 0)


def sample_distances(rays: Rays, step: float) -> tuple[Tensor, Tensor]:
    """Where the samples of each ray would lie if nothing stopped it.

    Returns:
        distances (R, K) along the rays and the mask (R, K) of those inside the unit sphere; K = ceil(2 / step).
    """
    near, far = sphere_span(rays)
    index = torch.arange(int(-(-2 // step)), device=near.device, dtype=near.dtype)
    distances = near[:, None] + (index + rays.offsets[:, None]) * step
    return distances, distances < far[:, None]
