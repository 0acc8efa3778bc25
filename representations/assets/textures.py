"""Images on surfaces: looked up as graphics cards do, read from other people's files, and kept as PNG."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image as Pictures

from representations.assets.asset import Image, Sampling, Wrap
from representations.compilation import compiled, inlined
from representations.geometry.mesh import Floats

_NEAREST = 9728
_WRAPS: tuple[Wrap, ...] = ("clamp", "repeat", "mirror")


def sample_texture(image: Image, uv: Floats, sampling: Sampling | None = None) -> Floats:
    """Bilinear lookup.

    Args:
        image: (H, W, C) bytes, row 0 at the top (v = 1).
        uv: (P, 2), v upwards.
        sampling: how it goes on outside [0, 1]; None: it repeats there, but is not mixed across its border.

    Returns:
        (P, C) in [0, 1].
    """
    height, width = image.shape[:2]
    if sampling is None:
        uv = np.where((uv < 0) | (uv > 1), uv - np.floor(uv), uv)
        wrap: tuple[Wrap, Wrap] = ("clamp", "clamp")
    else:
        wrap = sampling.wrap
    uv = np.clip(np.nan_to_num(uv, nan=0.0), -1e6, 1e6)
    x, y = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5
    if sampling is not None and sampling.magnified == _NEAREST:
        x, y = np.floor(x + 0.5), np.floor(y + 0.5)
    return _mixed(np.ascontiguousarray(image), x, y, _WRAPS.index(wrap[0]), _WRAPS.index(wrap[1]))


@compiled
def _mixed(image: Image, x: Floats, y: Floats, wrap_x: int, wrap_y: int) -> Floats:
    """(P, C) the four texels around each place x, y, (P,) in texels, mixed by how near they are, in [0, 1]."""
    height, width, channels = image.shape
    found = np.empty((len(x), channels))
    for place in range(len(x)):
        column, row = math.floor(x[place]), math.floor(y[place])
        across, down = x[place] - column, y[place] - row
        left, right = _wrapped(column, width, wrap_x), _wrapped(column + 1, width, wrap_x)
        top, bottom = _wrapped(row, height, wrap_y), _wrapped(row + 1, height, wrap_y)
        for channel in range(channels):
            upper = image[top, left, channel] * (1 - across) + image[top, right, channel] * across
            lower = image[bottom, left, channel] * (1 - across) + image[bottom, right, channel] * across
            found[place, channel] = (upper * (1 - down) + lower * down) / 255
    return found


@inlined
def _wrapped(texel: int, count: int, wrap: int) -> int:
    """The texel among ``count`` that stands for one beside them, by the number of a wrap in `_WRAPS`."""
    if wrap == 0:
        return min(max(texel, 0), count - 1)
    if wrap == 1:
        return texel % count
    folded = texel % (2 * count)
    return folded if folded < count else 2 * count - 1 - folded


def encoded_normals(normals: Floats) -> Floats:
    """Unit normals (P, 3) as colours in [0, 1]; (128, 128, 255) in bytes is flat."""
    return normals / 2 + 0.5


def decoded_normals(colours: Floats) -> Floats:
    """The inverse of `encoded_normals`."""
    return colours * 2 - 1


def png_bytes(image: Image) -> bytes:
    """An image (H, W, 3 or 4) as a PNG file."""
    buffer = io.BytesIO()
    Pictures.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


MOST_PIXELS = 8192**2
"""Larger images are refused: they would need gigabytes."""

MOST_PIXELS_TOGETHER = 4 * MOST_PIXELS
"""All images of a file together."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TGA", "TIFF", "GIF")
"""What is decoded: formats whose decoders are part of Pillow itself, and that run no other program."""


class ImageError(ValueError):
    """An image that cannot be read; the message says why."""


class ImageSizeError(ImageError):
    """An image that is too large, or one too many."""


class Images:
    """Decodes the images of one file, each content once, and not more than memory can hold."""

    def __init__(self) -> None:
        self._known: dict[bytes, Image] = {}
        self._pixels = 0

    def decoded(self, content: bytes) -> Image:
        """See `decoded_image`. Raises ImageError also if all images together have too many pixels."""
        if content not in self._known:
            image = decoded_image(content)
            self._pixels += image.shape[0] * image.shape[1]
            if self._pixels > MOST_PIXELS_TOGETHER:
                raise ImageSizeError(f"its textures have more than {MOST_PIXELS_TOGETHER:,} pixels together")
            self._known[content] = image
        return self._known[content]


def decoded_image(content: bytes) -> Image:
    """The picture in a file of one of `FORMATS`, as bytes (H, W, 3), or (H, W, 4) if something in it is transparent.

    Raises:
        ImageError: if it is damaged, of another format, or larger than `MOST_PIXELS`.
    """
    try:
        with Pictures.open(io.BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ImageSizeError(f"a texture of {picture.width} x {picture.height} pixels is too large")
            if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
                return _from_deep_grey(np.asarray(picture))
            transparent = "A" in picture.getbands() or "transparency" in picture.info
            image = np.asarray(picture.convert("RGBA" if transparent else "RGB"))
    except ImageError:
        raise
    except Pictures.DecompressionBombError as error:
        raise ImageSizeError(f"a texture is too large ({error})") from None
    except Exception as error:  # each decoder fails in its own way on damaged files
        raise ImageError(f"a texture cannot be read ({type(error).__name__}: {str(error)[:100]})") from None
    return image if image.shape[2] == 3 or (image[:, :, 3] < 255).any() else np.ascontiguousarray(image[:, :, :3])


def _from_deep_grey(values: np.ndarray) -> Image:
    """Grey of 16 bits in 8; Pillow's own conversion cuts off everything above 255."""
    grey = np.round(np.clip(np.nan_to_num(values.astype(np.float64)), 0, 65535) / 257).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)
