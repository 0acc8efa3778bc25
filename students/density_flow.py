"""A flow of known density: an invertible network from noise to pictures, told the noise level and the condition.

Affine couplings (Dinh et al. 2017, "RealNVP") on the two halves of a chequerboard, with an invertible mixing of
channels between them (Kingma & Dhariwal 2018, "Glow")::

    x_a = z_a,   x_b = z_b exp(s(z_a)) + m(z_a)          log |det dx/dz| = sum of s
    x = W x at each place                                 log |det dx/dz| = places * log |det W|

so that with z = N(0, 1) the density of what is drawn is log q(x) = log N(z; 0, 1) - log |det dx/dz|. All begins as the
identity: the flow draws its noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sds.denoiser import Condition
from students.change_head import zeroed

LARGEST_LOG_SCALE = 1.5
"""Of one coupling; many of them make any."""

SMALLEST_LEVEL = 1e-3
"""sigma / alpha, and alpha / sigma, below which the flow is told no difference."""


class Coupling(nn.Module):
    """One affine coupling: half of the places say how the other half is scaled and moved.

    Args:
        channels: of x.
        width: of the hidden layers.
        even: which half of the chequerboard stays.
    """

    def __init__(self, channels: int, width: int, even: bool) -> None:
        super().__init__()
        self.even = even
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.last = zeroed(nn.Conv2d(width, 2 * channels, 3, padding=1))
        self.told = nn.Linear(width, 2 * width)

    def forward(self, z: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """x and log |det dx/dz|, (batch,), for z (batch, channels, height, width) and what is told, (batch, width)."""
        keeps = self._keeps(z)
        log_scale, move = self._answer(z * keeps, told, keeps)
        return z * log_scale.exp() + move, log_scale.flatten(1).sum(1)

    def inverse(self, x: Tensor, told: Tensor) -> Tensor:
        """z for x."""
        keeps = self._keeps(x)
        log_scale, move = self._answer(x * keeps, told, keeps)
        return (x - move) * (-log_scale).exp()

    def _keeps(self, x: Tensor) -> Tensor:
        """1 at the half that stays, 0 at the other: (height, width)."""
        rows, columns = (torch.arange(size, device=x.device) for size in x.shape[-2:])
        return ((rows[:, None] + columns) % 2 == int(self.even)).to(x)

    def _answer(self, kept: Tensor, told: Tensor, keeps: Tensor) -> tuple[Tensor, Tensor]:
        one, two = self.told(told)[:, :, None, None].chunk(2, dim=1)
        hidden = F.silu(self.first(kept) + one)
        log_scale, move = self.last(F.silu(self.second(hidden) + two)).chunk(2, dim=1)
        return LARGEST_LOG_SCALE * torch.tanh(log_scale) * (1 - keeps), move * (1 - keeps)


class DensityFlow(nn.Module):
    """An invertible network with as many couplings as it is asked for, in pairs that move all places.

    Args:
        channels: of x.
        told: how many numbers each tensor of a condition has, by name.
        width: of the couplings' hidden layers.
        pairs: of couplings.
    """

    def __init__(self, channels: int, told: Mapping[str, int], width: int = 64, pairs: int = 6) -> None:
        super().__init__()
        self.told = dict(told)
        self.noise_level = nn.Sequential(nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width))
        self.condition = nn.ModuleDict({name: nn.Linear(count, width) for name, count in told.items()})
        self.couplings = nn.ModuleList(Coupling(channels, width, bool(i % 2)) for i in range(2 * pairs))
        self.mixings = nn.ParameterList(torch.eye(channels) for _ in range(pairs))

    def forward(self, z: Tensor, angle: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """x and log |det dx/dz|.

        Args:
            z: standard normal, (batch, channels, height, width).
            angle: atan2(sigma, alpha) of the noise level of x, (batch,).
            condition: one row for each.
        """
        told = self._told(angle, condition, z)
        x, log_det = z, z.new_zeros(len(z))
        for pair, mixing in enumerate(self.mixings):
            for number in (2 * pair, 2 * pair + 1):
                x, gained = self.couplings[number](x, told)
                log_det = log_det + gained
            x = torch.einsum("cd,bdhw->bchw", mixing, x)
            log_det = log_det + x[0, 0].numel() * torch.linalg.slogdet(mixing).logabsdet
        return x, log_det

    def inverse(self, x: Tensor, angle: Tensor, condition: Condition) -> Tensor:
        """The noise z that becomes x; shapes as in `forward`."""
        told = self._told(angle, condition, x)
        for pair in reversed(range(len(self.mixings))):
            x = torch.einsum("cd,bdhw->bchw", torch.linalg.inv(self.mixings[pair]), x)
            for number in (2 * pair + 1, 2 * pair):
                coupling = self.couplings[number]
                assert isinstance(coupling, Coupling)
                x = coupling.inverse(x, told)
        return x

    def log_density(self, x: Tensor, angle: Tensor, condition: Condition) -> Tensor:
        """log q(x), shape (batch,)."""
        z = self.inverse(x, angle, condition)
        of_noise = -(z.square() + math.log(2 * math.pi)).flatten(1).sum(1) / 2
        return of_noise - self(z, angle, condition)[1]

    def _told(self, angle: Tensor, condition: Condition, like: Tensor) -> Tensor:
        level = angle.tan().clamp(SMALLEST_LEVEL, 1 / SMALLEST_LEVEL).log()
        embedded = self.noise_level(torch.stack([angle.cos(), angle.sin(), level / 4], dim=1).to(like))
        for name, numbers in numbers_of(condition, self.told).items():
            embedded = embedded + self.condition[name](numbers.to(like))
        return embedded


def numbers_of(condition: Condition, told: Mapping[str, int]) -> dict[str, Tensor]:
    """A condition as rows of numbers: classes as ones among zeros, texts by the mean of their tokens.

    Args:
        condition: of a teacher.
        told: which of its tensors are wanted, and how many numbers of each; other ones are left out.
    """
    found = {}
    for name, count in told.items():
        tensor = condition.tensors[name]
        if tensor.is_floating_point():
            found[name] = tensor.flatten(1, -2).mean(1) if tensor.dim() > 2 else tensor.reshape(len(tensor), count)
        else:
            found[name] = F.one_hot(tensor.long(), count).float()
    return found


def counts_of(condition: Condition, classes: int) -> dict[str, int]:
    """How many numbers each tensor of a condition has for `numbers_of`; masks, and what is empty, are left out.

    Args:
        condition: of a teacher.
        classes: how many it tells apart, for tensors of whole numbers.
    """
    told = {}
    for name, tensor in condition.tensors.items():
        if tensor.is_floating_point() and tensor.numel():
            told[name] = tensor.shape[-1] if tensor.dim() > 1 else 1
        elif tensor.dim() == 1 and not tensor.is_floating_point() and tensor.dtype is not torch.bool:
            told[name] = classes
    return told
