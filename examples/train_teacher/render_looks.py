"""Renders models into the layers of `sds.teachers.layers`: colour without light, paintable parts, normals, position."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from render import LUMINANCE, ViewAngles, Viewer, camera_position

from sds.teachers import layers


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


class LookRenderer(Viewer):
    """Renders one mesh from many cameras; see `render.Viewer`."""

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
        visible = self.visibility(view, size)
        mask = visible.face >= 0
        face, weights = visible.face[mask], visible.barycentric[mask]
        position = np.einsum("pk,pkc->pc", weights, self.mesh.vertices[self.mesh.faces[face]])
        normal = np.einsum("pk,pkc->pc", weights, self.mesh.normals[face])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-20)
        towards = camera_position(view).astype(np.float32) - position
        normal *= np.where((normal * towards).sum(1) < 0, -1, 1)[:, None]
        colour = self.surface_colour(face, weights)
        # Relative luminance under a square root: dark textures become paintable, yet their pattern stays visible.
        relative = np.sqrt((colour @ LUMINANCE) / max(self.dominant_luminance, 0.02))
        return Seen(
            mask,
            visible.depth,
            position.astype(np.float32),
            normal.astype(np.float32),
            colour,
            self.dominant[self.mesh.material[face]],
            np.clip(relative, 0.5, 1.2) / 1.2,
        )


def camera_axes(view: ViewAngles) -> NDArray[np.float32]:
    """(3, 3): the camera's right, up and backward axes in the world, as columns."""
    backward = camera_position(view) / view.distance
    right = np.array([math.cos(view.azimuth), 0.0, -math.sin(view.azimuth)])
    return np.stack([right, np.cross(backward, right), backward], axis=1).astype(np.float32)
