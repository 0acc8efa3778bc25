"""Pictures of triangle meshes that are differentiable in everything: colours, attributes and vertices.

What is discrete (which face a pixel sees, which edges are silhouettes) is found by compiled loops on the CPU. What is
continuous is computed from it in torch: barycentric coordinates, interpolation and the blending of silhouettes.

On CUDA, nvdiffrast (Laine et al. 2020) finds faces and blends silhouettes if it works there (`NVDIFFRAST`), or else
NVIDIA Warp does (`WARP_RASTERIZER`); without either the discrete part runs on the CPU as ever. No card was at hand:
Warp's kernels were compared with the compiled loops on the CPU, nvdiffrast was not run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from representations.accelerators import WARP, WARP_SOURCE, Accelerator
from representations.geometry.rasterizer import rasterize
from representations.geometry.topology import require_faces, twin_edges
from representations.surfaces.silhouettes import antialias, blended, find_silhouettes

_NOTHING_SEEN = 0x7F800000_FFFFFFFF
"""A key of `rasterizer_warp.rasterize`: the bits of an infinite depth, and face -1."""

Blend = Callable[[Tensor], Tensor]
"""From images (B, H, W, C) to the same with blended silhouettes."""


@dataclass(frozen=True)
class Fragments:
    """What B images of a mesh see: P fragments, one for each pixel that sees a face.

    Attributes:
        face: (B, H, W) the visible face, -1 where there is none; row 0 is the top.
        pixels: (P,) flat indices into B x H x W, increasing.
        corners: (P, 3) vertices of each fragment's face.
        barycentric: (P, 3) perspective-correct weights of the corners, differentiable in the vertices; they sum to 1.
        antialiased: from images (B, H, W, C) to images with blended silhouettes, through which vertices are moved; see
            `representations.surfaces.silhouettes`.
    """

    face: Tensor
    pixels: Tensor
    corners: Tensor
    barycentric: Tensor
    antialiased: Blend

    @property
    def view(self) -> Tensor:
        """(P,) the image that each fragment belongs to."""
        return self.pixels // self.face[0].numel()

    def interpolate(self, attributes: Tensor) -> Tensor:
        """(P, C) values between those of the vertices (V, C)."""
        around = attributes.index_select(0, self.corners.reshape(-1))
        around = around.reshape(*self.corners.shape, attributes.shape[1])
        return (self.barycentric[:, :, None] * around).sum(dim=1)

    def images(self, values: Tensor, background: Tensor) -> Tensor:
        """(B, H, W, C) with the fragments' values (P, C) in their pixels, over a colour (B, C) for each image."""
        behind = background[:, None, None, :].expand(*self.face.shape, -1)
        flat = behind.reshape(self.face.numel(), -1).index_copy(0, self.pixels, values)
        return flat.reshape(behind.shape)


def rasterize_fragments(clip: Tensor, faces: NDArray[np.int32], size: int) -> Fragments:
    """Finds what each pixel sees.

    Args:
        clip: (B, V, 4) vertices in clip space, as in `representations.geometry.rasterizer.rasterize`.
        faces: (F, 3) indices of vertices.
        size: H and W.

    Raises:
        ValueError: as `rasterize`.
    """
    require_faces(faces, clip.shape[1])
    face, blend = _back_end(clip)(clip, faces, size)
    pixels = (face.reshape(-1) >= 0).nonzero()[:, 0]
    corners = torch.from_numpy(faces).to(clip.device).long()[face.reshape(-1)[pixels].long()]
    view, row, column = pixels // size**2, pixels // size % size, pixels % size
    homogeneous = clip[..., [0, 1, 3]].reshape(-1, 3)
    around = homogeneous.index_select(0, (corners + (view * clip.shape[1])[:, None]).reshape(-1)).reshape(-1, 3, 3)
    point = torch.stack([(column + 0.5) * (2 / size) - 1, 1 - (row + 0.5) * (2 / size)], dim=1)
    return Fragments(face, pixels, corners, perspective_barycentric(around, point.to(clip)), blend)


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


def _back_end(clip: Tensor) -> Callable[[Tensor, NDArray[np.int32], int], tuple[Tensor, Blend]]:
    if NVDIFFRAST.works_for(clip):
        return _with_nvdiffrast
    return _with_warp if WARP_RASTERIZER.works_for(clip) else _with_compiled_loops


def _on_screen(clip: Tensor, size: int) -> Tensor:
    """(B, V, 2) columns and rows of vertices in clip space."""
    x, y = clip[..., 0] / clip[..., 3], clip[..., 1] / clip[..., 3]
    return torch.stack([x + 1, 1 - y], dim=-1) * (size / 2)


def _with_compiled_loops(clip: Tensor, faces: NDArray[np.int32], size: int) -> tuple[Tensor, Blend]:
    seen = [rasterize(vertices, faces, size, size) for vertices in clip.detach().cpu().float().numpy()]
    screen = _on_screen(clip, size)

    def blend(images: Tensor) -> Tensor:
        twins = twin_edges(faces, screen.shape[1])
        blended = []
        for image, points, visible in zip(images, screen, seen, strict=True):
            where = find_silhouettes(points.detach().cpu().numpy(), faces, twins, visible)
            blended.append(antialias(image, points, where))
        return torch.stack(blended)

    return torch.from_numpy(np.stack([visible.face for visible in seen])).to(clip.device), blend


