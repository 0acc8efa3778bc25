"""Pictures of triangle meshes that are differentiable in everything: colours, attributes and vertices.

What is discrete (which face a pixel sees, which edges are silhouettes) is found by compiled loops on the CPU. What is
continuous is computed from it in torch: barycentric coordinates, interpolation and the blending of silhouettes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from representations.mesh_topology import twin_edges
from representations.rasterizer import Visibility, rasterize
from representations.silhouettes import antialias, find_silhouettes


@dataclass(frozen=True)
class Fragments:
    """What B images of a mesh see: P fragments, one for each pixel that sees a face.

    Attributes:
        pixels: (P,) flat indices into B x H x W, increasing.
        corners: (P, 3) vertices of each fragment's face.
        barycentric: (P, 3) perspective-correct weights of the corners, differentiable in the vertices; they sum to 1.
        faces: (F, 3) of the mesh.
        screen: (B, V, 2) columns and rows of all vertices, differentiable.
        seen: for each image, on the CPU.
        size: H and W.
    """

    pixels: Tensor
    corners: Tensor
    barycentric: Tensor
    faces: NDArray[np.int32]
    screen: Tensor
    seen: tuple[Visibility, ...]
    size: int

    def interpolate(self, attributes: Tensor) -> Tensor:
        """(P, C) values between those of the vertices (V, C)."""
        around = attributes.index_select(0, self.corners.reshape(-1)).reshape(*self.corners.shape, attributes.shape[1])
        return (self.barycentric[:, :, None] * around).sum(dim=1)

    def images(self, values: Tensor, background: Tensor) -> Tensor:
        """(B, H, W, C) with the fragments' values (P, C) in their pixels, over a colour (B, C) for each image."""
        count = len(self.seen)
        flat = background[:, None, :].expand(count, self.size**2, -1).reshape(count * self.size**2, -1)
        return flat.index_copy(0, self.pixels, values).reshape(count, self.size, self.size, -1)

    def antialiased(self, images: Tensor) -> Tensor:
        """(B, H, W, C) images with blended silhouettes, through which vertices are moved; see `silhouettes`."""
        twins = twin_edges(self.faces, self.screen.shape[1])
        blended = []
        for image, screen, seen in zip(images, self.screen, self.seen, strict=True):
            where = find_silhouettes(screen.detach().cpu().numpy(), self.faces, twins, seen)
            blended.append(antialias(image, screen, where))
        return torch.stack(blended)


def rasterize_fragments(clip: Tensor, faces: NDArray[np.int32], size: int) -> Fragments:
    """Finds what each pixel sees.

    Args:
        clip: (B, V, 4) vertices in clip space, as in `representations.rasterizer.rasterize`.
        faces: (F, 3) indices of vertices.
        size: H and W.

    Raises:
        ValueError: as `rasterize`.
    """
    seen = tuple(rasterize(vertices, faces, size, size) for vertices in clip.detach().cpu().float().numpy())
    face = torch.from_numpy(np.stack([view.face for view in seen])).to(clip.device).reshape(-1)
    pixels = (face >= 0).nonzero()[:, 0]
    corners = torch.from_numpy(faces).to(clip.device).long()[face[pixels].long()]
    homogeneous = clip[..., [0, 1, 3]].reshape(-1, 3)
    of_image = (corners + (pixels // size**2)[:, None] * clip.shape[1]).reshape(-1)
    around = homogeneous.index_select(0, of_image).reshape(-1, 3, 3)
    column, row = pixels % size, pixels // size % size
    x, y = (column + 0.5) * (2 / size) - 1, 1 - (row + 0.5) * (2 / size)
    barycentric = perspective_barycentric(around, torch.stack([x, y], dim=1).to(clip))
    shift = torch.stack([(clip[..., 0] / clip[..., 3] + 1), (1 - clip[..., 1] / clip[..., 3])], dim=-1)
    return Fragments(pixels, corners, barycentric, faces, shift * (size / 2), seen, size)


def perspective_barycentric(corners: Tensor, point: Tensor) -> Tensor:
    """(P, 3) perspective-correct weights at points on the screen, by Cramer's rule.

    A point of the face is sum_i b_i q_i for corners q_i = (x, y, w) in clip space, and it lies on the ray of the point
    p = (x, y, 1): sum_i b_i q_i = w p. So b_i is proportional to the determinant in which p takes the place of q_i
    (Olano and Greer 1997), and no corner is ever divided by its own w.

    Args:
        corners: (P, 3, 3), the last axis being x, y, w.
        point: (P, 2) in [-1, 1].
    """
    a, b, c = corners.unbind(dim=1)
    ray = torch.cat([point, torch.ones_like(point[:, :1])], dim=1)
    areas = torch.stack([(torch.linalg.cross(u, v) * ray).sum(dim=1) for u, v in ((b, c), (c, a), (a, b))], dim=1)
    return areas / areas.sum(dim=1, keepdim=True)
