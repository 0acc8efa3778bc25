"""Trainable copies of a network: full ones, and low-rank ones that cost a few percent of it (LoRA, Hu et al. 2021)."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from sds.precision import computing_type, learning_type


class LowRank(nn.Module):
    """A frozen layer plus a low-rank correction ``up(down(x))`` that starts at exactly zero."""

    def __init__(self, base: nn.Linear | nn.Conv2d, rank: int) -> None:
        super().__init__()
        self.base = base
        if isinstance(base, nn.Linear):
            self.down: nn.Module = nn.Linear(base.in_features, rank, bias=False)
            self.up: nn.Linear | nn.Conv2d = nn.Linear(rank, base.out_features, bias=False)
        else:
            geometry: dict[str, Any] = {
                name: getattr(base, name) for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode")
            }
            self.down = nn.Conv2d(base.in_channels, rank, bias=False, **geometry)
            self.up = nn.Conv2d(rank, base.out_channels, 1, bias=False)
        nn.init.zeros_(self.up.weight)
        self.dtype = learning_type(base.weight.dtype)
        self.down.to(base.weight.device, self.dtype)
        self.up.to(base.weight.device, self.dtype)

    @property
    def weight(self) -> Tensor:
        """The frozen layer's weight: some networks ask a layer for its type by it."""
        return self.base.weight

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output plus the correction."""
        whole = self.base(x)
        return whole + self.up(self.down(x.to(self.dtype))).to(whole.dtype)


def full_copy(network: nn.Module) -> nn.Module:
    """A copy of ``network`` with weights of its own, all of them trainable and of float32 or more."""
    copied = copy.deepcopy(network)
    nn.Module.to(copied, learning_type(computing_type(network)))  # diffusers' own `to` warns of a loss of digits
    return copied.requires_grad_(True)


def lora_copy(network: nn.Module, rank: int = 4) -> nn.Module:
    """A copy of ``network`` whose linear and ungrouped convolution layers are `LowRank`.

    The copy shares the frozen weights with the original (they are not held twice); only the corrections are trainable,
    and until they are trained the copy computes the same as the original.

    Raises:
        ValueError: if ``network`` has no layer to adapt, or ``rank`` is not positive.
    """
    if rank < 1:
        raise ValueError(f"the rank of a low-rank adaptation must be at least 1, not {rank}")
    shared = {id(tensor): tensor for tensor in [*network.parameters(), *network.buffers()]}
    adapted = copy.deepcopy(network, memo=shared)
    for parameter in adapted.parameters():
        parameter.requires_grad_(False)
    layers = [
        (parent, name, layer)
        for parent in adapted.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
    ]
    if not layers:
        raise ValueError(f"{type(network).__name__} has no linear or convolution layer to adapt")
    for parent, name, layer in layers:
        setattr(parent, name, LowRank(layer, rank))
    return adapted
