"""DSNO's temporal layers (Zheng et al. 2023): one call of a network draws all states of a path, which see each other.

The rows of a batch are whole paths: of each noise, one row for each state. Between the blocks of the network a layer
mixes the states of a path along their time, by a convolution that keeps the lowest frequencies only::

    h  <-  h + leaky_relu( irfft( R_k rfft(h)_k ) )        R_k for k = 0 ... modes - 1, zero beyond

R starts at zero: until it is trained the student predicts each state by itself, as `Student` does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sds.denoiser import Condition
from students.flow_map import FlowMap, Student, flow

UNET_BLOCKS = r"(down_blocks|up_blocks)\.\d+\.resnets\.\d+|mid_block"
"""The modules of diffusers' UNets after which states are mixed, as the paper does after every block."""


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
                f"{len(h)} rows are no whole paths of {self.states} states: draw paths by `draw_path`, and let several "
                "processes have equally many of them"
            )
        paths = h.unflatten(0, (-1, self.states)).float()
        frequencies = torch.fft.rfft(paths, dim=1)[:, : len(self.weight)]
        mixed = torch.einsum("pkc...,kcd->pkd...", frequencies, torch.view_as_complex(self.weight.float()))
        change = torch.fft.irfft(mixed, n=self.states, dim=1).flatten(0, 1)
        return h + F.leaky_relu(change, 0.1).to(h.dtype)


def mix_states(student: Student, channels: dict[str, int], states: int, modes: int = 2) -> None:
    """Put a `TemporalFourier` after modules of a student's network; they become part of it, and are trained with it.

    Args:
        student: told the end; from now on it takes whole paths only, as made by `students.methods.targets.whole_path`.
        channels: of the outputs of modules, by their names in the network; see `widths`.
        states: of each path.
        modes: frequencies that are kept.

    Raises:
        ValueError: if the student is not told the end, which is all that tells its states apart.
    """
    if not student.told_end:
        raise ValueError("the states of a path differ in their time only: the student must be told the end")
    modules = dict(student.network.named_modules())
    parameter = next(student.network.parameters())
    for number, (name, width) in enumerate(channels.items()):
        layer = TemporalFourier(width, states, modes).to(parameter)
        student.network.add_module(f"student_states_{number}", layer)
        modules[name].register_forward_hook(lambda _module, _inputs, output, layer=layer: layer(output))


@torch.no_grad()
def widths(student: Student, x_t: Tensor, condition: Condition, pattern: str = UNET_BLOCKS) -> dict[str, int]:
    """The channels of the outputs of all modules whose whole name matches ``pattern``, seen at one call.

    Raises ValueError if there are none.
    """
    found: dict[str, int] = {}

    def remember(name: str) -> Any:
        return lambda _module, _inputs, output: found.__setitem__(name, output.shape[1])

    chosen = [(name, module) for name, module in student.network.named_modules() if re.fullmatch(pattern, name)]
    hooks = [module.register_forward_hook(remember(name)) for name, module in chosen]
    try:
        t = torch.ones(len(x_t), dtype=torch.float64)
        student(x_t, t, 0 * t, condition)
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise ValueError(f"a {type(student.network).__name__} has no modules named like {pattern}")
    return found


def draw_path(student: FlowMap, noise: Tensor, ends: Sequence[float], condition: Condition) -> Tensor:
    """All states of the paths that begin at ``noise``, by one call (parallel decoding; DSNO, equation 5).

    Args:
        student: a flow map that is told the end, with or without layers that mix states.
        noise: shape (batch, ...).
        ends: falling times, those of the states that it learned; the last is 0.
        condition: one row for each path.

    Returns:
        (batch, len(ends), ...); the last state is the image.
    """
    count = len(noise)
    s = torch.tensor(ends, dtype=torch.float64).repeat(count)
    rows = noise.repeat_interleave(len(ends), dim=0)
    told = condition[torch.arange(count).repeat_interleave(len(ends))]
    return flow(student, rows, torch.ones_like(s), s, told).unflatten(0, (count, len(ends)))
