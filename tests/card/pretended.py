"""A CUDA card that is pretended on the CPU, for a block of code.

It shows what a program does wrong on a card (tensors of two devices, `.numpy()`, generators of another device), and
counts what makes it slow there: synchronisations, copies to the card, float64. It cannot show speed, differences in
rounding, or races; `make test-cuda` runs the same tests on a real one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.card.rules import COUNTS, Counts
from tests.card.tensors import CardTensor, called, dispatched, held, moved

try:
    from representations import warp_arrays

    _array = warp_arrays.array
except ModuleNotFoundError:
    warp_arrays = None  # type: ignore[assignment]

NAME = "pretended card"


class _Calls(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return called(func, args, kwargs or {})


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(func, args, kwargs or {})


@contextmanager
def pretended_card(bfloat16: bool = True) -> Iterator[Counts]:
    """Within this block there is a card, "cuda:0"; yields what is counted. ``bfloat16``: as on cards since 2020."""
    COUNTS.clear()
    writes = safetensors.torch.save_file
    with ExitStack() as patches:
        for target, name, stand_in in (
            (torch.cuda, "_lazy_init", lambda: None),
            (torch.cuda, "is_available", lambda: True),
            (torch.cuda, "get_device_name", lambda *_: NAME),
            (torch.cuda, "is_bf16_supported", lambda *_, **__: bfloat16),
            (nn.Module, "to", _module_to),
            (torch, "save", _on_the_host(torch.save)),
            (torch.autocast, "__init__", _autocast(torch.autocast.__init__)),
        ):
            patches.enter_context(patch.object(target, name, stand_in))
        if warp_arrays is not None:  # its kernels then compute on the CPU, by its own compiler
            patches.enter_context(patch.object(warp_arrays, "array", lambda tensor, *how: _array(held(tensor), *how)))
        # What a module has by now: asked for more, diffusers' lazy ones load others while this goes through them.
        loaded = [module for module in sys.modules.values() if isinstance(module, ModuleType)]
        for module in [module for module in loaded if vars(module).get("save_file") is writes]:
            patches.enter_context(patch.object(module, "save_file", _on_the_host(writes)))
        with _Calls(), _Operations():
            yield COUNTS


def _on_the_host(write: Callable[..., Any]) -> Callable[..., Any]:
    """A function that writes tensors, wherever they are."""

    def written(content: Any, *args: Any, **kwargs: Any) -> Any:
        with torch._C.DisableTorchFunction():
            return write(held(content), *args, **kwargs)

    return written


def _autocast(begin: Callable[..., None]) -> Callable[..., None]:
    """Autocast on the card is that of the CPU, where everything is computed."""

    def initialised(self: Any, device_type: str, *args: Any, **kwargs: Any) -> None:
        begin(self, "cpu" if device_type == "cuda" else device_type, *args, **kwargs)

    return initialised


def _module_to(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
    """`nn.Module.to`, which torch writes in terms of storage that a pretended tensor has not."""
    device, dtype = _wishes((*args, *kwargs.values()))
    for module in self.modules():
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = _converted(buffer.detach(), device, dtype)
        for name, parameter in list(module._parameters.items()):
            if parameter is None:
                continue
            new = _converted(parameter.detach(), device, dtype)
            if isinstance(new, CardTensor) == isinstance(parameter, CardTensor) and new.dtype is parameter.dtype:
                continue
            if isinstance(new, CardTensor):
                new = CardTensor(new.held)
                new._is_param = True  # type: ignore[attr-defined]
                module._parameters[name] = new.requires_grad_(parameter.requires_grad)  # type: ignore[assignment]
            else:
                module._parameters[name] = nn.Parameter(new, parameter.requires_grad)
    return self


def _wishes(wishes: Sequence[Any]) -> tuple[torch.device | None, torch.dtype | None]:
    for wish in wishes:
        if isinstance(wish, Tensor):
            return wish.device, wish.dtype
    device = next((torch.device(wish) for wish in wishes if isinstance(wish, str | torch.device)), None)
    return device, next((wish for wish in wishes if isinstance(wish, torch.dtype)), None)


def _converted(tensor: Tensor, device: torch.device | None, dtype: torch.dtype | None) -> Tensor:
    return moved(tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor, device)
