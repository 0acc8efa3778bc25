"""What a field of distances looks like from a camera: sphere tracing (Hart 1996), and the layers of what is hit.

Nothing here is differentiated: a teacher's mind is frozen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from sds.teachers.layers import CHANNELS, FIXED, NORMAL, OPACITY, OWN, PAINTED, POSITION, camera_rotation
from sds.teachers.shape_prior import HALF_SIDE, TRUNCATION
from sds.teachers.tracing_cpu import rays_meeting_again, trace_rays

DEFAULT_DISTANCE = 2.8
DEFAULT_FIELD_OF_VIEW = math.radians(38.0)

_HIT = 0.0015
_SHORTEST_STEP = 0.004
_CAUTION = 0.85
"""Share of a learned distance that is dared at once."""
_GRAZING = 0.3
"""The cosine between the surface's normal and the camera below which a ray grazes; from twice that on it does not."""
_STEPS = 72
_ROOMS = 24
_FARTHEST_LEAP = 6
"""Empty space is crossed in leaps: the cube is cut into `_ROOMS`^3 rooms, and a leap is so many of them at most."""
_DEEPER = 4
_STEPS_BEHIND = 56
_STEP_INSIDE = 0.008
"""How far behind the surface the deepest point of a thin part is looked for, in steps of this length."""


@dataclass(frozen=True)
class Eyes:
    """B cameras that look at the origin: azimuth, elevation (radians), distance and field of view, each (B,)."""

    azimuth: Tensor
    elevation: Tensor
    distance: Tensor
    field_of_view: Tensor

    @staticmethod
    def at(azimuth: Tensor, elevation: Tensor) -> Eyes:
        """Cameras at the distance, and with the field of view, that a teacher is used to."""
        return Eyes(
            azimuth,
            elevation,
            torch.full_like(azimuth, DEFAULT_DISTANCE),
            torch.full_like(azimuth, DEFAULT_FIELD_OF_VIEW),
        )

    def rays(self, size: int) -> tuple[Tensor, Tensor]:
        """Origins (B, 3) and unit directions (B, size, size, 3) through the pixels' centres, row 0 at the top."""
        pixel = (torch.arange(size, device=self.azimuth.device, dtype=self.azimuth.dtype) + 0.5) * 2 / size - 1
        half = torch.tan(self.field_of_view / 2)[:, None, None]
        plane = torch.stack(
            [half * pixel[None, None, :].expand(-1, size, -1), -half * pixel[None, :, None].expand(-1, -1, size)],
            dim=-1,
        )
        plane = torch.cat([plane, -torch.ones_like(plane[..., :1])], dim=-1)
        rotation = camera_rotation(self.azimuth, self.elevation)
        directions = F.normalize(torch.einsum("bij,bhwj->bhwi", rotation, plane), dim=-1)
        return rotation[:, :, 2] * self.distance[:, None], directions


@torch.no_grad()
def render_layers(field: Tensor, eyes: Eyes, size: int) -> Tensor:
    """The layers of one field seen by B cameras.

    Args:
        field: (9, S, S, S) over z, y, x, see `sds.teachers.shape_prior`.
        eyes: the cameras.
        size: side of the pictures.

    Returns:
        (B, `sds.teachers.layers.CHANNELS`, size, size), edges blended by how much of a pixel is covered.
    """
    # Rays in half precision would miss: where somebody trains under autocast, this is left out of it.
    with torch.autocast(field.device.type, enabled=False):
        return _layers(field, eyes, size)


