"""The border between images in [0, 1] and what a teacher denoises: pixels in [-1, 1], or an autoencoder's latents."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from diffusers import AutoencoderDC, AutoencoderKL, AutoencoderTiny, ModelMixin
from torch import Tensor

from sds.precision import HALVES, computing_type, learning_type


class ImageCodec(Protocol):
    """Translates images for a teacher and back."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of what the teacher denoises."""
        ...

    def encode(self, image: Tensor) -> Tensor:
        """An image of shape (batch, 3, height, width) in [0, 1] of any size as x of `shape`. Differentiable."""
        ...

    def decode(self, x: Tensor) -> Tensor:
        """The image of the teacher's own size that x stands for, shape (batch, 3, height, width). Differentiable.

        In [0, 1] up to what x exceeds its range by: nothing is clamped, so that the gradient survives.
        """
        ...


@dataclass(frozen=True)
class PixelCodec:
    """For a teacher that denoises pixels.

    Attributes:
        size: (height, width) of its images.
    """

    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, height, width)."""
        return 3, *self.size

    def encode(self, image: Tensor) -> Tensor:
        """See `ImageCodec.encode`."""
        return resized(image, self.size) * 2 - 1

    def decode(self, x: Tensor) -> Tensor:
        """See `ImageCodec.decode`."""
        return (x + 1) / 2


@dataclass(frozen=True)
class LatentLayout:
    """What differs from one kind of autoencoder to another.

    Attributes:
        latent: from what its `encode` returns to latents; of a distribution its mean.
        channels_at: the entry of its configuration with the widths of its levels, each half as large as the one before.
    """

    latent: Callable[[Any], Tensor]
    channels_at: str


LAYOUTS: Mapping[type[ModelMixin], LatentLayout] = {
    AutoencoderKL: LatentLayout(lambda encoded: encoded.latent_dist.mode(), "block_out_channels"),
    AutoencoderDC: LatentLayout(lambda encoded: encoded.latent, "encoder_block_out_channels"),
    AutoencoderTiny: LatentLayout(lambda encoded: encoded.latents, "encoder_block_out_channels"),
}
"""Autoencoders of teachers: variational ones, Sana's deep compression (Chen et al. 2024), TAESD's distilled ones."""


class LatentCodec:
    """For a teacher that denoises the latents of a variational autoencoder (Rombach et al. 2022).

    ``x = (mean - shift) * scale``, where the posterior's mean is taken and no sample is drawn: its deviation is far
    below the noise that score distillation adds right after, and this way encoding needs no generator and its
    gradient has no noise of its own.

    The autoencoder may run in half precision; one that returns anything that is not finite there goes on in float32.
    Beside an image's own gradient that of a loss may be tiny: it is brought to the middle of float16's range on its way
    through, and back, so nothing that a step asks for is lost.
    """

    def __init__(self, autoencoder: Any, latent_size: tuple[int, int]) -> None:
        config, self.layout = autoencoder.config, LAYOUTS[type(autoencoder)]
        self.autoencoder = autoencoder
        self.shape: tuple[int, int, int] = (config.latent_channels, *latent_size)
        factor = 2 ** (len(config[self.layout.channels_at]) - 1)
        self.size = (latent_size[0] * factor, latent_size[1] * factor)
        mean = config.get("latents_mean") or [config.get("shift_factor") or 0.0]
        deviation = config.get("latents_std") or [1.0]
        device = next(autoencoder.parameters()).device
        self.shift = torch.tensor(mean, device=device).reshape(1, -1, 1, 1)
        self.scale = float(config.scaling_factor) / torch.tensor(deviation, device=device).reshape(1, -1, 1, 1)

    def encode(self, image: Tensor) -> Tensor:
        """See `ImageCodec.encode`."""
        pixels = resized(image, self.size) * 2 - 1
        mean = self._through(lambda x: self.layout.latent(self.autoencoder.encode(x)), pixels)
        return ((mean - self.shift) * self.scale).to(image.dtype)

    def decode(self, x: Tensor) -> Tensor:
        """See `ImageCodec.decode`."""
        pixels = self._through(lambda x: self.autoencoder.decode(x).sample, x / self.scale + self.shift)
        return ((pixels + 1) / 2).to(x.dtype)

    def in_tiles(self, side: int = 512) -> None:
        """Lets pictures larger than ``side`` pass in tiles that overlap: less memory, and nearly the same values."""
        if max(self.size) > side:
            factor = self.size[0] // self.shape[1]
            self.autoencoder.tile_sample_min_size, self.autoencoder.tile_latent_min_size = side, side // factor
            self.autoencoder.enable_tiling()

    def _through(self, part: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """What one half of the autoencoder makes of ``x``, in float32 or more."""
        dtype = computing_type(self.autoencoder)
        if dtype not in HALVES:
            return part(x.to(dtype))
        result = with_gradient_in_range(part, x, dtype)
        if bool(torch.isfinite(result).all()):
            return result
        warnings.warn(f"the autoencoder overflows in {dtype}; it goes on in float32", stacklevel=2)
        self.autoencoder.float()
        return part(x.float())


def with_gradient_in_range(function: Callable[[Tensor], Tensor], x: Tensor, dtype: torch.dtype) -> Tensor:
    """``function(x)`` computed in ``dtype``, with its incoming gradient brought to a largest value of 1 meanwhile."""
    size: list[Tensor] = []

    def enter(gradient: Tensor) -> Tensor:
        size[:] = [gradient.abs().amax().clamp(min=1e-30)]
        return gradient / size[0]

    x = x.view_as(x)
    result = function(x.to(dtype)).to(learning_type(dtype))
    if result.requires_grad:
        result.register_hook(enter)
        x.register_hook(lambda gradient: gradient * size[0])
    return result


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """``image`` of shape (batch, 3, height, width) at ``size``, bilinear; averaged over all its pixels when shrunk.

    Raises ValueError if it is not of such a shape.
    """
    if image.dim() != 4 or image.shape[1] != 3:
        raise ValueError(f"an image must have shape (batch, 3, height, width), not {tuple(image.shape)}")
    if tuple(image.shape[-2:]) == size:
        return image
    return F.interpolate(image, size, mode="bilinear", antialias=True)
