"""Deferred shading: colour from albedo, normal and light. All images are (B, 3, H, W)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from representations.cameras import Cameras


@dataclass(frozen=True)
class Light:
    """Light from far away plus light from everywhere.

    Attributes:
        direction: (B, 3) unit vectors towards the light.
        ambient, diffuse: brightness of a surface that faces away from the light, and what facing it adds.
    """

    direction: Tensor
    ambient: float = 0.5
    diffuse: float = 0.5

    def irradiance(self, normal: Tensor) -> Tensor:
        """(B, 1, H, W) Lambert's cosine law for unit normals (B, 3, H, W)."""
        cosine = torch.einsum("bchw,bc->bhw", normal, self.direction.to(normal))[:, None]
        return self.ambient + self.diffuse * cosine.clamp(min=0)


Shading = Callable[[Tensor, Tensor, Light], Tensor]
"""(albedo, normal, light) -> colour."""


def headlight(cameras: Cameras, ambient: float = 0.5, diffuse: float = 0.5) -> Light:
    """A light that stands halfway between each camera and the zenith."""
    halfway = cameras.rotation[:, :, 2] + torch.tensor([0.0, 1.0, 0.0], device=cameras.azimuth.device)
    return Light(halfway / halfway.norm(dim=-1, keepdim=True), ambient, diffuse)


def lambertian(albedo: Tensor, normal: Tensor, light: Light) -> Tensor:
    """A matte surface of the object's own colour."""
    return albedo * light.irradiance(normal)


def textureless(albedo: Tensor, normal: Tensor, light: Light) -> Tensor:
    """A matte white surface: nothing but shape (DreamFusion, section 3.1, against shape that is only painted on)."""
    return light.irradiance(normal).expand_as(albedo)
