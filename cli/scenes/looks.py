"""The looks that a teacher can be asked for, and how a representation shows them."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from representations.shading import Lighting, Shading, camera_normals, fixed_light, lambertian, unlit
from sds.teachers.layers import DEFAULT_LIGHT, LOOKS, Look

STUDIO: Lighting = fixed_light(
    DEFAULT_LIGHT.towards_lamp, DEFAULT_LIGHT.ambient, DEFAULT_LIGHT.lamp, 2 * DEFAULT_LIGHT.sky
)
"""The light of lit pictures: of a teacher that knows looks, and of what is shown beside it."""

SHADING: dict[Look, Shading] = {Look.LIT: lambertian, Look.ALBEDO: unlit, Look.NORMALS: camera_normals}
SHADINGS = tuple(SHADING[look] for look in LOOKS)
"""How each look is drawn; `Cameras.look` numbers them as teachers do."""


@dataclass(frozen=True)
class LookShares:
    """How often a stage is judged by each look; the shares add up to anything.

    Attributes:
        lit: the colours in the light of a studio.
        albedo: the colours without light; paints.
        normals: the directions of the surface, seen from the camera; carves.
    """

    lit: float = 0.0
    albedo: float = 0.0
    normals: float = 0.0

    def __post_init__(self) -> None:
        if min(astuple(self)) < 0 or not any(astuple(self)):
            raise ValueError(f"shares of looks must not be negative, nor all zero: {self}")

    def in_order(self) -> tuple[float, ...]:
        """The shares in the order of `sds.teachers.layers.LOOKS`."""
        return tuple(float(getattr(self, look.value)) for look in LOOKS)


COLOURS_ALONE = LookShares(albedo=1.0)
"""What needs no surface: neither light nor directions."""
