"""Gaussians as files: the .ply of the first program, which every viewer reads, and the compact .splat of web pages."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from representations.gaussians.cloud import GaussianCloud

BAND_0 = 0.5 / math.sqrt(math.pi)
"""The spherical harmonic of degree 0: a colour is stored as (colour - 1 / 2) / BAND_0."""

PROPERTIES = (
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)
"""Of a point in the .ply, all float32. Opacities are logits and scales are logarithms; rotations have w first."""

SPLAT = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("colour", "u1", 4), ("rotation", "u1", 4)])
"""A Gaussian in a .splat file, 32 bytes: colour and opacity in 255ths, the quaternion as 128 + 128 q."""

LARGEST_HEADER = 2**16


class GaussianFileError(ValueError):
    """A file that holds no Gaussians as they are written here."""


@dataclass(frozen=True)
class Gaussians:
    """N Gaussians as numbers.

    Attributes:
        means: (N, 3).
        scales: (N, 3) standard deviations along the own axes.
        quaternions: (N, 4) of unit length, w first.
        opacities: (N,) in [0, 1].
        colours: (N, 3) in [0, 1].
    """

    means: NDArray[np.float32]
    scales: NDArray[np.float32]
    quaternions: NDArray[np.float32]
    opacities: NDArray[np.float32]
    colours: NDArray[np.float32]


def gaussians_of(cloud: GaussianCloud) -> Gaussians:
    """What a cloud is now."""
    with torch.no_grad():
        parts = (
            cloud.means,
            cloud.log_scales.exp(),
            torch.nn.functional.normalize(cloud.quaternions, dim=-1),
            cloud.opacity_logits.sigmoid(),
            cloud.colour_logits.sigmoid(),
        )
        return Gaussians(*(part.cpu().float().numpy() for part in parts))


def ply_bytes(gaussians: Gaussians) -> bytes:
    """A .ply file as that of Kerbl et al. 2023, of one band. Raises ValueError if a number is not finite."""
    opacity = np.clip(gaussians.opacities, 1e-6, 1 - 1e-6)
    table = np.concatenate(
        [
            gaussians.means,
            np.zeros_like(gaussians.means),
            (gaussians.colours - 0.5) / BAND_0,
            np.log(opacity / (1 - opacity))[:, None],
            np.log(np.maximum(gaussians.scales, 1e-12)),
            gaussians.quaternions,
        ],
        axis=1,
    ).astype("<f4")
    if not np.isfinite(table).all():
        raise ValueError("some Gaussians are not finite")
    names = "".join(f"property float {name}\n" for name in PROPERTIES)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(table)}\n{names}end_header\n"
    return header.encode("ascii") + table.tobytes()


def read_ply(content: bytes) -> Gaussians:
    """The Gaussians of such a file. Raises GaussianFileError for any other one."""
    end = content.find(b"end_header\n", 0, LARGEST_HEADER)
    if not content.startswith(b"ply\n") or end < 0:
        raise GaussianFileError("this is no PLY file")
    lines = content[:end].decode("ascii", "replace").splitlines()
    names = [line.removeprefix("property float ") for line in lines if line.startswith("property ")]
    counts = [line.removeprefix("element vertex ") for line in lines if line.startswith("element ")]
    wanted = "format binary_little_endian 1.0" in lines and len(counts) == 1 and counts[0].isdigit()
    if not wanted or not set(PROPERTIES) - {"nx", "ny", "nz"} <= set(names):
        names_wanted = ", ".join(PROPERTIES)
        raise GaussianFileError(f"this PLY file holds no Gaussians ({names_wanted} as little-endian floats)")
    data = content[end + len(b"end_header\n") :]
    if len(data) != 4 * len(names) * int(counts[0]):
        raise GaussianFileError(f"this PLY file should have {counts[0]} Gaussians, but is of another length")
    table = dict(zip(names, np.frombuffer(data, "<f4").reshape(-1, len(names)).T, strict=True))

    def columns(*chosen: str) -> NDArray[np.float32]:
        return np.stack([table[name] for name in chosen], axis=1)

    quaternions = columns("rot_0", "rot_1", "rot_2", "rot_3")
    return Gaussians(
        columns("x", "y", "z"),
        np.exp(columns("scale_0", "scale_1", "scale_2")),
        quaternions / np.maximum(np.linalg.norm(quaternions, axis=1, keepdims=True), 1e-12),
        1 / (1 + np.exp(-table["opacity"])),
        np.clip(0.5 + BAND_0 * columns("f_dc_0", "f_dc_1", "f_dc_2"), 0, 1),
    )


def splat_bytes(gaussians: Gaussians) -> bytes:
    """A .splat file: the largest and most opaque first, so that a page that still loads shows the most."""
    weight = gaussians.scales.prod(axis=1) * gaussians.opacities
    order = np.argsort(-weight, kind="stable")
    records = np.zeros(len(order), SPLAT)
    records["mean"], records["scale"] = gaussians.means[order], gaussians.scales[order]
    colour = np.concatenate([gaussians.colours, gaussians.opacities[:, None]], axis=1)[order]
    records["colour"] = np.clip(np.round(255 * colour), 0, 255)
    records["rotation"] = np.clip(np.round(128 + 128 * gaussians.quaternions[order]), 0, 255)
    return records.tobytes()
