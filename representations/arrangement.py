"""Several objects in one picture, each in its place: seen together, or one of them alone.

An object keeps its own coordinates, the unit sphere. Looking at an object that is moved, turned and scaled is looking
at the object where it was with a camera that is moved, turned and scaled the other way, so every representation that
cameras can look at can be placed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from representations.cameras import Cameras, CameraSampler


@dataclass(frozen=True)
class Place:
    """Where an object is in a scene.

    Attributes:
        position: of its origin.
        turn: about the vertical axis, radians, counter-clockwise seen from above.
        size: of its unit sphere.
    """

    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn: float = 0.0
    size: float = 1.0

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (*self.position, self.turn, self.size))) or self.size <= 0:
            raise ValueError(f"a place is finite, and its size positive: {self}")

    def rotation(self, like: Tensor) -> Tensor:
        """(3, 3) from the object's directions to the scene's."""
        sin, cos = math.sin(self.turn), math.cos(self.turn)
        return torch.tensor([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]]).to(like)

    def matrix(self, like: Tensor) -> Tensor:
        """(4, 4) from the object to the scene, for homogeneous column vectors."""
        matrix = torch.eye(4).to(like)
        matrix[:3, :3] = self.size * self.rotation(like)
        matrix[:3, 3] = torch.tensor(self.position).to(like)
        return matrix


@dataclass(frozen=True)
class PlacedCameras(Cameras):
    """Cameras of a scene as an object in it sees them: they need not look at its origin.

    Attributes:
        place: of the object.
    """

    place: Place = Place()

    @staticmethod
    def of(cameras: Cameras, place: Place) -> PlacedCameras:
        """The same cameras, seen from a place."""
        values = {field.name: getattr(cameras, field.name) for field in fields(Cameras)}
        return PlacedCameras(**values, place=place)

    @property
    def position(self) -> Tensor:
        """(B, 3) where the cameras stand, in the object's coordinates."""
        origin = torch.tensor(self.place.position).to(self.azimuth)
        return (super().position - origin) @ self.place.rotation(self.azimuth) / self.place.size

    def rays(self, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """As `Cameras.rays`, in the object's coordinates; lengths along them are in its units."""
        _, directions = super().rays(rows)
        turned = directions @ self.place.rotation(directions)
        return self.position[:, None, None, :].expand_as(turned), turned

    def world_to_camera(self) -> Tensor:
        """(B, 4, 4) from the object's coordinates to the camera's, which keeps the scene's units."""
        return self.in_scene().world_to_camera() @ self.place.matrix(self.azimuth)

    def in_scene(self) -> Cameras:
        """The same cameras as the scene sees them."""
        return Cameras(**{field.name: getattr(self, field.name) for field in fields(Cameras)})

    def _map(self, change: Callable[[Tensor], Tensor]) -> Cameras:
        return PlacedCameras.of(super()._map(change), self.place)


@dataclass(frozen=True)
class ArrangementDraw:
    """What to look at.

    Attributes:
        alone: the number of the object that is seen by itself, in its own coordinates; None: all, in their places.
        cameras: from where.
    """

    alone: int | None
    cameras: Cameras


@dataclass(frozen=True)
class ArrangementRendering:
    """What is seen.

    Attributes:
        image: (B, 3, H, W) in [0, 1].
        opacity: (B, 1, H, W) in [0, 1].
        parts: number and rendering of each object that is seen.
    """

    image: Tensor
    opacity: Tensor
    parts: Sequence[tuple[int, Any]]


class Arrangement(nn.Module):
    """Objects in their places.

    Args:
        objects: modules that turn cameras into renderings with ``image``, ``opacity`` and ``depth``.
        places: of each.
        sampler: how `draw` places cameras.
        share_alone: how often one of the objects is looked at by itself.
    """

    def __init__(
        self,
        objects: Sequence[nn.Module],
        places: Sequence[Place],
        sampler: CameraSampler | None = None,
        share_alone: float = 0.5,
    ) -> None:
        super().__init__()
        if not objects or len(objects) != len(places):
            raise ValueError(f"each object needs a place: {len(objects)} objects, {len(places)} places")
        if not 0 <= share_alone <= 1:
            raise ValueError(f"share_alone must lie in [0, 1], not {share_alone}")
        self.objects = nn.ModuleList(objects)
        self.places, self.sampler, self.share_alone = tuple(places), sampler or CameraSampler(), share_alone

    def draw(self, count: int, generator: torch.Generator) -> ArrangementDraw:
        """Choose cameras, and whether they see all objects or one."""
        alone = bool(torch.rand(1, generator=generator) < self.share_alone)
        which = int(torch.randint(len(self.objects), (1,), generator=generator))
        return ArrangementDraw(which if alone else None, self.sampler(count, generator))

    def forward(self, draw: ArrangementDraw) -> ArrangementRendering:
        """One object, or all of them: in each pixel the nearest surface is in front."""
        if draw.alone is not None:
            seen = self.objects[draw.alone](draw.cameras)
            return ArrangementRendering(seen.image, seen.opacity, [(draw.alone, seen)])
        over_black = Cameras(
            **{field.name: getattr(draw.cameras, field.name) for field in fields(Cameras)}
            | {"background": torch.zeros_like(draw.cameras.background)}
        )
        parts = [
            (number, one(PlacedCameras.of(over_black, place)))
            for number, (one, place) in enumerate(zip(self.objects, self.places, strict=True))
        ]
        images, opacities = (torch.stack([getattr(seen, name) for _, seen in parts]) for name in ("image", "opacity"))
        depths = torch.stack([seen.depth * place.size for (_, seen), place in zip(parts, self.places, strict=True)])
        order = torch.where(opacities > 0, depths, torch.inf).detach().argsort(dim=0)
        images, opacities = images.gather(0, order.expand_as(images)), opacities.gather(0, order)
        image, light = torch.zeros_like(images[0]), torch.ones_like(opacities[0])
        for nearer, stopped in zip(images, opacities, strict=True):
            image, light = image + light * nearer, light * (1 - stopped)
        background = draw.cameras.background.to(image)[:, :, None, None]
        return ArrangementRendering(image + light * background, 1 - light, parts)

    def penalty(self, rendering: ArrangementRendering, progress: float) -> Tensor:
        """The sum of the penalties of the objects that were seen."""
        members: list[Any] = list(self.objects)
        own = [members[number].penalty(seen, progress) for number, seen in rendering.parts]
        return torch.stack(own).sum()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Those of all objects."""
        members: list[Any] = list(self.objects)
        return [group for one in members for group in one.parameter_groups()]
