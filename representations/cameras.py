"""Cameras on a sphere around the object, the rays through their pixels, and how training cameras are drawn.

Right-handed coordinates, +Y up. A camera looks along -Z of its own frame at the origin. Azimuth 0 is in front
(the camera sits at +Z) and grows counter-clockwise seen from above. All angles are radians.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

DEFAULT_DISTANCE = 2.8
DEFAULT_FIELD_OF_VIEW = math.radians(38.0)


@dataclass(frozen=True)
class Cameras:
    """A batch of B pinhole cameras that look at the origin, and the background behind the object.

    Attributes:
        azimuth: (B,) radians.
        elevation: (B,) radians above the horizon, within [-pi/2, pi/2].
        distance: (B,) from the origin, in object units (the object lives in the unit sphere).
        field_of_view: (B,) full vertical angle in radians.
        background: (B, 3) colour in [0, 1].
        size: images are `size` x `size` pixels.
        jitter: (B, 3) in [0, 1), where within a pixel (across, down) and within a step (along the ray) all samples
            of an
            image lie; None is the middle of each. It is what keeps samples from always falling on the same voxels.
        look: (B,) int64, which of a representation's looks each image shows, see `representations.shading`; None is the
            first one, which is all that most have.
    """

    azimuth: Tensor
    elevation: Tensor
    distance: Tensor
    field_of_view: Tensor
    background: Tensor
    size: int
    jitter: Tensor | None = None
    look: Tensor | None = None

    def __post_init__(self) -> None:
        count = len(self.azimuth)
        for name in ("azimuth", "elevation", "distance", "field_of_view"):
            if getattr(self, name).shape != (count,):
                raise ValueError(f"Cameras.{name} must have shape ({count},), not {tuple(getattr(self, name).shape)}.")
        if self.background.shape != (count, 3):
            raise ValueError(f"Cameras.background must have shape ({count}, 3), not {tuple(self.background.shape)}.")
        if self.look is not None and self.look.shape != (count,):
            raise ValueError(f"Cameras.look must have shape ({count},), not {tuple(self.look.shape)}.")
        if self.size < 1:
            raise ValueError(f"Cameras.size must be at least 1 pixel, not {self.size}.")

    def __len__(self) -> int:
        return len(self.azimuth)

    def __getitem__(self, index: slice | Tensor) -> Cameras:
        """The cameras chosen by a slice, a mask or a tensor of indices."""
        return self._map(lambda value: value[index])

    def to(self, device: torch.device | str) -> Cameras:
        """The same cameras on another device."""
        return self._map(lambda value: value.to(device))

    def resized(self, size: int) -> Cameras:
        """The same cameras with images of `size` x `size` pixels."""
        return replace(self, size=size)

    def showing(self, look: int) -> Cameras:
        """The same cameras, all of one look."""
        return replace(self, look=torch.full_like(self.azimuth, look, dtype=torch.int64))

    @staticmethod
    def concatenate(parts: Sequence[Cameras]) -> Cameras:
        """All cameras of several batches; their images must have one size, and all or none jitter and looks."""
        if len({(part.size, part.jitter is None, part.look is None) for part in parts}) != 1:
            raise ValueError("Cameras of different image sizes, or with and without jitter or looks, cannot be joined.")
        jitters = [part.jitter for part in parts if part.jitter is not None]
        looks = [part.look for part in parts if part.look is not None]
        return Cameras(
            torch.cat([part.azimuth for part in parts]),
            torch.cat([part.elevation for part in parts]),
            torch.cat([part.distance for part in parts]),
            torch.cat([part.field_of_view for part in parts]),
            torch.cat([part.background for part in parts]),
            parts[0].size,
            torch.cat(jitters) if jitters else None,
            torch.cat(looks) if looks else None,
        )

    def _map(self, change: Callable[[Tensor], Tensor]) -> Cameras:
        return Cameras(
            change(self.azimuth),
            change(self.elevation),
            change(self.distance),
            change(self.field_of_view),
            change(self.background),
            self.size,
            None if self.jitter is None else change(self.jitter),
            None if self.look is None else change(self.look),
        )

    @property
    def rotation(self) -> Tensor:
        """(B, 3, 3) camera-to-world rotation; its columns are the camera's right, up and backward axes in the world."""
        sin_a, cos_a = self.azimuth.sin(), self.azimuth.cos()
        sin_e, cos_e = self.elevation.sin(), self.elevation.cos()
        right = torch.stack([cos_a, torch.zeros_like(cos_a), -sin_a], dim=-1)
        up = torch.stack([-sin_e * sin_a, cos_e, -sin_e * cos_a], dim=-1)
        backward = torch.stack([cos_e * sin_a, sin_e, cos_e * cos_a], dim=-1)
        return torch.stack([right, up, backward], dim=-1)

    @property
    def position(self) -> Tensor:
        """(B, 3) where the cameras stand in the world."""
        return self.rotation[:, :, 2] * self.distance[:, None]

    def rays(self, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Rays through the pixel centres (or where `jitter` says); row 0 is the top of the image.

        Args:
            rows: of the images; all H of them by default.

        Returns:
            origins (B, H, W, 3) and directions (B, H, W, 3) of unit length, in the world.
        """
        pixel = torch.arange(self.size, device=self.azimuth.device)
        across, down = (0.5, 0.5) if self.jitter is None else self.jitter[:, :2, None, None].unbind(dim=1)
        x = (pixel + across) * 2 / self.size - 1
        y = 1 - (pixel[rows, None] + down) * 2 / self.size
        plane = torch.stack(torch.broadcast_tensors(x, y, -torch.ones_like(x + y)), dim=-1)
        half_extent = torch.tan(self.field_of_view / 2)
        scale = torch.stack([half_extent, half_extent, torch.ones_like(half_extent)], dim=-1)
        directions = torch.einsum("bij,bhwj->bhwi", self.rotation * scale[:, None], plane.expand(len(self), -1, -1, 3))
        directions = directions / directions.norm(dim=-1, keepdim=True)
        return self.position[:, None, None, :].expand_as(directions), directions

    def sample_offsets(self, rows: slice = slice(None)) -> Tensor:
        """(B, H, W) in [0, 1): where within its step the first sample of each ray lies.

        Neighbouring pixels differ by the R2 sequence (Roberts 2018): a few of them together sample depth evenly,
        with less noise than independent numbers, and one number an image is all that has to be drawn.
        """
        if self.jitter is None:
            return torch.full((len(self), len(range(self.size)[rows]), self.size), 0.5, device=self.azimuth.device)
        index = torch.arange(self.size, device=self.azimuth.device)
        pattern = 0.5698402910 * index[rows, None] + 0.7548776662 * index[None, :]
        return (self.jitter[:, 2, None, None] + pattern) % 1

    def world_to_camera(self) -> Tensor:
        """(B, 4, 4) matrices that take homogeneous column vectors of the world into the camera's frame."""
        matrix = torch.zeros(len(self), 4, 4, device=self.azimuth.device, dtype=self.azimuth.dtype)
        inverse_rotation = self.rotation.transpose(1, 2)
        matrix[:, :3, :3] = inverse_rotation
        matrix[:, :3, 3] = -torch.einsum("bij,bj->bi", inverse_rotation, self.position)
        matrix[:, 3, 3] = 1
        return matrix

    def projection(self, near: float = 0.1, far: float = 10.0) -> Tensor:
        """(B, 4, 4) matrices from the camera's frame to OpenGL clip space (x right, y up, depth -1 at `near`).

        Raises:
            ValueError: unless 0 < near < far.
        """
        if not 0 < near < far:
            raise ValueError(f"projection needs 0 < near < far, not near={near}, far={far}.")
        matrix = torch.zeros(len(self), 4, 4, device=self.azimuth.device, dtype=self.azimuth.dtype)
        focal = 1 / torch.tan(self.field_of_view / 2)
        matrix[:, 0, 0] = focal
        matrix[:, 1, 1] = focal
        matrix[:, 2, 2] = (far + near) / (near - far)
        matrix[:, 2, 3] = 2 * far * near / (near - far)
        matrix[:, 3, 2] = -1
        return matrix


@dataclass(frozen=True)
class CameraSampler:
    """How training cameras are drawn: azimuths in equal strata, so that one batch sees the object from all sides.

    Attributes:
        size: pixels along one side of the image.
        elevation_range: radians; uniform between the two, except for
        overhead_probability: the share of cameras that look from `overhead_elevation` instead.
        azimuth_jitter: standard deviation in radians of what is added to each azimuth.
        distance_jitter, field_of_view_jitter: relative half widths of uniform jitter around the default values.
        white_probability: share of white backgrounds; the others are random grays, or
        coloured_backgrounds: random colours.
        together: so many cameras in a row look at the object evenly from around it, alike in all but azimuth.
        looks: shares of the looks that images show, in their order, see `Cameras.look`; none for `Cameras.look` None.

    Raises:
        ValueError: if the shares of looks are negative, or all zero.
    """

    size: int = 64
    elevation_range: tuple[float, float] = (math.radians(-8.0), math.radians(42.0))
    overhead_elevation: float = math.radians(60.0)
    overhead_probability: float = 0.1
    azimuth_jitter: float = 0.15
    distance: float = DEFAULT_DISTANCE
    distance_jitter: float = 0.03
    field_of_view: float = DEFAULT_FIELD_OF_VIEW
    field_of_view_jitter: float = 0.0
    white_probability: float = 0.3
    coloured_backgrounds: bool = False
    together: int = 1
    looks: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.looks and (min(self.looks) < 0 or sum(self.looks) <= 0):
            raise ValueError(f"CameraSampler.looks must be shares, not all zero: {self.looks}.")

    def __call__(self, count: int, generator: torch.Generator) -> Cameras:
        """Draws `count` cameras on the generator's device. Raises ValueError if it is no multiple of `together`."""
        if self.together > 1:
            return self._groups(count, generator)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator, device=generator.device)

        def jittered(value: float, relative: float) -> Tensor:
            return value * (1 + relative * (2 * uniform(count) - 1))

        strata = (torch.arange(count, device=generator.device) + uniform(1)) * (2 * math.pi / count)
        wobble = torch.randn(count, generator=generator, device=generator.device) * self.azimuth_jitter
        low, high = self.elevation_range
        elevation = low + (high - low) * uniform(count)
        overhead = uniform(count) < self.overhead_probability
        gray, colour, white = uniform(count, 1).expand(count, 3), uniform(count, 3), uniform(count, 1)
        background = colour if self.coloured_backgrounds else gray
        return Cameras(
            azimuth=(strata + wobble) % (2 * math.pi),
            elevation=torch.where(overhead, self.overhead_elevation, elevation),
            distance=jittered(self.distance, self.distance_jitter),
            field_of_view=jittered(self.field_of_view, self.field_of_view_jitter),
            background=torch.where(white < self.white_probability, 1.0, background),
            size=self.size,
            jitter=uniform(count, 3),
            look=self._looks(count, generator) if self.looks else None,
        )

    def _groups(self, count: int, generator: torch.Generator) -> Cameras:
        if count % self.together:
            raise ValueError(f"{count} cameras cannot be drawn {self.together} together")
        groups = count // self.together
        first = replace(self, together=1)(groups, generator)
        chosen = first[torch.arange(groups, device=generator.device).repeat_interleave(self.together)]
        turns = torch.arange(self.together, device=generator.device) * (2 * math.pi / self.together)
        return replace(chosen, azimuth=(chosen.azimuth + turns.repeat(groups)) % (2 * math.pi))

    def _looks(self, count: int, generator: torch.Generator) -> Tensor:
        """A look for each of ``count`` cameras, each look as often as its share says, to the whole number."""
        shares = torch.tensor(self.looks, device=generator.device)
        until = (shares / shares.sum()).cumsum(0)
        at = torch.arange(count, device=generator.device) + torch.rand(1, generator=generator, device=generator.device)
        look = torch.searchsorted(until, at / count, right=True).clamp(max=len(self.looks) - 1)
        return look[torch.randperm(count, generator=generator, device=generator.device)]


def turntable(count: int, elevation: float = math.radians(15.0), size: int = 64, background: float = 1.0) -> Cameras:
    """`count` default cameras evenly around the object, the first one in front, over a gray level in [0, 1]."""
    return Cameras(
        azimuth=torch.arange(count) * (2 * math.pi / count),
        elevation=torch.full((count,), elevation),
        distance=torch.full((count,), DEFAULT_DISTANCE),
        field_of_view=torch.full((count,), DEFAULT_FIELD_OF_VIEW),
        background=torch.full((count, 3), background),
        size=size,
    )
