"""Telling a finished network one thing more, without changing what it computes until it is trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sds.precision import computing_type, learning_type
from sds.sharding import whole

HOSTS = ("time_embedding", "time_text_embed")
"""Where diffusers' UNets and transformers embed the time."""


def time_host(network: nn.Module) -> nn.Module:
    """The module that embeds the time. Raises ValueError if the network has none of `HOSTS`."""
    host = next((getattr(network, member) for member in HOSTS if hasattr(network, member)), None)
    if host is None:
        raise ValueError(f"{type(network).__name__} has no time embedding through which to tell it anything more")
    return host


def last_layer_of_time(network: nn.Module) -> nn.Linear:
    """The linear layer whose output is the embedding of the time. Raises ValueError if there is no time embedding."""
    return [module for module in time_host(network).modules() if isinstance(module, nn.Linear)][-1]


class NumberEmbedding:
    """Tells a network further numbers, by adding an embedding of them to its embedding of the time.

    The embedding starts at zero and becomes a submodule of the network, so it is trained and saved with it; beside
    half-precision weights it is float32.

    Args:
        network: one of diffusers' UNets or transformers, or any module with a member of `HOSTS`.
        count: how many numbers each image has.
        name: of the submodule; one network may be told several kinds of numbers.

    Attributes:
        numbers: what to say at the next call, shape (batch, count), or None to say nothing.

    Raises:
        ValueError: if the network has no time embedding to add to.
    """

    def __init__(self, network: nn.Module, count: int, name: str) -> None:
        self.numbers: Tensor | None = None
        self.count = count
        device, dtype = next(network.parameters()).device, learning_type(computing_type(network))
        last = nn.Linear(64, last_layer_of_time(network).out_features)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.embed = nn.Sequential(nn.Linear(count, 64), nn.SiLU(), last).to(device, dtype)
        network.add_module(name, self.embed)
        time_host(network).register_forward_hook(self._add)

    def embedded(self, numbers: Tensor) -> Tensor:
        """The embedding of numbers (batch, count), outside of the network; all processes must ask if it is sharded."""
        weights = {name: whole(weight) for name, weight in self.embed.named_parameters()}
        return torch.func.functional_call(self.embed, weights, (numbers,))

    def _add(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        del module, inputs
        if self.numbers is None:
            return output
        own = next(self.embed.parameters())
        return output + self.embed(self.numbers.to(own)).to(output.dtype)
