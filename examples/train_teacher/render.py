"""Renders models into layers (`layers.py`), and finds out which of their materials a colour word repaints."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sds.teachers import layers
import numpy as np
from meshes import TexturedMesh, opaque_masks
from numpy.typing import NDArray

from representations.geometry.rasterizer import Cutout, Visibility, rasterize

CAMERA_DISTANCE = 2.8
FIELD_OF_VIEW = math.radians(38)
_DOMINANT_SHARE = 0.6
_LUMINANCE = np.array([0.3, 0.59, 0.11], np.float32)


@dataclass(frozen=True)
class ViewAngles:
    """Where a camera stands: angles in radians."""

    azimuth: float
    elevation: float


@dataclass(frozen=True)
class Seen:
    """The points that a camera sees of a mesh: P of the pixels of a square picture.

    Attributes:
        mask: (S, S) bool, the pixels.
        depth: (S, S) float32, distance along the viewing axis; infinite where nothing is seen.
        position, normal, colour: (P, 3) float32; unit normals turned towards the camera, colour without light.
        dominant: (P,) bool, whether a colour word repaints this part.
        luminance: (P,) float32, that of the colour relative to the dominant parts' mean.
    """

    mask: NDArray[np.bool_]
    depth: NDArray[np.float32]
    position: NDArray[np.float32]
    normal: NDArray[np.float32]
    colour: NDArray[np.float32]
    dominant: NDArray[np.bool_]
    luminance: NDArray[np.float32]


def sample_views(count: int, generator: np.random.Generator) -> list[ViewAngles]:
    """Cameras as score distillation samples them: all azimuths, mostly from -10 to 45 degrees of elevation."""
    views = []
    for i in range(count):
        low, high = (-10, 45) if generator.random() < 0.85 else (45, 80)
        azimuth = 2 * math.pi * (i + generator.random()) / count
        views.append(ViewAngles(azimuth, math.radians(generator.uniform(low, high))))
    return views


class LayeredRenderer:
    """Renders one mesh from many cameras.

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
        self._dominant = self._find_dominant_materials()

    def render(self, view: ViewAngles) -> NDArray[np.uint8]:
        """Returns the layers of a view, (`layers.CHANNELS`, size, size) uint8."""
        seen = self.see(view, self.size * self.supersampling)
        values = np.zeros((len(seen.position), layers.CHANNELS), np.float32)
        kept = ~seen.dominant
        values[kept, layers.FIXED] = seen.colour[kept]
        values[seen.dominant, layers.OWN] = seen.colour[seen.dominant]
        values[seen.dominant, layers.PAINTED] = seen.luminance[seen.dominant, None]
        values[:, layers.NORMAL] = seen.normal @ camera_axes(view) / 2 + 0.5
        values[:, layers.POSITION] = seen.position / 2 + 0.5
        values[:, layers.OPACITY] = 1
        picture = np.zeros((*seen.mask.shape, layers.CHANNELS), np.float32)
        picture[seen.mask] = values
        s, k = self.size, self.supersampling
        averaged = picture.reshape(s, k, s, k, layers.CHANNELS).mean(axis=(1, 3))
        return np.ascontiguousarray((averaged.clip(0, 1) * 255 + 0.5).astype(np.uint8).transpose(2, 0, 1))

    def see(self, view: ViewAngles, size: int) -> Seen:
        """What the camera sees, pixel by pixel."""
        visible = self._visibility(view, size)
        mask = visible.face >= 0
        face, weights = visible.face[mask], visible.barycentric[mask]
        position = np.einsum("pk,pkc->pc", weights, self.mesh.vertices[self.mesh.faces[face]])
        normal = np.einsum("pk,pkc->pc", weights, self.mesh.normals[face])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-20)
        towards = camera_position(view).astype(np.float32) - position
        normal *= np.where((normal * towards).sum(1) < 0, -1, 1)[:, None]
        colour = self._surface_colour(face, weights)
        # Relative luminance under a square root: dark textures become paintable, yet their pattern stays visible.
        relative = np.sqrt((colour @ _LUMINANCE) / max(self._dominant_luminance, 0.02))
        return Seen(
            mask,
            visible.depth,
            position.astype(np.float32),
            normal.astype(np.float32),
            colour,
            self._dominant[self.mesh.material[face]],
            np.clip(relative, 0.5, 1.2) / 1.2,
        )

    def _visibility(self, view: ViewAngles, size: int) -> Visibility:
        return rasterize(to_clip_space(self.mesh.vertices, view), self.mesh.faces, size, size, self._cutout)

    def _surface_colour(self, face: NDArray[np.int32], barycentric: NDArray[np.float32]) -> NDArray[np.float32]:
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
            face = self._visibility(view, 64).face
            visible += np.bincount(self.mesh.material[face[face >= 0]], minlength=len(visible))
        order = np.argsort(-visible, kind="stable")
        share = np.cumsum(visible[order]) / max(visible.sum(), 1)
        dominant = np.zeros(len(visible), np.bool_)
        dominant[order[: int(np.searchsorted(share, _DOMINANT_SHARE)) + 1]] = True
        weight = visible * dominant
        mean = (self.mesh.colour * weight[:, None]).sum(0) / max(weight.sum(), 1)
        self._dominant_luminance = float(mean @ _LUMINANCE)
        return dominant


def camera_axes(view: ViewAngles) -> NDArray[np.float32]:
    """(3, 3): the camera's right, up and backward axes in the world, as columns."""
    backward = camera_position(view) / CAMERA_DISTANCE
    right = np.array([math.cos(view.azimuth), 0.0, -math.sin(view.azimuth)])
    return np.stack([right, np.cross(backward, right), backward], axis=1).astype(np.float32)


def camera_position(view: ViewAngles) -> NDArray[np.float64]:
    """(3,) where the camera stands."""
    horizontal = math.cos(view.elevation)
    direction = [horizontal * math.sin(view.azimuth), math.sin(view.elevation), horizontal * math.cos(view.azimuth)]
    return CAMERA_DISTANCE * np.array(direction)


def to_clip_space(points: NDArray[np.float32], view: ViewAngles) -> NDArray[np.float32]:
    """(P, 4) clip coordinates of points (P, 3); w is the distance along the viewing axis."""
    in_camera = (points - camera_position(view)) @ camera_axes(view).astype(np.float64)
    clip = np.zeros((len(points), 4), np.float32)
    clip[:, :2] = in_camera[:, :2] / math.tan(FIELD_OF_VIEW / 2)
    clip[:, 3] = -in_camera[:, 2]
    return clip
