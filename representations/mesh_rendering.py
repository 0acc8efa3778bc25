"""Pictures of a mesh as it would be seen elsewhere: vertex colours, and light if it is wanted. Not differentiable."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from representations.cameras import Cameras
from representations.mesh import Mesh
from representations.rasterizer import rasterize
from representations.shading import headlight

SUPERSAMPLING = 3
"""Samples along each side of a pixel."""


def render_mesh(mesh: Mesh, cameras: Cameras, lit: bool = False) -> Tensor:
    """What cameras see of a mesh.

    Args:
        mesh: with vertex colours; without, it is white.
        cameras: B of them, on the CPU.
        lit: whether a headlight shades it; colours that were learned from lit pictures need none.

    Returns:
        (B, 3, H, W) in [0, 1] over the cameras' background.
    """
    side = cameras.size * SUPERSAMPLING
    colours = np.ones_like(mesh.vertices) if mesh.colours is None else mesh.colours
    clip = (cameras.projection() @ cameras.world_to_camera()).double().numpy()
    corners = np.concatenate([mesh.vertices, np.ones((len(mesh.vertices), 1))], axis=1)
    light = headlight(cameras)
    pictures = []
    for camera in range(len(cameras)):
        seen = rasterize((corners @ clip[camera].T).astype(np.float32), mesh.faces.astype(np.int32), side, side)
        covered = seen.face >= 0
        around = mesh.faces[seen.face[covered]]
        weights = seen.barycentric[covered][:, :, None]
        colour = (colours[around] * weights).sum(1)
        if lit:
            normal = (mesh.normals[around] * weights).sum(1)
            facing = np.maximum(normal @ light.direction[camera].double().numpy(), 0)
            colour = colour * (light.ambient + light.diffuse * facing)[:, None]
        picture = np.broadcast_to(cameras.background[camera].double().numpy(), (side, side, 3)).copy()
        picture[covered] = colour
        pictures.append(torch.from_numpy(picture).float().permute(2, 0, 1))
    return F.avg_pool2d(torch.stack(pictures), SUPERSAMPLING).clamp(0, 1)
