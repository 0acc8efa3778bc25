"""DSNO's temporal layers (Zheng et al. 2023): one call of a network draws all states of a path, which see each other.

The rows of a batch are whole paths: of each noise, one row for each state. Between the blocks of the network a layer
mixes the states of a path along their time, by a convolution that keeps the lowest frequencies only::

    h  <-  h + leaky_relu( irfft( R_k rfft(h)_k ) )        R_k for k = 0 ... modes - 1, zero beyond

R starts at zero: until it is trained the student predicts each state by itself, as `Student` does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

UNET_BLOCKS = r"(down_blocks|up_blocks)\.\d+\.resnets\.\d+|mid_block"
"""The modules of diffusers' UNets after which states are mixed, as the paper does after every block."""

LAYER, ENDS = "student_states_{}", "student_states_ends"
"""The names of the layers and of the times of the states, inside a network."""


@dataclass(frozen=True)
class PathStates:
    """The states of a path that a student draws together.

    Attributes:
        ends: their times, falling to 0.
        channels: of the outputs of the modules after which they see each other, by names in the network.

    Raises:
        ValueError: for times that do not fall to 0.
    """

    ends: Sequence[float]
    channels: Mapping[str, int]

    def __post_init__(self) -> None:
        if list(self.ends) != sorted(set(self.ends), reverse=True) or not self.ends or self.ends[-1] != 0:
            raise ValueError(f"the states of a path have times that fall to 0, not {list(self.ends)}")


class TemporalFourier(nn.Module):
    """The layer above.

    Args:
        channels: of h.
        states: of each path.
        modes: frequencies that are kept; 2 in the paper.

    Raises:
        ValueError: for more modes than a path of that many states has frequencies.
    """

    def __init__(self, channels: int, states: int, modes: int = 2) -> None:
        super().__init__()
        if not 1 <= modes <= states // 2 + 1:
            raise ValueError(f"{states} states have {states // 2 + 1} frequencies; {modes} of them cannot be kept")
        self.states = states
        self.weight = nn.Parameter(torch.zeros(modes, channels, channels, 2))

    def forward(self, h: Tensor) -> Tensor:
        """(paths * states, channels, ...) -> the same shape. Raises ValueError for rows that are no whole paths."""
        if len(h) % self.states:
            raise ValueError(
                f"{len(h)} rows are no whole paths of {self.states} states: draw paths by "
                "`flow_map.sample_path`, and let several processes have equally many of them"
            )
        paths = h.unflatten(0, (-1, self.states)).float()
        frequencies = torch.fft.rfft(paths, dim=1)[:, : len(self.weight)]
        mixed = torch.einsum("pkc...,kcd->pkd...", frequencies, torch.view_as_complex(self.weight.float()))
        change = torch.fft.irfft(mixed, n=self.states, dim=1).flatten(0, 1)
        return h + F.leaky_relu(change, 0.1).to(h.dtype)


def mix_states(network: nn.Module, states: PathStates, modes: int = 2) -> None:
    """Put a `TemporalFourier` after modules of a network; they become part of it, and are trained with it.

    From now on it takes whole paths only, as made by `students.methods.pairs.whole_path`.

    Args:
        network: of a student.
        states: which, and after which modules.
        modes: frequencies that are kept; fewer where a path has not so many.
    """
    modules, parameter = dict(network.named_modules()), next(network.parameters())
    network.register_buffer(ENDS, torch.tensor(list(states.ends), dtype=torch.float32, device=parameter.device))
    for number, (name, width) in enumerate(states.channels.items()):
        layer = TemporalFourier(width, len(states.ends), min(modes, len(states.ends) // 2 + 1)).to(parameter.device)
        network.add_module(LAYER.format(number), layer)
        modules[name].register_forward_hook(lambda _module, _inputs, output, layer=layer: layer(output))


def unet_widths(network: nn.Module) -> dict[str, int]:
    """The channels of the outputs of a UNet's blocks, by name; empty for a network that is no UNet of diffusers."""
    found = {}
    for name, module in network.named_modules():
        if re.fullmatch(UNET_BLOCKS, name):
            last = module if hasattr(module, "out_channels") else getattr(module, "resnets", [module])[-1]
            found[name] = int(getattr(last, "out_channels", 0))
    return found if all(found.values()) else {}