def _with_warp(clip: Tensor, faces: NDArray[np.int32], size: int) -> tuple[Tensor, Blend]:
    """By kernels that run where the vertices are: on CUDA, or for tests on the CPU."""
    from representations import warp_arrays as warp
    from representations.surfaces import rasterizer_warp

    triangles = torch.from_numpy(np.ascontiguousarray(faces, np.int32)).to(clip.device)
    keys = torch.full((len(clip), size, size), _NOTHING_SEEN, dtype=torch.int64, device=clip.device)
    threads = len(clip), len(faces), rasterizer_warp.STRIPES
    corners = clip.detach().float().contiguous()
    warp.launch(
        rasterizer_warp.rasterize, threads, warp.vectors(corners), warp.indices(triangles), size, warp.array(keys)
    )
    face, depth = (half.contiguous() for half in keys.view(torch.int32).reshape(*keys.shape, 2).unbind(dim=-1))
    screen = _on_screen(clip, size)

    def blend(images: Tensor) -> Tensor:
        twins = torch.from_numpy(twin_edges(faces, clip.shape[1])).to(clip.device)
        ends = torch.zeros(*face.shape, 2, 3, dtype=torch.int32, device=clip.device)
        weights = torch.zeros(*face.shape, 2, device=clip.device)
        mesh = warp.vectors(screen.detach().float().contiguous()), warp.indices(triangles), warp.array(twins)
        seen = warp.array(face), warp.array(depth.view(torch.float32))
        warp.launch(
            rasterizer_warp.find_silhouettes, ends.shape[:4], *mesh, *seen, warp.indices(ends), warp.array(weights)
        )
        place = ends[..., 2].reshape(-1).nonzero()[:, 0]
        start, end, sign = ends.reshape(-1, 3)[place].long().unbind(dim=1)
        pixel, axis = place // 2, place % 2
        neighbour = pixel + torch.where(axis == 0, 1, size)
        pixels = torch.where(sign[:, None] > 0, torch.stack([pixel, neighbour], 1), torch.stack([neighbour, pixel], 1))
        vertices = torch.stack([start, end], dim=1) + (pixel // size**2 * clip.shape[1])[:, None]
        step = torch.stack([sign * (axis == 0), sign * (axis == 1)], dim=1).to(images)
        return blended(images, screen.reshape(-1, 2), pixels, vertices, step, weights.reshape(-1)[place].to(images))

    return face, blend


def _with_nvdiffrast(clip: Tensor, faces: NDArray[np.int32], size: int) -> tuple[Tensor, Blend]:
    """Its images have row 0 at the bottom, so everything is turned upside down before."""
    import nvdiffrast.torch as nvdiffrast

    upside_down = (clip * clip.new_tensor([1.0, -1.0, 1.0, 1.0])).float().contiguous()
    triangles = torch.from_numpy(faces).to(clip.device).contiguous()
    raster, _ = nvdiffrast.rasterize(_nvdiffrast_context(clip.device), upside_down, triangles, [size, size])

    def blend(images: Tensor) -> Tensor:
        return nvdiffrast.antialias(images.float().contiguous(), raster, upside_down, triangles)

    return raster[..., 3].long() - 1, blend


def _try_nvdiffrast() -> tuple[Tensor, Tensor]:
    corners = [[-0.8, -0.7, 0.0, 1.0], [0.9, -0.6, 0.0, 1.0], [-0.1, 0.8, 0.0, 1.0]]
    clip, faces = torch.tensor([corners], device="cuda").requires_grad_(), np.array([[0, 1, 2]], np.int32)
    face, blend = _with_nvdiffrast(clip, faces, 8)
    blend(face[..., None].float()).sum().backward()  # that it works: it weighs pixels by rules of its own
    assert clip.grad is not None
    return face, _with_compiled_loops(clip.detach(), faces, 8)[0]


NVDIFFRAST = Accelerator("nvdiffrast", "visibility and silhouettes of meshes on CUDA", _try_nvdiffrast)


def _try_warp() -> tuple[Tensor, Tensor]:
    corners = [[-0.8, -0.7, 0.0, 1.0], [0.9, -0.6, 0.0, 1.2], [-0.1, 0.8, 0.0, 1.0], [0.9, 0.9, 0.0, 1.1]]
    clip, faces = torch.tensor([corners], device="cuda"), np.array([[0, 1, 2], [2, 1, 3]], np.int32)
    pictures = []
    for back_end in (_with_warp, _with_compiled_loops):
        face, blend = back_end(clip, faces, 8)
        pictures.append(torch.cat([face[..., None].float(), blend(face[..., None].float())], dim=-1))
    return pictures[0], pictures[1]


WARP_RASTERIZER = Accelerator(WARP, "visibility and silhouettes of meshes on CUDA", _try_warp, WARP_SOURCE)


@cache
def _nvdiffrast_context(device: torch.device) -> Any:
    import nvdiffrast.torch as nvdiffrast

    return nvdiffrast.RasterizeCudaContext(device)
