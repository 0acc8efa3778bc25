"""Camera angles as numbers that a network understands."""

from __future__ import annotations

import torch
from torch import Tensor

_AZIMUTH_HARMONICS = 8
CAMERA_FEATURES = 2 * _AZIMUTH_HARMONICS + 6 + 16


def camera_features(azimuth: Tensor, elevation: Tensor) -> Tensor:
    """Fourier features of camera angles (B,) in radians -> (B, `CAMERA_FEATURES`) in [-1, 1]."""
    order = torch.arange(1, _AZIMUTH_HARMONICS + 1, device=azimuth.device, dtype=azimuth.dtype)
    around = azimuth[:, None] * order
    up = elevation[:, None] * torch.tensor([1.0, 2.0, 4.0], device=elevation.device, dtype=elevation.dtype)
    circle = torch.cat([around.sin(), around.cos()], dim=1)
    height = torch.cat([up.sin(), up.cos()], dim=1)
    low = torch.cat([around[:, :4].sin(), around[:, :4].cos()], dim=1)
    products = torch.cat([low * elevation.sin()[:, None], low * (2 * elevation).sin()[:, None]], dim=1)
    return torch.cat([circle, height, products], dim=1)