def _layers(field: Tensor, eyes: Eyes, size: int) -> Tensor:
    origin, direction = eyes.rays(size)
    count = len(origin)
    origins = origin[:, None].expand(-1, size * size, -1).reshape(-1, 3)
    directions = direction.reshape(-1, 3)
    travelled, deepest = trace(field[:1], origins, directions)
    position = origins + travelled[:, None] * directions
    pixel = 2 * travelled * torch.tan(eyes.field_of_view / 2).repeat_interleave(size * size) / size
    # At the truncation nothing is known to be near, however large a pixel is.
    coverage = (0.5 - deepest / pixel).clamp(0, 1) * (deepest < 0.97 * TRUNCATION)
    again = meets_again(field[:1], origins, directions, travelled, coverage, pixel)
    coverage = torch.where(again, 1.0, coverage)
    layers = torch.zeros(len(position), CHANNELS, device=field.device)
    shown = _rows(coverage > 0)
    values, ahead = _read(field, position[shown]), directions[shown]
    colour, painted, luminance, normal = values[:, 1:4], values[:, 4:5], values[:, 5:6], values[:, 6:9]
    normal = F.normalize(normal, dim=1)
    rotation = camera_rotation(eyes.azimuth, eyes.elevation)[shown // size**2]
    seen = torch.einsum("pij,pi->pj", rotation, normal)
    # The learned normal of a thin sheet may be that of its other side.
    away = (normal * ahead).sum(1, keepdim=True) > 0
    seen = torch.where(away, -seen, seen)
    part = torch.zeros(len(values), CHANNELS, device=field.device)
    part[:, FIXED] = colour * (1 - painted)
    part[:, OWN] = colour * painted
    part[:, PAINTED] = luminance * painted
    part[:, NORMAL] = seen / 2 + 0.5
    part[:, POSITION] = position[shown] / 2 + 0.5
    part[:, OPACITY] = 1
    # Only where a ray grazes does the depth it reached tell of a pixel's share: a sheet met squarely fills it.
    squarely = ((seen[:, 2] - _GRAZING) / _GRAZING).clamp(0, 1) * (deepest[shown] <= _HIT)
    share = torch.where(coverage[shown] > 0, torch.maximum(coverage[shown], squarely), 0)
    layers[shown] = part * share[:, None]
    return layers.view(count, size, size, CHANNELS).permute(0, 3, 1, 2)


def _rows(wanted: Tensor) -> Tensor:
    """The rows (P,) to be computed: those that are wanted, but on a card all, since counting would make it wait."""
    return torch.arange(len(wanted), device=wanted.device) if wanted.is_cuda else wanted.nonzero()[:, 0]


def _read(field: Tensor, points: Tensor) -> Tensor:
    """(P, C) values of a field (C, S, S, S) at points (P, 3)."""
    place = (points / HALF_SIDE)[None, None, None].to(field)
    read = F.grid_sample(field[None], place, mode="bilinear", padding_mode="border", align_corners=False)
    return read[0, :, 0, 0].T


def trace(distance: Tensor, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Follows rays (R, 3) to the surface of a field of distances (1, S, S, S).

    Returns:
        How far each ray went (R,), to the surface or to where it passed it most closely; and the smallest distance
        (R,) to the surface on the way, negative where the ray went through.
    """
    if distance.device.type == "cpu":
        constants = (HALF_SIDE, TRUNCATION, _HIT, _SHORTEST_STEP, _CAUTION, _STEPS, _DEEPER, _STEP_INSIDE)
        rays = (_plain(ray) for ray in (origins, directions))
        found = trace_rays(_plain(distance[0]), _plain(_leaps(distance)), *rays, *constants)
        travelled, deepest = (torch.from_numpy(value) for value in found)
        return travelled, deepest
    return trace_all(distance, origins, directions)


def _plain(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().numpy(), np.float32)


def trace_all(distance: Tensor, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """`trace` on any device, all rays at once."""
    towards = -(origins * directions).sum(1)
    squared = towards.square() - origins.square().sum(1) + (0.99 * HALF_SIDE) ** 2
    half_chord = squared.clamp(min=0).sqrt()
    travelled = towards.clone()
    deepest = torch.full_like(travelled, TRUNCATION)
    end = towards + half_chord
    at = towards - half_chord
    going = squared > 0
    active = _rows(going)
    at, end, going = at[active], end[active], going[active]
    leap = _leaps(distance)
    for _ in range(_STEPS):
        place = origins[active] + at[:, None] * directions[active]
        here = _read(distance, place)[:, 0] * TRUNCATION
        closer = going & (here < deepest[active])
        deepest[active] = torch.where(closer, here, deepest[active])
        travelled[active] = torch.where(closer, at, travelled[active])
        x, y, z = ((place / HALF_SIDE + 1) * (_ROOMS / 2)).long().clamp(0, _ROOMS - 1).unbind(1)
        step = torch.maximum((here * _CAUTION).clamp(min=_SHORTEST_STEP), leap[z, y, x])
        going = going & (here > _HIT) & (at + step < end)
        at = torch.where(going, at + step, at)
        left = _rows(going)
        if not len(left):
            break
        active, at, end, going = active[left], at[left], end[left], going[left]
    hit = _rows(deepest <= _HIT)
    found = deepest[hit] <= _HIT
    for further in range(1, _DEEPER + 1):
        behind = origins[hit] + (travelled[hit] + further * _STEP_INSIDE)[:, None] * directions[hit]
        deeper = torch.minimum(deepest[hit], _read(distance, behind)[:, 0] * TRUNCATION)
        deepest[hit] = torch.where(found, deeper, deepest[hit])
    return travelled, deepest


def _leaps(distance: Tensor) -> Tensor:
    """How far nothing is near, from anywhere in each room (`_ROOMS`, `_ROOMS`, `_ROOMS`) over z, y, x."""
    taken = (F.adaptive_max_pool3d(-distance[None], _ROOMS) > -0.97).to(distance)
    if distance.device.type == "cpu":
        away = ndimage.distance_transform_cdt(taken[0, 0].numpy() == 0, metric="chessboard")
        # As many rooms as are surely free around; where nothing is taken at all, the distance is -1.
        rooms = np.where(away < 0, _FARTHEST_LEAP, np.clip(away - 1, 0, _FARTHEST_LEAP))
        return torch.from_numpy(rooms.astype(np.float32)) * (2 * HALF_SIDE / _ROOMS)
    free = torch.zeros_like(taken)
    for _ in range(_FARTHEST_LEAP):
        taken = F.max_pool3d(taken, 3, stride=1, padding=1)
        free += 1 - taken
    return free[0, 0] * (2 * HALF_SIDE / _ROOMS)


def meets_again(
    distance: Tensor, origins: Tensor, directions: Tensor, travelled: Tensor, coverage: Tensor, pixel: Tensor
) -> Tensor:
    """Whether rays (R,) that cover a pixel in part meet another surface behind: then no background shows through.

    An arm before a body would have a bright seam, the part of each pixel at its edge that the arm does not cover. A ray
    meets the body if it comes out of the arm and goes in again, or if it was never in the arm and goes in; and where
    the two grow together, if it comes half a pixel deep without having come out.
    """
    if distance.device.type == "cpu":
        told = (_plain(value) for value in (distance[0], origins, directions, travelled, coverage, pixel))
        constants = (HALF_SIDE, TRUNCATION, _HIT, _CAUTION, _STEPS_BEHIND, _DEEPER, _STEP_INSIDE)
        return torch.from_numpy(rays_meeting_again(*told, *constants))
    return all_meeting_again(distance, origins, directions, travelled, coverage, pixel)


def all_meeting_again(
    distance: Tensor, origins: Tensor, directions: Tensor, travelled: Tensor, coverage: Tensor, pixel: Tensor
) -> Tensor:
    """`meets_again` on any device, all rays at once."""
    partly = (coverage > 0) & (coverage < 1)
    rows = _rows(partly)
    at = travelled[rows] + _DEEPER * _STEP_INSIDE
    left = coverage[rows] < 0.5
    met = torch.zeros_like(left)
    for _ in range(_STEPS_BEHIND):
        here = _read(distance, origins[rows] + at[:, None] * directions[rows])[:, 0] * TRUNCATION
        met |= (left & (here <= _HIT)) | (here <= -pixel[rows] / 2)
        left |= here > 2 * _HIT
        at = at + (here.abs() * _CAUTION).clamp(min=_STEP_INSIDE)
    again = torch.zeros_like(partly)
    again[rows] = met & partly[rows]
    return again
