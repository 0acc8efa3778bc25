"""Trainable copies of a network: full ones, and low-rank ones that cost a few percent of it (LoRA, Hu et al. 2021).

The low-rank ones are made by peft, so that diffusers reads what they learn.
"""

from __future__ import annotations

import copy
import re

from torch import Tensor, nn

from sds.precision import computing_type, learning_type

ADAPTER = "default"
"""What peft calls the one correction that a layer has."""

OF_A_CORRECTION = re.compile(rf"\.(lora_[AB])\.{ADAPTER}\.")
"""In the names of weights of a low-rank copy."""

BASE = ".base_layer."
"""In the names of the frozen weights beside them."""


def full_copy(network: nn.Module) -> nn.Module:
    """A copy of ``network`` with weights of its own, all of them trainable and of float32 or more."""
    copied = copy.deepcopy(network)
    nn.Module.to(copied, learning_type(computing_type(network)))  # diffusers' own `to` warns of a loss of digits
    return copied.requires_grad_(True)


def lora_copy(network: nn.Module, rank: int = 4) -> nn.Module:
    """A copy of ``network`` whose linear and ungrouped convolution layers W have a correction, W + B A, of a low rank.

    The copy shares the frozen weights with the original (they are not held twice); only the corrections are trainable,
    in float32 or more, and until they are trained (B begins at zero) the copy computes the same as the original.

    Raises:
        ValueError: if ``network`` has no layer to adapt, or ``rank`` is not positive.
    """
    if rank < 1:
        raise ValueError(f"the rank of a low-rank adaptation must be at least 1, not {rank}")
    names = [
        name
        for name, layer in network.named_modules()
        if name and (isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1))
    ]
    if not names:
        raise ValueError(f"{type(network).__name__} has no linear or convolution layer to adapt")
    from peft import LoraConfig, inject_adapter_in_model  # takes seconds, and most runs need no low-rank copy

    shared = {id(tensor): tensor for tensor in [*network.parameters(), *network.buffers()]}
    adapted = copy.deepcopy(network, memo=shared)
    for parameter in adapted.parameters():
        parameter.requires_grad_(False)
    exactly_these = "|".join(map(re.escape, names))  # of a list peft takes every layer whose name ends alike
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=exactly_these), adapted, ADAPTER)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(learning_type(parameter.dtype))
    return adapted


def corrections(network: nn.Module) -> dict[str, Tensor]:
    """What a low-rank copy has learned, by the names that diffusers reads: ``...lora_A.weight``, ``...lora_B.weight``.

    Empty for any other network. The correction of a layer is B A; nothing scales it.
    """
    return {
        OF_A_CORRECTION.sub(r".\1.", name): tensor
        for name, tensor in network.state_dict().items()
        if OF_A_CORRECTION.search(name)
    }


def merged_weights(network: nn.Module) -> dict[str, Tensor]:
    """The `state_dict` of a low-rank copy as a plain network has it: every correction is added to its layer's weight.

    Of any other network it is the `state_dict`.
    """
    weights = {
        name.replace(BASE, "."): tensor
        for name, tensor in network.state_dict().items()
        if not OF_A_CORRECTION.search(name)
    }
    for name, layer in network.named_modules():
        if hasattr(layer, "lora_A"):
            delta = layer.get_delta_weight(ADAPTER)
            weights[f"{name}.weight"] = weights[f"{name}.weight"].to(delta) + delta
    return weights
