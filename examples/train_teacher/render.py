"""Finds what a camera sees of a model, its colours there, and which of its materials a colour word repaints."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from meshes import TexturedMesh, opaque_masks
from numpy.typing import NDArray

from representations.geometry.rasterizer import Cutout, Visibility, rasterize

CAMERA_DISTANCE = 2.8
FIELD_OF_VIEW = math.radians(38)
_DOMINANT_SHARE = 0.6
LUMINANCE = np.array([0.3, 0.59, 0.11], np.float32)


@dataclass(frozen=True)
class ViewAngles:
    """Where a camera stands: angles in radians, distance from the origin in scene units."""

    azimuth: float
    elevation: float
    distance: float = CAMERA_DISTANCE


def sample_views(count: int, generator: np.random.Generator) -> list[ViewAngles]:
    """Cameras as score distillation samples them: all azimuths, mostly from -10 to 45 degrees of elevation."""
    views = []
    for i in range(count):
        low, high = (-10, 45) if generator.random() < 0.85 else (45, 80)
        views.append(
            ViewAngles(
                azimuth=2 * math.pi * (i + generator.random()) / count,
                elevation=math.radians(generator.uniform(low, high)),
                distance=CAMERA_DISTANCE * generator.uniform(0.95, 1.05),
            )
        )
    return views


class Viewer:
    """Looks at one mesh from many cameras.

    Args:
        mesh: what to render.
        size: side of the square picture in pixels.
        supersampling: rays along each side of a pixel.
    """

    def __init__(self, mesh: TexturedMesh, size: int = 64, supersampling: int = 3) -> None:
        self.mesh = mesh
        self.size = size
        self.supersampling = supersampling
        masks = opaque_masks(mesh)
        holes = ~masks.all(axis=(1, 2)) if len(masks) else np.zeros(0, np.bool_)
        texture_of_face = mesh.texture[mesh.material]
        pierced = (texture_of_face >= 0) & holes[np.maximum(texture_of_face, 0)] if len(holes) else texture_of_face >= 0
        self._cutout = Cutout(mesh.uv, masks, np.where(pierced, texture_of_face, -1)) if pierced.any() else None
        self.dominant = self._find_dominant_materials()

    def visibility(self, view: ViewAngles, size: int) -> Visibility:
        """Which face each pixel of a picture of this size sees."""
        return rasterize(to_clip_space(self.mesh.vertices, view), self.mesh.faces, size, size, self._cutout)

    def surface_colour(self, face: NDArray[np.int32], barycentric: NDArray[np.float32]) -> NDArray[np.float32]:
        """Colours (P, 3) without light of points on faces (P,), by weights (P, 3) of their corners."""
        mesh = self.mesh
        material = mesh.material[face]
        colour = mesh.colour[material].copy()
        texture = mesh.texture[material]
        textured = texture >= 0
        if textured.any():
            uv = np.einsum("pk,pkc->pc", barycentric[textured], mesh.uv[face[textured]])
            uv -= np.floor(uv)
            side = mesh.textures.shape[1]
            x = np.minimum((uv[:, 0] * side).astype(np.int64), side - 1)
            y = np.minimum(((1 - uv[:, 1]) * side).astype(np.int64), side - 1)
            colour[textured] = mesh.textures[texture[textured], y, x, :3].astype(np.float32) / 255
        return colour

    def _find_dominant_materials(self) -> NDArray[np.bool_]:
        """The materials that show most, until they make up 60 % of what is seen: those a colour word repaints."""
        visible = np.zeros(len(self.mesh.colour))
        for view in (ViewAngles(0.6, 0.4), ViewAngles(2.7, 0.2), ViewAngles(4.4, 0.4)):
            face = self.visibility(view, 64).face
            visible += np.bincount(self.mesh.material[face[face >= 0]], minlength=len(visible))
        order = np.argsort(-visible, kind="stable")
        share = np.cumsum(visible[order]) / max(visible.sum(), 1)
        dominant = np.zeros(len(visible), np.bool_)
        dominant[order[: int(np.searchsorted(share, _DOMINANT_SHARE)) + 1]] = True
        weight = visible * dominant
        mean = (self.mesh.colour * weight[:, None]).sum(0) / max(weight.sum(), 1)
        self.dominant_luminance = float(mean @ LUMINANCE)
        self.dominant_colour = mean.astype(np.float32)
        return dominant


def camera_position(view: ViewAngles) -> NDArray[np.float64]:
    """(3,) where the camera stands."""
    horizontal = math.cos(view.elevation)
    direction = [
        horizontal * math.sin(view.azimuth),
        math.sin(view.elevation),
        horizontal * math.cos(view.azimuth),
    ]
    return view.distance * np.array(direction)


def to_clip_space(vertices: NDArray[np.float32], view: ViewAngles) -> NDArray[np.float32]:
    """(P, 4) clip coordinates of points (P, 3); w is the distance along the viewing axis."""
    position = camera_position(view)
    backward = position / view.distance
    right = np.cross([0.0, 1.0, 0.0], backward)
    right /= np.linalg.norm(right)
    up = np.cross(backward, right)
    in_camera = (vertices - position) @ np.stack([right, up, backward], axis=1)
    focal = 1 / math.tan(FIELD_OF_VIEW / 2)
    clip = np.zeros((len(vertices), 4), np.float32)
    clip[:, :2] = in_camera[:, :2] * focal
    clip[:, 3] = -in_camera[:, 2]
    return clip
