"""The layers of a view: what an object shows to a camera, and how pictures of any paint and any look are made of it.

All layers are multiplied by opacity, so that they can be averaged over a pixel and blended over any background.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
import torch.nn.functional as F
from torch import Tensor

from sds.teachers.materials import Paint

FIXED = slice(0, 3)
"""Colour, without light, of the parts that keep their colour."""
OWN = slice(3, 6)
"""Colour, without light, of the parts that can be painted, as they are by themselves."""
PAINTED = slice(6, 7)
"""Luminance of those parts relative to their mean, under a square root, in units of `LUMINANCE_SCALE`."""
NORMAL = slice(7, 10)
"""Unit normals seen from the camera (right, up, towards it), n / 2 + 1 / 2."""
POSITION = slice(10, 13)
"""Where the surface is, p / 2 + 1 / 2: what a material's pattern is a function of."""
OPACITY = slice(13, 14)
CHANNELS = 14

LUMINANCE_SCALE = 1.2


@dataclass(frozen=True)
class Light:
    """What falls on a surface: ambient light, the sky's from above, and one lamp's.

    Attributes:
        ambient, sky, lamp: how strong; the sky's counts fully for what faces up and not at all for what faces down.
        towards_lamp: a unit vector of the world.
    """

    ambient: float = 0.45
    sky: float = 0.125
    lamp: float = 0.4
    towards_lamp: tuple[float, float, float] = (0.3480, 0.7954, 0.4971)


DEFAULT_LIGHT = Light()
"""The light of lit pictures."""


class Look(Enum):
    """Which of the pictures of one view a teacher is asked about."""

    LIT = "lit"
    ALBEDO = "albedo"
    NORMALS = "normals"


LOOKS = tuple(Look)


def camera_rotation(azimuth: Tensor, elevation: Tensor) -> Tensor:
    """(B, 3, 3) whose columns are the cameras' right, up and backward axes in the world; angles (B,) in radians."""
    sin_a, cos_a = azimuth.sin(), azimuth.cos()
    sin_e, cos_e = elevation.sin(), elevation.cos()
    right = torch.stack([cos_a, torch.zeros_like(cos_a), -sin_a], dim=-1)
    up = torch.stack([-sin_e * sin_a, cos_e, -sin_e * cos_a], dim=-1)
    backward = torch.stack([cos_e * sin_a, sin_e, cos_e * cos_a], dim=-1)
    return torch.stack([right, up, backward], dim=-1)


def irradiance(normal: Tensor, light: Light = DEFAULT_LIGHT) -> Tensor:
    """The light on world normals (B, 3, H, W): (B, 1, H, W), at most 1."""
    lamp = torch.tensor(light.towards_lamp, dtype=normal.dtype, device=normal.device)
    cosine = torch.einsum("bchw,c->bhw", normal, lamp)[:, None].clamp(min=0)
    return (light.ambient + light.sky * (1 + normal[:, 1:2]) + light.lamp * cosine).clamp(max=1)


def all_looks(
    layers: Tensor,
    paints: list[Paint | None],
    azimuth: Tensor,
    elevation: Tensor,
    light: Light = DEFAULT_LIGHT,
) -> Tensor:
    """Every look of views, over nothing.

    Args:
        layers: (B, `CHANNELS`, H, W).
        paints: what the paintable parts of each view are painted with; None leaves them as they are.
        azimuth, elevation: (B,) of the cameras, radians.
        light: what lit pictures are lit by.

    Returns:
        (B, 10, H, W): the looks in the order of `LOOKS`, 3 channels each, multiplied by opacity; and opacity.
    """
    opacity = layers[:, OPACITY]
    solid = opacity.clamp(min=1e-3)
    albedo = layers[:, FIXED] + layers[:, OWN]
    for row, paint in enumerate(paints):
        if paint is not None:
            position = (layers[row, POSITION] / solid[row]) * 2 - 1
            cover = paint.colour_at(position.movedim(0, -1)).movedim(-1, 0)
            repainted = (layers[row, PAINTED] * LUMINANCE_SCALE * cover).clamp(max=1)
            albedo[row] = layers[row, FIXED] + torch.minimum(repainted, opacity[row])
    normal = F.normalize((layers[:, NORMAL] / solid) * 2 - 1, dim=1)
    in_world = torch.einsum("bij,bjhw->bihw", camera_rotation(azimuth, elevation).to(normal), normal)
    lit = albedo * irradiance(in_world, light)
    return torch.cat([lit, albedo, (normal / 2 + 0.5) * opacity, opacity], dim=1)


def picture(looks: Tensor, look: Tensor, background: Tensor) -> Tensor:
    """The looks asked for, over plain backgrounds.

    Args:
        looks: (B, 10, H, W), see `all_looks`.
        look: (B,) int64, indices into `LOOKS`.
        background: (B, 3) in [0, 1].

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    row = torch.arange(len(looks), device=looks.device)
    chosen = looks[:, :9].unflatten(1, (3, 3))[row, look]
    return (chosen + (1 - looks[:, 9:]) * background[:, :, None, None]).clamp(0, 1)
