"""Deferred shading: colour from albedo, normal and light. All images are (B, 3, H, W).

A shading is also how a representation shows one of several *looks* of itself: without light (`unlit`), or the
directions of its surface as colours (`camera_normals`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
        sky: what facing straight up adds; half of it where a surface is upright.
        towards_camera: (B, 3) unit vectors; what shines needs them.
        axes: (B, 3, 3) the cameras' axes, see `Cameras.rotation`; what shows directions needs them.
    """

    direction: Tensor
    ambient: float = 0.5
    diffuse: float = 0.5
    sky: float = 0.0
    towards_camera: Tensor | None = None
    axes: Tensor | None = None

    def of_views(self, view: Tensor) -> Light:
        """The light of each of P views, numbered (P,) among the B."""
        camera = None if self.towards_camera is None else self.towards_camera[view]
        axes = None if self.axes is None else self.axes[view]
        return replace(self, direction=self.direction[view], towards_camera=camera, axes=axes)

    def irradiance(self, normal: Tensor) -> Tensor:
        """(B, 1, H, W) Lambert's cosine law for unit normals (B, 3, H, W), at most 1."""
        cosine = torch.einsum("bchw,bc->bhw", normal, self.direction.to(normal))[:, None]
        brightness = self.ambient + self.diffuse * cosine.clamp(min=0)
        if self.sky:
            brightness = brightness + self.sky / 2 * (1 + normal[:, 1:2])
        return brightness.clamp(max=1)


Lighting = Callable[[Cameras], Light]
"""What lights the pictures of cameras."""

Shading = Callable[[Tensor, Tensor, Light], Tensor]
"""(albedo, normal, light) -> colour."""


def headlight(cameras: Cameras, ambient: float = 0.5, diffuse: float = 0.5) -> Light:
    """A light that stands halfway between each camera and the zenith."""
    axes = cameras.rotation
    halfway = axes[:, :, 2] + torch.tensor([0.0, 1.0, 0.0], device=cameras.azimuth.device)
    return Light(F.normalize(halfway, dim=-1), ambient, diffuse, towards_camera=axes[:, :, 2], axes=axes)


def fixed_light(direction: Sequence[float], ambient: float, diffuse: float, sky: float = 0.0) -> Lighting:
    """A light that stands still in the world while cameras go round; see `Light`."""

    def shining(cameras: Cameras) -> Light:
        towards = torch.tensor(direction, dtype=cameras.azimuth.dtype, device=cameras.azimuth.device)
        axes = cameras.rotation
        return Light(F.normalize(towards, dim=0).expand(len(cameras), 3), ambient, diffuse, sky, axes[:, :, 2], axes)

    return shining


def lambertian(albedo: Tensor, normal: Tensor, light: Light) -> Tensor:
    """A matte surface of the object's own colour."""
    return albedo * light.irradiance(normal)


def unlit(albedo: Tensor, normal: Tensor, light: Light) -> Tensor:
    """The object's own colour, without any light."""
    del normal, light
    return albedo


def camera_normals(albedo: Tensor, normal: Tensor, light: Light) -> Tensor:
    """Unit normals as their camera sees them (right, up, towards it), n / 2 + 1 / 2 as red, green and blue."""
    del albedo
    if light.axes is None:
        raise ValueError("Directions are those that a camera sees: Light.axes says how it is turned.")
    return torch.einsum("bij,bihw->bjhw", light.axes.to(normal), normal) / 2 + 0.5


def looks_of(shading: Shading | Sequence[Shading] | None) -> tuple[Shading, ...]:
    """The ways in which a representation is shown: one, several, or none for its bare colour."""
    if shading is None:
        return ()
    return (shading,) if callable(shading) else tuple(shading)


def of_each_look(looks: Sequence[Shading], look: Tensor | None, albedo: Tensor, normal: Tensor, light: Light) -> Tensor:
    """Images that are each shaded in their own way.

    Args:
        looks: the ways.
        look: (B,) which of them; None is the first one throughout.
        albedo, normal: (B, 3, H, W).
        light: of the B images.
    """
    if look is None or len(looks) == 1:
        return looks[0](albedo, normal, light)
    shaded = torch.stack([shading(albedo, normal, light) for shading in looks])
    return shaded[look.to(albedo.device), torch.arange(len(albedo), device=albedo.device)]


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
