"""What both training stages share: checkpoints that survive a crash, an averaged copy of the weights, the step size."""

from __future__ import annotations

import ast
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn


class Average:
    """Exponential moving average of a module's parameters.

    Args:
        module: whose parameters to average.
        decay: the average's memory is about ``1 / (1 - decay)`` steps; shorter at the beginning.
    """

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.steps = 0
        self.values = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Takes one step towards the module's present parameters."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        state = module.state_dict()
        floating = [name for name, value in self.values.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.values[name] for name in floating], [state[name] for name in floating], 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` restores."""
        return {"steps": self.steps, "values": self.values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores a state."""
        self.steps, self.values = state["steps"], state["values"]


def public_config(module: Any) -> dict[str, Any]:
    """The constructor arguments of a diffusers module, without the entries that diffusers keeps for itself."""
    return {key: value for key, value in module.config.items() if not key.startswith("_")}


def cosine_rate(step: int, steps: int, peak: float, warmup: int = 300) -> float:
    """Step size: rises linearly for `warmup` steps, then falls along a cosine to 2 % of the peak at `steps`."""
    progress = min(step / max(steps, 1), 1.0)
    return peak * min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


Network = TypeVar("Network", bound=nn.Module)


def averaged(checkpoint: Path, network: Callable[..., Network]) -> Network:
    """The averaged network of a checkpoint, frozen."""
    stored = torch.load(checkpoint, weights_only=True, map_location="cpu")
    built = network(**stored["config"])
    built.load_state_dict(stored["average"]["values"])
    return built.eval().requires_grad_(False)


def save_checkpoint(path: Path, state: dict[str, Any], generator: np.random.Generator) -> None:
    """Writes a checkpoint beside the old one and swaps them: a crash leaves one or the other whole."""
    partial = path.with_suffix(".partial")
    torch.save(state | {"numpy_rng": repr(generator.bit_generator.state), "torch_rng": torch.get_rng_state()}, partial)
    os.replace(partial, path)


def load_checkpoint(path: Path, generator: np.random.Generator) -> dict[str, Any]:
    """Reads a checkpoint (tensors and plain values only, no code is unpickled) and restores the randomness."""
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    generator.bit_generator.state = ast.literal_eval(state["numpy_rng"])
    torch.set_rng_state(state["torch_rng"])
    return state
