"""Gaussians as .spz files (Niantic's format, version 3): a tenth of the .ply, for phones and web pages.

A gzipped stream of a header and then one attribute after the other of all Gaussians, in fixed point. Axes are OpenGL's,
which are ours: x to the right, +Y up, z backwards. (github.com/nianticlabs/spz, README, "File Format".)
"""

from __future__ import annotations

import gzip
import io
import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from representations.gaussians.files import BAND_0, GaussianFileError, Gaussians

HEADER = struct.Struct("<IIIBBBB")
"""Magic number, version, how many, degree of the spherical harmonics, fractional bits, flags, nothing."""

MAGIC, VERSION = 0x5053474E, 3

FRACTION = 12
"""Bits of a coordinate behind the point; 24 in all."""

SCALES_PER_E, SMALLEST_SCALE = 16.0, -10.0
"""Steps of a size for each factor e, and the logarithm of the smallest."""

COLOUR = 0.15
"""Of the wide range in which colours are stored: those of spherical harmonics may lie outside of [0, 1]."""

BYTES = {"position": 9, "opacity": 1, "colour": 3, "scale": 3, "rotation": 4}
"""Of a Gaussian, in the order in which the attributes come."""

MAGNITUDE = 511
"""A component of a quaternion in 10 bits: a sign and 9 for [0, sqrt(1 / 2)], which no but the largest exceeds."""

MOST = 20_000_000
"""Gaussians of a file that is read: no few bytes shall unpack to more memory than there is."""


def spz_bytes(gaussians: Gaussians) -> bytes:
    """The content of an .spz file.

    Coordinates are rounded to 1 / 4096, sizes to a factor of exp(1 / 16), colours and opacities to 8 bits.

    Raises:
        ValueError: if a number is not finite, or a coordinate lies beyond 2048.
    """
    if not all(bool(np.isfinite(part).all()) for part in vars(gaussians).values()):
        raise ValueError("some Gaussians are not finite")
    fixed = np.round(gaussians.means.astype(np.float64) * 2**FRACTION)
    if len(fixed) and np.abs(fixed).max() >= 2**23:
        raise ValueError(f"an .spz file holds coordinates within {2 ** (23 - FRACTION)} only")
    three_bytes = fixed.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3]
    sizes = SCALES_PER_E * (np.log(np.maximum(gaussians.scales, 1e-12)) - SMALLEST_SCALE)
    parts = (
        three_bytes,
        _byte(255 * gaussians.opacities),
        _byte(255 * (0.5 + COLOUR * (gaussians.colours - 0.5) / BAND_0)),
        _byte(sizes),
        packed_rotations(gaussians.quaternions),
    )
    header = HEADER.pack(MAGIC, VERSION, len(fixed), 0, FRACTION, 0, 0)
    # Without the time at which it was written: a run is a function of its seed.
    return gzip.compress(header + b"".join(part.tobytes() for part in parts), mtime=0)


def read_spz(content: bytes) -> Gaussians:
    """The Gaussians of an .spz file of version 3, seen from all sides in one colour (further bands are left out).

    Raises:
        GaussianFileError: if it is none, or is cut off.
    """
    try:
        with gzip.open(io.BytesIO(content)) as stream:
            head = stream.read(HEADER.size)
            if len(head) < HEADER.size:
                raise GaussianFileError("this is no SPZ file: it is too short")
            magic, version, count, _, fraction, _, _ = HEADER.unpack(head)
            if magic != MAGIC or version != VERSION or count > MOST or fraction > 23:
                raise GaussianFileError(f"this is no SPZ file of version {VERSION}")
            parts = [stream.read(count * size) for size in BYTES.values()]
    except (OSError, EOFError) as error:
        raise GaussianFileError(f"this is no SPZ file: {error}") from None
    raw = {}
    for (name, size), part in zip(BYTES.items(), parts, strict=True):
        if len(part) != count * size:
            raise GaussianFileError(f"this SPZ file should have {count} Gaussians, but is cut off")
        raw[name] = np.frombuffer(part, np.uint8).reshape(count, size)
    # The sign of 24 bits: as the upper three of four bytes, shifted back.
    upper = np.zeros((count, 3, 4), np.uint8)
    upper[..., 1:] = raw["position"].reshape(count, 3, 3)
    means = (upper.view("<i4")[..., 0] >> 8) / 2.0**fraction
    colours = 0.5 + BAND_0 * (raw["colour"] / 255 - 0.5) / COLOUR
    numbers = (
        means,
        np.exp(raw["scale"] / SCALES_PER_E + SMALLEST_SCALE),
        unpacked_rotations(raw["rotation"]),
        raw["opacity"][:, 0] / 255,
        np.clip(colours, 0, 1),
    )
    return Gaussians(*(part.astype(np.float32) for part in numbers))


def packed_rotations(quaternions: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(N, 4) bytes of unit quaternions (N, 4), w first: which is the largest, and the three others in 10 bits each.

    The largest needs no sign, since a quaternion and its negative turn alike, and follows from the others' lengths.
    """
    ordered = np.roll(quaternions.astype(np.float64), -1, axis=1)  # x, y, z, w
    largest = np.abs(ordered).argmax(axis=1)
    ordered *= np.where(np.take_along_axis(ordered, largest[:, None], 1) < 0, -1, 1)
    magnitude = np.minimum(np.floor(MAGNITUDE * math.sqrt(2) * np.abs(ordered) + 0.5), MAGNITUDE)
    fields = magnitude.astype(np.uint32) | ((ordered < 0).astype(np.uint32) << 9)
    packed = largest.astype(np.uint32)
    for component in range(4):
        packed = np.where(component == largest, packed, packed << 10 | fields[:, component])
    return packed.astype("<u4").view(np.uint8).reshape(-1, 4)


def unpacked_rotations(content: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(N, 4) unit quaternions, w first, of what `packed_rotations` makes."""
    packed = np.ascontiguousarray(content).view("<u4")[:, 0]
    largest, ordered = packed >> 30, np.zeros((len(packed), 4))
    for component in (3, 2, 1, 0):
        value = (packed & MAGNITUDE) / (MAGNITUDE * math.sqrt(2)) * np.where(packed >> 9 & 1, -1, 1)
        stored = component != largest
        ordered[:, component] = np.where(stored, value, 0)
        packed = np.where(stored, packed >> 10, packed)
    rest = np.sqrt(np.maximum(0, 1 - (ordered**2).sum(axis=1)))
    np.put_along_axis(ordered, largest[:, None].astype(np.int64), rest[:, None], 1)
    return np.roll(ordered, 1, axis=1)


def _byte(numbers: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    return np.clip(np.round(numbers), 0, 255).astype(np.uint8)
