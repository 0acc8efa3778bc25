"""Pictures as of a photographer's studio: soft light, and a floor that takes the shadow. Not differentiable.

The light comes from directions, each with a weight: a lamp, which is wide and so makes soft shadows, and the sky. For
each direction a map of depths says what it reaches. The irradiance of a point p with the normal n is::

    E = sum over i of  weight_i max(0, n . direction_i) reaches_i(p)  +  bounce

and 1 on the open floor, which keeps the colour of the background and is darker only where light is kept from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from representations.assets.appearance import colours_at, normals_at
from representations.assets.asset import Asset
from representations.assets.colour_space import linear_to_srgb, srgb_to_linear
from representations.assets.pictures import seen_by, smoothed
from representations.cameras import Cameras
from representations.compilation import compiled
from representations.geometry.mesh import Floats, Mesh
from representations.geometry.rasterizer import rasterize
from representations.threads import run_parts, split

SUPERSAMPLING = 2
"""Samples along each side of a pixel."""

MAP_SIDE = 256
FAR = 12.0
"""From where depths are measured, in radii of the object: so far away that rays are nearly parallel."""
ZOOM = (FAR - 1) / 1.02
"""At which a map shows the whole object and a little more."""
LEAK = 2.0
"""How far in texels of a map a point is lifted off its surface, so that it does not hide itself."""

FLOOR_CELLS = 256
FLOOR_REACH = 1.8
"""Half the side of the part of the floor that shadows are looked for on, in radii of the object."""


@dataclass(frozen=True)
class StudioLight:
    """What lights the studio.

    Attributes:
        towards_lamp: from the object; of any length, upwards.
        spread: half the angle in radians under which the lamp is seen.
        lamp, sky: shares of the light on the open floor.
        bounce: what a surface that faces down gets from the floor, as a share of the light on it.
        exposure: a factor on all light that surfaces send back; what faces the lamp gets more light than the floor.

    Raises:
        ValueError: for a lamp that does not stand above the floor, or light that is negative.
    """

    towards_lamp: tuple[float, float, float] = (-0.55, 0.75, 0.6)
    spread: float = 0.3
    lamp: float = 0.5
    sky: float = 0.5
    bounce: float = 0.25
    exposure: float = 1.0

    def __post_init__(self) -> None:
        if not (self.towards_lamp[1] > 0 and 0 < self.spread <= math.pi / 2):
            raise ValueError(
                f"a lamp shines from above: not from {self.towards_lamp}, seen under {self.spread} radians"
            )
        if min(self.lamp, self.sky, self.bounce, self.exposure) < 0:
            raise ValueError(f"no light is negative: {self}")

    def turned(self, azimuth: float) -> StudioLight:
        """The same light, turned about the vertical axis by radians: what lights a camera at 0 so lights one there."""
        x, y, z = self.towards_lamp
        sine, cosine = math.sin(azimuth), math.cos(azimuth)
        return replace(self, towards_lamp=(cosine * x + sine * z, y, cosine * z - sine * x))

    def directions(self) -> tuple[Floats, Floats]:
        """(N, 3) unit directions towards the light, and their weights (N,), whose sum of weight x height is 1."""
        of_lamp = _in_cone(np.array(self.towards_lamp), self.spread, 20)
        of_sky = _in_cone(np.array([0.0, 1.0, 0.0]), math.pi / 2, 44)
        parts = [(of_lamp, self.lamp), (of_sky, self.sky)]
        weights = [share / np.maximum(part[:, 1], 0).sum() * np.ones(len(part)) for part, share in parts]
        return np.concatenate([of_lamp, of_sky]), np.concatenate(weights)


def render_in_studio(asset: Asset, cameras: Cameras, light: StudioLight | None = None) -> Tensor:
    """Photographs of an asset that stands on a floor of the cameras' background.

    Args:
        asset: around the origin, +Y up, of one or several materials; what is transparent is drawn as if not.
        cameras: B of them, on the CPU; from below the floor nothing of it is seen.
        light: of the studio.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    light = light or StudioLight()
    shadows = _Shadows.of(asset.mesh, light)
    fine = replace(cameras, size=cameras.size * SUPERSAMPLING)
    pictures = []
    for camera, seen in enumerate(seen_by(asset, fine)):
        points = seen.places.of_corners(asset.mesh.vertices[asset.mesh.faces])
        received = shadows.irradiance(points, normals_at(asset, seen.places, seen.buffers))
        sent = srgb_to_linear(colours_at(asset, seen.places)[:, :3]) * received[:, None] * light.exposure
        picture = shadows.floor_seen_by(fine[camera : camera + 1])
        picture[seen.covered] = linear_to_srgb(np.clip(sent, 0, 1))
        pictures.append(picture)
    return smoothed(pictures, SUPERSAMPLING)


