"""Where 3D Gaussians fall in a picture, and how large they are there (Zwicker et al. 2001; Kerbl et al. 2023, eq. 5).

A camera here is OpenCV's, as in all programs of this kind: x to the right, y downwards, z into the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from representations.cameras import Cameras

BLUR = 0.3
"""Added to the variance in both directions of the picture, in pixels^2: no Gaussian is smaller than about a pixel."""

NEAR = 0.01
"""Gaussians whose centre is nearer to the camera's plane are not drawn."""

REACH = 3.33
"""Standard deviations: beyond, even an opaque Gaussian is below 1 / 255."""

BEYOND = 0.3
"""How far outside of the picture, in halves of it, the linear approximation is still taken where the centre is."""


@dataclass(frozen=True)
class Projected:
    """N Gaussians as one camera sees them.

    Attributes:
        centres: (N, 2) in pixels; (0, 0) is the upper left corner of the picture.
        conics: (N, 3): a, b, c of the falloff exp(-(a x^2 + c y^2) / 2 - b x y), in 1 / pixels^2.
        depths: (N,) along the viewing direction.
        radii: (N, 2) whole pixels beyond which nothing is seen, across and down; 0 where nothing is at all.
    """

    centres: Tensor
    conics: Tensor
    depths: Tensor
    radii: Tensor


def rotations(quaternions: Tensor) -> Tensor:
    """(N, 3, 3) rotations of quaternions (N, 4), w first, of any length but 0."""
    w, x, y, z = F.normalize(quaternions, dim=-1).unbind(-1)
    rows = (
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], dim=-1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], dim=-1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=-1),
    )
    return torch.stack(rows, dim=-2)


def covariances(quaternions: Tensor, scales: Tensor) -> Tensor:
    """R S S R^T, (N, 3, 3), of orientations (N, 4) and standard deviations (N, 3)."""
    half = rotations(quaternions) * scales[:, None, :]
    return half @ half.transpose(1, 2)


def opencv_views(cameras: Cameras) -> tuple[Tensor, Tensor]:
    """(B, 4, 4) from the world to OpenCV's camera, and (B,) focal lengths in pixels."""
    turned = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0])).to(cameras.azimuth)
    return turned @ cameras.world_to_camera(), cameras.size / 2 / torch.tan(cameras.field_of_view / 2)


def project(means: Tensor, covariance: Tensor, view: Tensor, focal: Tensor, size: int) -> Projected:
    """One camera's view of Gaussians; differentiable.

    Args:
        means: (N, 3) in the world.
        covariance: (N, 3, 3), see `covariances`.
        view: (4, 4) from the world to the camera.
        focal: in pixels, a scalar.
        size: pixels along one side of the picture, whose middle the camera looks at.
    """
    rotation = view[:3, :3]
    seen = means @ rotation.T + view[:3, 3]
    x, y, depth = seen.unbind(-1)
    # Behind the camera nothing is drawn, but nothing may become infinite either.
    z = torch.where(depth > NEAR, depth, 1.0)
    limit = (1 + BEYOND) * size / 2 / focal
    across, down = (x / z).clamp(-limit, limit), (y / z).clamp(-limit, limit)
    zero = torch.zeros_like(z)
    jacobian = torch.stack([focal / z, zero, -focal * across / z, zero, focal / z, -focal * down / z], dim=-1)
    jacobian = jacobian.reshape(-1, 2, 3) @ rotation
    in_picture = jacobian @ covariance @ jacobian.transpose(1, 2)
    a = in_picture[:, 0, 0] + BLUR
    b = in_picture[:, 0, 1]
    c = in_picture[:, 1, 1] + BLUR
    determinant = (a * c - b * b).clamp(min=1e-10)
    centres = focal * torch.stack([x / z, y / z], dim=-1) + size / 2
    with torch.no_grad():
        radii = torch.stack([a, c], dim=-1).sqrt().mul(REACH).ceil()
        inside = ((centres + radii > 0) & (centres - radii < size)).all(-1) & (depth > NEAR)
        radii = torch.where(inside[:, None], radii, 0.0).int()
    return Projected(centres, torch.stack([c, -b, a], dim=-1) / determinant[:, None], depth, radii)
