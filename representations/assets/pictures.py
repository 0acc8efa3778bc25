"""Pictures of a mesh as it would be seen elsewhere: its colours, and light if it is wanted. Not differentiable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from representations.assets.appearance import Places, colours_at, normals_at
from representations.assets.asset import Asset
from representations.assets.vertex_buffers import VertexBuffers, vertex_buffers
from representations.cameras import Cameras
from representations.geometry.mesh import Floats, Mesh
from representations.geometry.rasterizer import rasterize
from representations.shading import Lighting, Shading, headlight, lambertian

SUPERSAMPLING = 3
"""Samples along each side of a pixel."""


def render_mesh(mesh: Mesh, cameras: Cameras, lit: bool = False) -> Tensor:
    """What cameras see of a mesh without a material: its vertex colours; see `render_asset`."""
    return render_asset(Asset(mesh), cameras, lit)


def render_asset(
    asset: Asset,
    cameras: Cameras,
    lit: bool = False,
    shading: Shading = lambertian,
    lighting: Lighting = headlight,
) -> Tensor:
    """What cameras see of an asset.

    Args:
        asset: of one or several materials; white where it has no colours. What is transparent is drawn as if not.
        cameras: B of them, on the CPU.
        lit: whether it is shaded, by its normal map if it has one; colours that were learned from lit pictures need no
            light.
        shading, lighting: how, if so; by default it is matte under a headlight.

    Returns:
        (B, 3, H, W) in [0, 1] over the cameras' background.
    """
    light = lighting(cameras)
    pictures = []
    for camera, seen in enumerate(seen_by(asset, replace(cameras, size=cameras.size * SUPERSAMPLING))):
        colour = colours_at(asset, seen.places)[:, :3]
        if lit:
            both = (colour, normals_at(asset, seen.places, seen.buffers))
            albedo, normal = (torch.from_numpy(values.T[None, :, :, None]) for values in both)
            colour = shading(albedo, normal, light.of_views(torch.tensor([camera])))[0, :, :, 0].T.numpy()
        background = cameras.background[camera].double().numpy()
        picture = np.broadcast_to(background, (*seen.covered.shape, 3)).copy()
        picture[seen.covered] = colour
        pictures.append(picture)
    return smoothed(pictures, SUPERSAMPLING)


@dataclass(frozen=True)
class Seen:
    """What one camera sees of an asset.

    Attributes:
        covered: (H, W) where it sees any of it.
        places: those of the asset that these pixels show, row by row.
        buffers: whose normals and tangents are the asset's corners', if all faces have one material; None.
    """

    covered: NDArray[np.bool_]
    places: Places
    buffers: VertexBuffers | None


def seen_by(asset: Asset, cameras: Cameras) -> Iterator[Seen]:
    """What each camera sees of an asset, at the cameras' own size."""
    buffers = vertex_buffers(asset)
    own_buffers = buffers if asset.material_of is None and not asset.more_uv else None
    faces = buffers.faces.astype(np.int32)
    corners = np.concatenate([buffers.positions, np.ones((len(buffers.positions), 1))], axis=1)
    for clip in (cameras.projection() @ cameras.world_to_camera()).double().numpy():
        seen = rasterize((corners @ clip.T).astype(np.float32), faces, cameras.size, cameras.size)
        covered = seen.face >= 0
        places = Places(seen.face[covered], seen.barycentric[covered].astype(np.float64))
        yield Seen(covered, places, own_buffers)


def smoothed(pictures: Sequence[Floats], samples: int) -> Tensor:
    """(B, 3, H, W) in [0, 1] of B pictures (samples H, samples W, 3): the means of ``samples`` squared."""
    fine = torch.stack([torch.from_numpy(picture).float().permute(2, 0, 1) for picture in pictures])
    return F.avg_pool2d(fine, samples).clamp(0, 1)
