"""sRGB, as on screens and in images, and linear light, as renderers compute with (IEC 61966-2-1)."""

from __future__ import annotations

import numpy as np

from representations.geometry.mesh import Floats


def srgb_to_linear(colour: Floats) -> Floats:
    """SRGB values in [0, 1] to linear light in [0, 1]."""
    return np.where(colour <= 0.04045, colour / 12.92, ((np.maximum(colour, 0.04045) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(light: Floats) -> Floats:
    """Linear light in [0, 1] to sRGB values in [0, 1]."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)
