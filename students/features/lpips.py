"""LPIPS, the perceptual distance of Zhang et al. 2018 as its authors published it (VGG, version 0.1).

It needs two files that are no part of this package: torchvision's ``vgg16-397923af.pth`` (528 MB) and ``vgg.pth``, the
7 kB of learned weights for each channel, from the ``lpips`` package (``lpips/weights/v0.1/vgg.pth``). Without them
`students.features.distances.perceptual` on another network is a perceptual distance too, but its numbers are not LPIPS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from students.features.distances import unit_length
from students.features.imagenet_network import MissingWeightsError

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of the convolutions of VGG16; each block but the first begins with a pooling, each ends in a feature."""

HEADS = "vgg.pth"
NETWORK = "vgg16*.pth"

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of the authors' scaling layer, for images in [-1, 1]."""


class Vgg16(nn.Module):
    """The convolutions of VGG16 (Simonyan & Zisserman 2015); weights under torchvision's names ``features.N``."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.ends: list[int] = []
        channels = 3
        for number, block in enumerate(BLOCKS):
            layers += [nn.MaxPool2d(2)] if number else []
            for width in block:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            self.ends.append(len(layers) - 1)
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The last activations of each block."""
        seen = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.ends:
                seen.append(x)
        return seen


class Lpips(nn.Module):
    """A `students.features.distances.Distance` of images in [0, 1].

    Args:
        network: Vgg16 with its weights.
        heads: for each block the weights of its channels, not negative.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, network: Vgg16, heads: Sequence[Tensor]) -> None:
        super().__init__()
        self.network = network
        self.heads = nn.ParameterList([nn.Parameter(head.reshape(-1, 1, 1)) for head in heads])
        self.register_buffer("shift", torch.tensor(SHIFT).reshape(3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).reshape(3, 1, 1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Distances of shape (batch,), for images (batch, 3, height, width) of 16 pixels or more."""
        total = torch.zeros(len(x), device=x.device)
        seen = (self.network((image * 2 - 1 - self.shift) / self.scale) for image in (x, y))
        for of_x, of_y, head in zip(*seen, self.heads, strict=True):
            total = total + (head * (unit_length(of_x) - unit_length(of_y)).square()).sum(1).mean((1, 2))
        return total


def load_lpips(folder: Path, device: torch.device | str = "cpu") -> Lpips:
    """LPIPS from a folder with both files. Raises MissingWeightsError if one is missing, or is something else."""
    networks, heads = sorted(folder.glob(NETWORK)), folder / HEADS
    if not networks or not heads.is_file():
        raise MissingWeightsError(
            f"{folder} needs {NETWORK} (torchvision's VGG16) and {HEADS} (lpips/weights/v0.1/{HEADS} of the lpips "
            "package) for LPIPS; the distance `imagenet` needs no files"
        )
    network = Vgg16()
    wanted = network.state_dict()
    try:
        weights = _tensors(networks[0])
        network.load_state_dict({name: weights[name] for name in wanted})
        of_heads = _tensors(heads)
        columns = [of_heads[f"lin{i}.model.1.weight"] for i in range(len(BLOCKS))]
    except (KeyError, RuntimeError, UnpicklingError, EOFError) as error:
        raise MissingWeightsError(
            f"{folder}: these are not the files of LPIPS: {' '.join(str(error).split())}"
        ) from None
    for column, block in zip(columns, BLOCKS, strict=True):
        if column.numel() != block[-1]:
            raise MissingWeightsError(f"{heads} belongs to another network than VGG16: use lpips/weights/v0.1/{HEADS}")
    return Lpips(network, columns).eval().requires_grad_(False).to(device)


def _tensors(path: Path) -> Mapping[str, Tensor]:
    return torch.load(path, map_location="cpu", weights_only=True)
