"""Pictures of a mesh as it would be seen elsewhere: its colours, and light if it is wanted. Not differentiable."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from representations.assets.asset import Asset
from representations.assets.textures import decoded_normals, sample_texture
from representations.assets.vertex_buffers import VertexBuffers, vertex_buffers
from representations.cameras import Cameras
from representations.geometry.mesh import Floats, Integers, Mesh
from representations.geometry.rasterizer import rasterize
from representations.shading import headlight

SUPERSAMPLING = 3
"""Samples along each side of a pixel."""


def render_mesh(mesh: Mesh, cameras: Cameras, lit: bool = False) -> Tensor:
    """What cameras see of a mesh without a material: its vertex colours; see `render_asset`."""
    return render_asset(Asset(mesh), cameras, lit)


def render_asset(asset: Asset, cameras: Cameras, lit: bool = False) -> Tensor:
    """What cameras see of an asset.

    Args:
        asset: with a texture, else vertex colours, else it is white.
        cameras: B of them, on the CPU.
        lit: whether a headlight shades it, by its normal map if it has one; colours that were learned from lit
            pictures need none.

    Returns:
        (B, 3, H, W) in [0, 1] over the cameras' background.
    """
    side = cameras.size * SUPERSAMPLING
    buffers = vertex_buffers(asset)
    clip = (cameras.projection() @ cameras.world_to_camera()).double().numpy()
    corners = np.concatenate([buffers.positions, np.ones((len(buffers.positions), 1))], axis=1)
    light = headlight(cameras)
    pictures = []
    for camera in range(len(cameras)):
        seen = rasterize((corners @ clip[camera].T).astype(np.float32), buffers.faces.astype(np.int32), side, side)
        covered = seen.face >= 0
        around, weights = buffers.faces[seen.face[covered]], seen.barycentric[covered][:, :, None]
        colour = _colours(asset, buffers, around, weights)
        if lit:
            normal = _normals(asset, buffers, around, weights)
            facing = np.maximum(normal @ light.direction[camera].double().numpy(), 0)
            colour = colour * (light.ambient + light.diffuse * facing)[:, None]
        picture = np.broadcast_to(cameras.background[camera].double().numpy(), (side, side, 3)).copy()
        picture[covered] = colour
        pictures.append(torch.from_numpy(picture).float().permute(2, 0, 1))
    return F.avg_pool2d(torch.stack(pictures), SUPERSAMPLING).clamp(0, 1)


def _colours(asset: Asset, buffers: VertexBuffers, around: Integers, weights: Floats) -> Floats:
    """(P, 3) sRGB colours of points between the vertices `around` (P, 3), by weights (P, 3, 1)."""
    if asset.material.base_colour is not None and buffers.uv is not None:
        return sample_texture(asset.material.base_colour, (buffers.uv[around] * weights).sum(1))
    if buffers.colours is not None:
        return (buffers.colours[around] * weights).sum(1)
    return np.ones((len(around), 3))


def _normals(asset: Asset, buffers: VertexBuffers, around: Integers, weights: Floats) -> Floats:
    """(P, 3) unit normals; with a normal map x T + y B + z N (Mikkelsen 2008)."""
    normal = (buffers.normals[around] * weights).sum(1)
    if asset.material.normal is not None and buffers.uv is not None and buffers.tangents is not None:
        x, y, z = decoded_normals(sample_texture(asset.material.normal, (buffers.uv[around] * weights).sum(1))).T
        tangent = (buffers.tangents[around, :3] * weights).sum(1)
        bitangent = buffers.tangents[around[:, 0], 3:] * np.cross(normal, tangent)
        normal = x[:, None] * tangent + y[:, None] * bitangent + z[:, None] * normal
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
