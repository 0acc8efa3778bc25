"""Images on surfaces: looked up as graphics cards do, and kept as PNG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Pictures

from representations.assets.asset import Image
from representations.geometry.mesh import Floats


def sample_texture(image: Image, uv: Floats) -> Floats:
    """Bilinear lookup; not across the border.

    Args:
        image: (H, W, C) bytes, row 0 at the top (v = 1).
        uv: (P, 2), v upwards; the image repeats outside [0, 1].

    Returns:
        (P, C) in [0, 1].
    """
    height, width = image.shape[:2]
    uv = np.where((uv < 0) | (uv > 1), uv - np.floor(uv), uv)
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip((1 - uv[:, 1]) * height - 0.5, 0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = (x - left)[:, None], (y - top)[:, None]
    upper = image[top, left] * (1 - across) + image[top, right] * across
    lower = image[bottom, left] * (1 - across) + image[bottom, right] * across
    return (upper * (1 - down) + lower * down) / 255


def encoded_normals(normals: Floats) -> Floats:
    """Unit normals (P, 3) as colours in [0, 1]; (128, 128, 255) in bytes is flat."""
    return normals / 2 + 0.5


def decoded_normals(colours: Floats) -> Floats:
    """The inverse of `encoded_normals`."""
    return colours * 2 - 1


def png_bytes(image: Image) -> bytes:
    """An image (H, W, 3) as a PNG file."""
    buffer = io.BytesIO()
    Pictures.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


MOST_PIXELS = 8192**2
"""Larger images are refused: they would need gigabytes."""


class ImageError(ValueError):
    """An image that cannot be read; the message says why."""


def decoded_image(content: bytes) -> Image:
    """The picture in a PNG, JPEG or WebP file, as (H, W, 3) bytes; transparency is dropped.

    Raises:
        ImageError: if it is damaged, of another format, or larger than `MOST_PIXELS`.
    """
    try:
        with Pictures.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ImageError(f"a texture of {picture.width} x {picture.height} pixels is too large")
            return np.asarray(picture.convert("RGB"))
    except ImageError:
        raise
    except Exception as error:  # each decoder fails in its own way on damaged files
        raise ImageError(f"a texture cannot be read ({type(error).__name__}: {error})") from None
