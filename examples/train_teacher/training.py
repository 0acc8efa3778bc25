"""What all training stages share: one step of learning, checkpoints that survive a crash, an averaged copy, reports."""

from __future__ import annotations

import ast
import math
import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from diffusers import ModelMixin
from torch import Tensor, nn

_SECONDS_BETWEEN_CHECKPOINTS = 120

Network = TypeVar("Network", bound=ModelMixin)


def computes_in_bfloat16() -> bool:
    """Whether the processor itself does; elsewhere bfloat16 is many times slower than float32."""
    able = torch.cpu.get_capabilities()
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


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


class Trainer:
    """A network in training. Made again with the same checkpoint, it goes on where it was, randomness included.

    Args:
        network: what learns; a diffusers module, whose configuration is stored with it.
        checkpoint: file to go on from, if it exists, and to write every two minutes and at the end.
        steps: how many steps the whole run has.
        peak_rate: the largest step size of AdamW.
        decay: of the averaged weights.
        generator: the run's source of randomness beside torch's own.
    """

    def __init__(
        self,
        network: nn.Module,
        checkpoint: Path,
        steps: int,
        peak_rate: float,
        decay: float,
        generator: np.random.Generator,
    ) -> None:
        self.network = network
        self.steps = steps
        self.step = 0
        self.average = Average(network, decay)
        self._checkpoint = checkpoint
        self._peak_rate = peak_rate
        self._generator = generator
        self._optimizer = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.98), weight_decay=0.01, fused=True)
        self._saved = time.monotonic()
        if checkpoint.exists():
            self._restore()
        parameters = sum(parameter.numel() for parameter in network.parameters())
        print(f"{parameters / 1e6:.1f}M parameters, from step {self.step}", flush=True)

    @property
    def unfinished(self) -> bool:
        """Whether there are steps left."""
        return self.step < self.steps

    @property
    def progress(self) -> float:
        """The share of the run that is done."""
        return self.step / self.steps

    def learn(self, loss: Tensor) -> None:
        """One step down the gradient of `loss`, and a checkpoint if one is due."""
        for group in self._optimizer.param_groups:
            group["lr"] = cosine_rate(self.step, self.steps, self._peak_rate)
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self.average.update(self.network)
        self.step += 1
        if not self.unfinished or time.monotonic() - self._saved > _SECONDS_BETWEEN_CHECKPOINTS:
            self._save()

    def _save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "config": public_config(self.network),
            "step": self.step,
        }
        save_checkpoint(self._checkpoint, state, self._generator)
        self._saved = time.monotonic()

    def _restore(self) -> None:
        state = load_checkpoint(self._checkpoint, self._generator)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])


class Report:
    """Prints the means of what was measured since the last line, and the speed.

    Args:
        every: steps between two lines.
    """

    def __init__(self, every: int = 200) -> None:
        self._every = every
        self._started = time.monotonic()
        self._pictures = 0
        self._values: dict[str, list[float]] = {}

    def add(self, step: int, pictures: int, **measured: Tensor | float) -> None:
        """Takes note of one step's numbers (nan: nothing to measure); prints a line when it is time."""
        self._pictures += pictures
        for name, value in measured.items():
            self._values.setdefault(name, []).append(float(value))
        if step % self._every:
            return
        means = "  ".join(f"{name} {np.nanmean(values):.5f}" for name, values in self._values.items())
        speed = self._pictures / (time.monotonic() - self._started)
        print(f"step {step}  {means}  {speed:.0f} pictures/s", flush=True)
        self._started, self._pictures, self._values = time.monotonic(), 0, {}


def public_config(module: Any) -> dict[str, Any]:
    """The constructor arguments of a diffusers module, without the entries that diffusers keeps for itself."""
    return {key: value for key, value in module.config.items() if not key.startswith("_")}


def cosine_rate(step: int, steps: int, peak: float, warmup: int = 300) -> float:
    """Step size: rises linearly for `warmup` steps, then falls along a cosine to 2 % of the peak at `steps`."""
    progress = min(step / max(steps, 1), 1.0)
    return peak * min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


@torch.no_grad()
def begin_with(network: Network, folder: Path, without: Collection[str] = ()) -> Network:
    """The network with the weights of an earlier one of its kind, as far as they fit.

    Args:
        network: what is to be trained.
        folder: where a diffusers module of its class was saved, such as ``sds/teachers/embedded/unet``.
        without: names of parameters that are left as they are.

    Returns:
        `network` itself. Parameters of other names or shapes, such as those of a resolution that the earlier network
        did not have, are left as they are.
    """
    earlier = type(network).from_pretrained(folder, low_cpu_mem_usage=False).state_dict()
    own = network.state_dict()
    fitting = {
        name: value.float()
        for name, value in earlier.items()
        if name in own and own[name].shape == value.shape and name not in without
    }
    network.load_state_dict(own | fitting)
    print(f"{len(fitting)} of {len(own)} parameters from {folder}", flush=True)
    return network


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