@dataclass(frozen=True)
class _Shadows:
    """What each light reaches.

    Attributes:
        light: of the studio.
        axes: (N, 3, 3) right, up and towards the light, as rows.
        weights: (N,).
        depths: (N, S, S) how far from each light's eye the first surface is, infinite where there is none.
        radius: of the object around the origin.
        floor: its height.
        on_floor: (C, C) the light on the floor, rows along z and columns along x.
    """

    light: StudioLight
    axes: Floats
    weights: Floats
    depths: NDArray[np.float32]
    radius: float
    floor: float
    on_floor: Floats

    @staticmethod
    def of(mesh: Mesh, light: StudioLight) -> _Shadows:
        directions, weights = light.directions()
        axes = np.stack([_axes(direction) for direction in directions])
        radius = max(1e-6, float(np.linalg.norm(mesh.vertices, axis=1).max(initial=0.0)))
        floor = float(mesh.vertices[:, 1].min(initial=0.0))
        faces = mesh.faces.astype(np.int32)
        depths = [rasterize(_projected(mesh.vertices, own, radius), faces, MAP_SIDE, MAP_SIDE).depth for own in axes]
        bare = _Shadows(light, axes, weights, np.stack(depths), radius, floor, np.zeros((0, 0)))
        across = (np.arange(FLOOR_CELLS) + 0.5) / FLOOR_CELLS * 2 - 1
        z, x = np.meshgrid(across * FLOOR_REACH * radius, across * FLOOR_REACH * radius, indexing="ij")
        points = np.stack([x, np.full_like(x, floor), z], axis=-1).reshape(-1, 3)
        upright = np.broadcast_to(np.array([0.0, 1.0, 0.0]), points.shape)
        return replace(bare, on_floor=bare.irradiance(points, upright).reshape(FLOOR_CELLS, FLOOR_CELLS))

    def irradiance(self, points: Floats, normals: Floats) -> Floats:
        """(P,) at points (P, 3) with unit normals (P, 3); 1 on the open floor."""
        received = np.empty(len(points))
        lift = LEAK * 2 * self.radius / MAP_SIDE
        lifted = np.ascontiguousarray(points + lift * normals)
        facing = np.ascontiguousarray(normals)

        def work(_: int, part: slice) -> None:
            received[part] = _gathered(
                lifted[part], facing[part], self.axes, self.weights, self.depths, FAR * self.radius, ZOOM
            )

        run_parts(work, split(len(points)))
        return received + self.light.bounce * (0.5 - 0.5 * normals[:, 1])

    def floor_seen_by(self, camera: Cameras) -> Floats:
        """(H, W, 3) the floor in the colour of the background, in sRGB, as one camera sees it."""
        origins, directions = (values[0].double().numpy() for values in camera.rays())
        background = camera.background[0].double().numpy()
        picture = np.broadcast_to(background, directions.shape).copy()
        with np.errstate(divide="ignore", invalid="ignore"):
            far = (self.floor - origins[..., 1]) / directions[..., 1]
            x, z = (origins[..., k] + far * directions[..., k] for k in (0, 2))
        reach = FLOOR_REACH * self.radius
        met = np.isfinite(far) & (far > 0) & (np.maximum(abs(x), abs(z)) < reach)
        if camera.position[0, 1] > self.floor and met.any():
            at = torch.from_numpy(np.stack([x[met], z[met]], axis=-1) / reach)[None, None]
            light = F.grid_sample(torch.from_numpy(self.on_floor)[None, None], at, "bilinear", "border", False)
            # Towards the edge of what was looked at, shadows fade: the floor has no edge.
            near = np.clip(2 - 2 * np.hypot(x[met], z[met]) / reach, 0, 1)
            share = 1 - near * (1 - np.minimum(light.numpy()[0, 0, 0], 1))
            picture[met] = linear_to_srgb(srgb_to_linear(background) * share[:, None])
        return picture


def _in_cone(axis: Floats, half_angle: float, count: int) -> Floats:
    """(count, 3) unit directions spread evenly over a cap around an axis (a Fibonacci lattice)."""
    i = np.arange(count)
    along = 1 - (i + 0.5) / count * (1 - math.cos(half_angle))
    turn = i * math.pi * (3 - math.sqrt(5))
    out = np.sqrt(1 - along**2)
    return np.stack([out * np.cos(turn), out * np.sin(turn), along], axis=1) @ _axes(axis)


def _axes(direction: Floats) -> Floats:
    """(3, 3) rows: two axes across a direction, and the unit direction."""
    towards = direction / np.linalg.norm(direction)
    aside = np.array([1.0, 0.0, 0.0]) if abs(towards[1]) > 0.9 else np.array([0.0, 1.0, 0.0])
    right = np.cross(aside, towards)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(towards, right), towards])


def _projected(points: Floats, axes: Floats, radius: float) -> NDArray[np.float32]:
    """(P, 4) points in the clip space of an eye `FAR` away along the last axis, which sees the whole ball."""
    x, y, towards = (points @ axes.T).T
    return np.stack([ZOOM * x, ZOOM * y, np.zeros_like(x), FAR * radius - towards], axis=1).astype(np.float32)


@compiled
def _gathered(
    points: Floats,
    normals: Floats,
    axes: Floats,
    weights: Floats,
    depths: NDArray[np.float32],
    distance: float,
    zoom: float,
) -> Floats:
    """The light that reaches points, see `_Shadows.irradiance`; ``distance`` and ``zoom`` are those of lights' eyes."""
    side = depths.shape[1]
    found = np.zeros(len(points))
    for place in range(len(points)):
        x, y, z = points[place]
        for i in range(len(weights)):
            right, up, towards = axes[i]
            cosine = normals[place, 0] * towards[0] + normals[place, 1] * towards[1] + normals[place, 2] * towards[2]
            if cosine <= 0:
                continue
            w = distance - (x * towards[0] + y * towards[1] + z * towards[2])
            column = int(np.floor((zoom * (x * right[0] + y * right[1] + z * right[2]) / w + 1) / 2 * side))
            row = int(np.floor((1 - zoom * (x * up[0] + y * up[1] + z * up[2]) / w) / 2 * side))
            inside = 0 <= column < side and 0 <= row < side
            if not inside or w <= depths[i, row, column]:
                found[place] += weights[i] * cosine
    return found
