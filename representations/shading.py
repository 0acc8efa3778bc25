"""Deferred shading: colour from albedo, normal and light. All images are (B, 3, H, W)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from representations.cameras import Cameras


@dataclass(frozen=True)
class Light:
    """Light from far away plus light from everywhere.

    Attributes:
        direction: (B, 3) unit vectors towards the light.
        ambient, diffuse: brightness of a surface that faces away from the light, and what facing it adds.
        towards_camera: (B, 3) unit vectors; what shines needs them.
    """

    direction: Tensor
    ambient: float = 0.5
    diffuse: float = 0.5
    towards_camera: Tensor | None = None

    def of_views(self, view: Tensor) -> Light:
        """The light of each of P views, numbered (P,) among the B."""
        camera = None if self.towards_camera is None else self.towards_camera[view]
        return replace(self, direction=self.direction[view], towards_camera=camera)

    def irradiance(self, normal: Tensor) -> Tensor:
        """(B, 1, H, W) Lambert's cosine law for unit normals (B, 3, H, W)."""
        cosine = torch.einsum("bchw,bc->bhw", normal, self.direction.to(normal))[:, None]
        return self.ambient + self.diffuse * cosine.clamp(min=0)


Shading = Callable[[Tensor, Tensor, Light], Tensor]
"""(albedo, normal, light) -> colour."""


def headlight(cameras: Cameras, ambient: float = 0.5, diffuse: float = 0.5) -> Light:
    """A light that stands halfway between each camera and the zenith."""
    towards_camera = cameras.rotation[:, :, 2]
    halfway = towards_camera + torch.tensor([0.0, 1.0, 0.0], device=cameras.azimuth.device)
    return Light(F.normalize(halfway, dim=-1), ambient, diffuse, towards_camera)


def lambertian(albedo: Tensor, normal: Tensor, light: Light) -> Tensor:
    """A matte surface of the object's own colour."""
    return albedo * light.irradiance(normal)


def textureless(albedo: Tensor, normal: Tensor, light: Light) -> Tensor:
    """A matte white surface: nothing but shape (DreamFusion, section 3.1, against shape that is only painted on)."""
    return light.irradiance(normal).expand_as(albedo)


def metallic_roughness(roughness: float, metallic: float) -> Shading:
    """The material of glTF 2.0 (appendix B): a microfacet model (GGX; Walter et al. 2007) over a matte surface.

    Light is scaled so that a surface without reflections would be as bright as a `lambertian` one. The camera is taken
    to be far away. The sum may exceed 1 where a reflection shines, and is cut off there.

    Args:
        roughness: 0 is a mirror, 1 is chalk; at least 0.05, since a mirror would show the light as a point.
        metallic: 0 for everything that is not bare metal, else up to 1.
    """
    if not (0.05 <= roughness <= 1 and 0 <= metallic <= 1):
        raise ValueError(f"roughness must lie in [0.05, 1] and metallic in [0, 1], not {roughness} and {metallic}.")
    squared = roughness**4  # glTF's alpha is the square of the roughness, and alpha^2 is what the formulas need

    def shaded(albedo: Tensor, normal: Tensor, light: Light) -> Tensor:
        if light.towards_camera is None:
            raise ValueError("A material that shines needs to know where the camera is: Light.towards_camera.")
        to_light, to_camera = light.direction.to(normal), light.towards_camera.to(normal)
        half = F.normalize(to_light + to_camera, dim=-1)
        n_l, n_v, n_h = (
            torch.einsum("bchw,bc->bhw", normal, vector)[:, None].clamp(min=0) for vector in (to_light, to_camera, half)
        )
        l_h = (to_light * half).sum(dim=-1)[:, None, None, None]
        facets = squared / (math.pi * (n_h.square() * (squared - 1) + 1).square())
        masking = n_l * (n_v.square() * (1 - squared) + squared).sqrt()
        masking = masking + n_v * (n_l.square() * (1 - squared) + squared).sqrt()
        visibility = 0.5 / masking.clamp(min=1e-6)
        at_normal = 0.04 + (albedo - 0.04) * metallic
        fresnel = at_normal + (1 - at_normal) * (1 - l_h) ** 5
        matte = (1 - fresnel) * (1 - metallic) * albedo
        lit = light.diffuse * n_l * (matte + math.pi * facets * visibility * fresnel)
        return (light.ambient * albedo + lit).clamp(max=1)

    return shaded
