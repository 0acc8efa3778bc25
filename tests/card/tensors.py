"""Tensors that say that they live on a card, compute on the CPU, and refuse what a card refuses.

A `CardTensor` wraps an ordinary tensor. Every operation passes through `dispatched`, below autograd: it looks whether
all operands are on the card (`tests.card.rules`), computes with the wrapped tensors, and wraps what comes out. What
torch decides above autograd (`.to`, `.cpu`, `.numpy`, factories with a device) passes through `called`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tests.card import rules

CARD = torch.device("cuda", 0)
HOST = torch.device("cpu")


class CardTensor(Tensor):
    """A tensor on the pretended card; ``held`` is the one that is computed with."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> CardTensor:
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=HOST,  # for C++, which has no such card; Python is told another
        )
        made.held = held.detach()
        return made

    device = property(lambda self: CARD)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def get_device(self) -> int:
        return 0

    def __repr__(self, **_: Any) -> str:
        return f"{self.held!r} on {CARD}"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return called(func, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(func, args, kwargs or {})


class _ToCard(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return CardTensor(tensor.detach().clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return held(gradient)


class _ToHost(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: CardTensor) -> Tensor:
        return tensor.held.detach().clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return on_card(gradient)


def held(tree: Any) -> Any:
    """``tree`` with every card tensor as the ordinary one that it holds."""
    return rules.mapped(lambda leaf: leaf.held if isinstance(leaf, CardTensor) else leaf, tree)


def on_card(tree: Any) -> Any:
    """``tree`` with every ordinary tensor as one on the card, and no copy counted."""
    wrap = lambda leaf: CardTensor(leaf) if isinstance(leaf, Tensor) and not isinstance(leaf, CardTensor) else leaf  # noqa: E731
    return rules.mapped(wrap, tree)


def is_card(device: Any) -> bool:
    return device is not None and torch.device(device).type == CARD.type


def moved(tensor: Tensor, device: Any) -> Tensor:
    """``tensor`` on a device; a copy from the card makes the host wait."""
    if device is None or is_card(device) == isinstance(tensor, CardTensor):
        return tensor
    if is_card(device):
        rules.COUNTS.note("copies to the card")
        return _ToCard.apply(tensor)
    rules.COUNTS.note("synchronisations", "copy to the host")
    return _ToHost.apply(tensor)


def called(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """A function of torch, as it is called: with the devices that Python sees."""
    first = args[0] if args else None
    with torch._C.DisableTorchFunctionSubclass():
        special = _MOVES.get(func)
        if special is not None:
            return special(*args, **kwargs)
        kwargs = dict(kwargs)
        rules.check_generator(kwargs.get("generator"), kwargs.get("device"), isinstance(first, CardTensor))
        device = kwargs.get("device")
        if is_card(device):
            if func in (torch.as_tensor, torch.tensor, torch.asarray) and isinstance(first, CardTensor):
                return first
            return on_card(func(*args, **{**kwargs, "device": HOST}))
        if device is not None and any(isinstance(argument, CardTensor) for argument in args):  # zeros_like(x, device=)
            del kwargs["device"]
            return rules.mapped(
                lambda leaf: moved(leaf, device) if isinstance(leaf, Tensor) else leaf, func(*args, **kwargs)
            )
        return func(*args, **kwargs)


def _to(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    kwargs.pop("non_blocking", None)
    copy, layout = kwargs.pop("copy", False), kwargs.pop("memory_format", None)
    device = dtype = None
    for wish in (*args, *kwargs.values()):
        if isinstance(wish, Tensor):
            device, dtype = wish.device, wish.dtype
        elif isinstance(wish, torch.dtype):
            dtype = wish
        elif isinstance(wish, str | torch.device):
            device = torch.device(wish)
        elif isinstance(wish, int) and not isinstance(wish, bool):
            device = CARD
    result = tensor if dtype in (None, tensor.dtype) else _TENSOR_TO(tensor, dtype)
    if layout is not None:
        result = result.contiguous(memory_format=layout)
    result = moved(result, device)
    return result.clone() if copy and result is tensor else result


def _numpy(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
    if isinstance(tensor, CardTensor):
        raise TypeError(
            "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first"
            f" [{rules.place()}]"
        )
    return Tensor.numpy(tensor, *args, **kwargs)


def _set_data(tensor: Tensor, data: Tensor) -> None:
    _TENSOR_DATA.__set__(tensor, data)
    if isinstance(tensor, CardTensor):
        tensor.held = held(data)


def _new_tensor(tensor: Tensor, data: Any, device: Any = None, dtype: Any = None, **kwargs: Any) -> Tensor:
    made = torch.tensor(data, dtype=dtype or tensor.dtype, **kwargs)
    return moved(made, device or tensor.device)


_TENSOR_TO = Tensor.to
_TENSOR_DATA: Any = Tensor.data
_MOVES = {
    Tensor.to: _to,
    Tensor.cpu: lambda tensor, *_, **__: moved(tensor, HOST),
    Tensor.cuda: lambda tensor, *_, **__: moved(tensor, CARD),
    Tensor.type_as: _to,
    Tensor.tolist: lambda tensor: moved(tensor, HOST).tolist(),
    Tensor.numpy: _numpy,
    Tensor.__array__: _numpy,
    Tensor.new_tensor: _new_tensor,
    Tensor.data.__get__: lambda tensor: CardTensor(tensor.held) if isinstance(tensor, CardTensor) else tensor.data,  # type: ignore[attr-defined]
    _TENSOR_DATA.__set__: _set_data,
    Tensor.untyped_storage: lambda tensor: held(tensor).untyped_storage(),
    Tensor.data_ptr: lambda tensor: held(tensor).data_ptr(),
}


def dispatched(func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """One operation, below autograd: checked, computed on the CPU, and its results put where its operands are."""
    every: list[Tensor] = []
    owners: dict[int, CardTensor] = {}

    def computable(part: Any) -> Any:
        if isinstance(part, CardTensor):
            every.append(part)
            owners[id(part.held)] = part
            return part.held
        if isinstance(part, Tensor):
            every.append(part)
        elif isinstance(part, list | tuple):
            return type(part)([computable(inner) for inner in part])
        return part

    computed_args = computable(args)
    computed_kwargs = {name: computable(value) for name, value in kwargs.items()}
    target = bool(owners) or is_card(kwargs.get("device"))
    if owners and not _by_the_gradient_of_cpp():
        rules.check(func, args, kwargs, every, CardTensor)
    if computed_kwargs.get("device") is not None:
        computed_kwargs["device"] = HOST
    if computed_kwargs.get("pin_memory"):
        computed_kwargs["pin_memory"] = False
    out = func(*computed_args, **computed_kwargs)

    def owned(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or isinstance(leaf, CardTensor):
            return leaf
        if id(leaf) in owners:  # an operation in place returns its operand
            return owners[id(leaf)]
        return CardTensor(leaf) if target else leaf

    return owned(out) if isinstance(out, Tensor) else rules.mapped(owned, out)


def _by_the_gradient_of_cpp() -> bool:
    """Whether C++ is taking a gradient: it makes zeros where it sees a card tensor, on the CPU, by no fault of ours."""
    node = torch._C._current_autograd_node()
    return node is not None and not isinstance(node, torch.autograd.function.BackwardCFunction)
