"""Pictures of a mesh as it would be seen elsewhere: its colours, and light if it is wanted. Not differentiable."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from representations.assets.appearance import Places, colours_at, normals_at
from representations.assets.asset import Asset
from representations.assets.vertex_buffers import vertex_buffers
from representations.cameras import Cameras
from representations.geometry.mesh import Mesh
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
    side = cameras.size * SUPERSAMPLING
    buffers = vertex_buffers(asset)
    clip = (cameras.projection() @ cameras.world_to_camera()).double().numpy()
    corners = np.concatenate([buffers.positions, np.ones((len(buffers.positions), 1))], axis=1)
    own_buffers = buffers if asset.material_of is None and not asset.more_uv else None
    light = lighting(cameras)
    pictures = []
    for camera in range(len(cameras)):
        seen = rasterize((corners @ clip[camera].T).astype(np.float32), buffers.faces.astype(np.int32), side, side)
        covered = seen.face >= 0
        places = Places(seen.face[covered], seen.barycentric[covered].astype(np.float64))
        colour = colours_at(asset, places)[:, :3]
        if lit:
            both = (colour, normals_at(asset, places, own_buffers))
            albedo, normal = (torch.from_numpy(values.T[None, :, :, None]) for values in both)
            colour = shading(albedo, normal, light.of_views(torch.tensor([camera])))[0, :, :, 0].T.numpy()
        picture = np.broadcast_to(cameras.background[camera].double().numpy(), (side, side, 3)).copy()
        picture[covered] = colour
        pictures.append(torch.from_numpy(picture).float().permute(2, 0, 1))
    return F.avg_pool2d(torch.stack(pictures), SUPERSAMPLING).clamp(0, 1)
