"""Flat images as representations: there is no camera, so a draw is just how many copies of the image are wanted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

# Square root of the colour covariance of natural images (Olah et al. 2017, "Feature Visualization", appendix; the
# numbers are those of the lucid library), scaled so that its longest row has length 1. Rows are red, green, blue.
_COLOUR_CORRELATION = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


class FlatImage(nn.Module, ABC):
    """Anything that is one image however often it is drawn; subclasses say which image."""

    learning_rate = 0.05

    def draw(self, count: int, generator: torch.Generator) -> int:
        """How many copies: an image looks the same from everywhere."""
        del generator
        return count

    def forward(self, draw: int) -> Tensor:
        """(draw, 3, H, W) copies of the image in [0, 1]; a step then averages over as many noises."""
        image = self.image()
        return image.expand(draw, *image.shape[1:])

    @abstractmethod
    def image(self) -> Tensor:
        """(1, 3, H, W) the image in [0, 1]."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters with a learning rate that suits them, for any torch optimiser."""
        return [{"params": list(self.parameters()), "lr": self.learning_rate}]


class PixelImage(FlatImage):
    """Pixels through a sigmoid, gray at first.

    Args:
        size: pixels along one side.
    """

    def __init__(self, size: int):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(1, 3, size, size))

    def image(self) -> Tensor:
        """(1, 3, H, W) the image in [0, 1]."""
        return self.logits.sigmoid()


class LatentImage(FlatImage):
    """The latent code of an image under somebody's decoder.

    Args:
        shape: (channels, height, width) of the latent code.
        decode: (1, channels, height, width) -> (1, 3, H, W) in [0, 1]; differentiable. Its parameters are not trained.
        generator: draws the initial code from the standard normal distribution.
    """

    def __init__(self, shape: tuple[int, int, int], decode: Callable[[Tensor], Tensor], generator: torch.Generator):
        super().__init__()
        self.latent = nn.Parameter(torch.randn(1, *shape, generator=generator, device=generator.device))
        # In a tuple, because a decoder that is a module must become neither a child nor part of the saved state.
        self._decode = (decode,)

    def image(self) -> Tensor:
        """(1, 3, H, W) the image in [0, 1]."""
        return self._decode[0](self.latent)


class FourierImage(FlatImage):
    """An image by its spectrum, each frequency scaled by 1/f, in colours that are uncorrelated in natural images.

    Steps of one size on these parameters change all scales and colours alike, instead of favouring noise (Olah et al.
    2017, "Feature Visualization", section "Preconditioning and Parameterization").

    Args:
        size: pixels along one side.
        generator: draws the initial spectrum.
        contrast: standard deviation of the initial logits.
    """

    def __init__(self, size: int, generator: torch.Generator, contrast: float = 0.2):
        super().__init__()
        if size < 2:
            raise ValueError(f"A FourierImage needs at least 2 x 2 pixels, not {size} x {size}.")
        self.size = size
        frequency = torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None, :])
        scale = 1 / frequency.clamp(min=1 / size)
        spectrum = torch.randn(3, *frequency.shape, 2, generator=generator, device=generator.device)
        correlation = torch.tensor(_COLOUR_CORRELATION)
        correlation = correlation / correlation.norm(dim=1).max()
        self.register_buffer("frequency_scale", scale.to(generator.device), persistent=False)
        self.register_buffer("colour_correlation", correlation.to(generator.device), persistent=False)
        self.spectrum = nn.Parameter(spectrum)
        # One unit of change in the spectrum moves the logits as much as an initial spectrum of that size would.
        self.gain = contrast / float(self._logits(gain=1.0).detach().std())

    frequency_scale: Tensor
    colour_correlation: Tensor

    def image(self) -> Tensor:
        """(1, 3, H, W) the image in [0, 1]."""
        return self._logits(self.gain).sigmoid()[None]

    def _logits(self, gain: float) -> Tensor:
        spectrum = torch.view_as_complex(self.spectrum.contiguous()) * self.frequency_scale
        planes = torch.fft.irfft2(spectrum, s=(self.size, self.size), norm="ortho")
        return gain * torch.einsum("rc,chw->rhw", self.colour_correlation, planes)
