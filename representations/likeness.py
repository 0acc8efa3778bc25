"""How much one shape looks like another from the same sides: the angle between their surfaces, and their outlines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from representations.cameras import Cameras
from representations.geometry.mesh import Mesh
from representations.geometry.rasterizer import rasterize


@dataclass(frozen=True)
class SeenShape:
    """A surface without its colours, as V cameras see it.

    Attributes:
        mask: (V, H, W) bool, where it is.
        normals: (V, H, W, 3) unit normals in the world, turned towards the camera; 0 where nothing is seen.
    """

    mask: NDArray[np.bool_]
    normals: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.mask.ndim != 3 or self.normals.shape != (*self.mask.shape, 3):
            raise ValueError(f"masks (V, H, W) and normals (V, H, W, 3), not {self.mask.shape}, {self.normals.shape}")


@dataclass(frozen=True)
class Likeness:
    """How much one shape looks like another.

    Attributes:
        angle: mean angle in degrees between their normals, over the pixels in which both are seen; nan if there are
            none. Between directions towards the camera that are drawn by chance it is about 57.
        overlap: intersection over union of their outlines, the mean over all views.
    """

    angle: float
    overlap: float


NOTHING_ALIKE = Likeness(math.nan, 0.0)
"""The likeness of a shape that has no surface."""


def seen_from(mesh: Mesh, cameras: Cameras) -> SeenShape:
    """What cameras see of a mesh, whose normals are interpolated between its vertices."""
    clip = (cameras.projection() @ cameras.world_to_camera()).double().numpy()
    corners = np.concatenate([mesh.vertices, np.ones((len(mesh.vertices), 1))], axis=1)
    masks, normals = [], []
    for position, to_clip in zip(cameras.position.double().numpy(), clip, strict=True):
        on_screen = (corners @ to_clip.T).astype(np.float32)
        seen = rasterize(on_screen, mesh.faces.astype(np.int32), cameras.size, cameras.size)
        mask = seen.face >= 0
        weights, vertices = seen.barycentric[mask][..., None], mesh.faces[seen.face[mask]]
        place, normal = ((weights * values[vertices]).sum(1) for values in (mesh.vertices, mesh.normals))
        picture = np.zeros((*mask.shape, 3), np.float32)
        picture[mask] = towards(normal, position - place)
        masks.append(mask)
        normals.append(picture)
    return SeenShape(np.stack(masks), np.stack(normals))


def towards(normals: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors (P, 3) of length 1 that point to the side of ``directions`` (P, 3): a sheet is seen from both sides."""
    turned = normals * np.where((normals * directions).sum(-1, keepdims=True) < 0, -1, 1)
    unit: NDArray[np.float64] = turned / np.maximum(np.linalg.norm(turned, axis=-1, keepdims=True), 1e-12)
    return unit


def likeness(made: SeenShape, real: SeenShape) -> Likeness:
    """How much two shapes look alike to the same cameras. They are compared where they are: nothing is aligned.

    Raises:
        ValueError: if they were seen by cameras of another number or size.
    """
    if made.mask.shape != real.mask.shape:
        raise ValueError(f"shapes seen in {made.mask.shape} and {real.mask.shape} pixels cannot be compared")
    both, either = (combine(made.mask, real.mask) for combine in (np.logical_and, np.logical_or))
    overlap = both.sum((1, 2)) / np.maximum(either.sum((1, 2)), 1)
    cosine = (made.normals[both] * real.normals[both]).sum(-1).clip(-1, 1)
    angle = float(np.degrees(np.arccos(cosine)).mean()) if both.any() else math.nan
    return Likeness(angle, float(overlap.mean()))


def nearest(made: SeenShape, reals: Sequence[SeenShape]) -> tuple[int, Likeness]:
    """The number of the shape whose outlines are most alike, and how much it is.

    Raises:
        ValueError: if there is none to compare with.
    """
    if not reals:
        raise ValueError("there is no shape to compare with")
    compared = [likeness(made, real) for real in reals]
    best = max(range(len(compared)), key=lambda number: compared[number].overlap)
    return best, compared[best]
