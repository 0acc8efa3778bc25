"""What a card refuses, and what makes a program on it slow."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]
ROOMS = tuple(f"{ROOT / room}/" for room in ("sds", "representations", "students", "cli"))

WAITING = {
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "unique_dim",
    "_unique2",
    "bincount",
    "equal",
    "is_nonzero",
}
"""Operations whose result decides what Python, or the size of a tensor, does next: the host waits for the card."""

FEW = 64
"""Numbers in float64 that nobody minds: the coefficients of a schedule."""

DEVICES_DIFFER = "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"


@dataclass
class Counts:
    """What was counted, each kind by the line of the program where it happened."""

    kinds: dict[str, Counter[str]] = field(default_factory=dict)

    def note(self, kind: str, what: str = "") -> None:
        self.kinds.setdefault(kind, Counter())[f"{place()} {what}".strip()] += 1

    def total(self, kind: str) -> int:
        return sum(self.kinds.get(kind, Counter()).values())

    def listed(self, kind: str) -> str:
        return "\n".join(f"{count:5} {where}" for where, count in self.kinds.get(kind, Counter()).most_common())

    def clear(self) -> None:
        self.kinds.clear()


COUNTS = Counts()


def place() -> str:
    """The innermost line of the program that is running."""
    frame = inspect.currentframe()
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(ROOMS):
            return f"{file[len(str(ROOT)) + 1 :]}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


def tensors_in(tree: Any) -> list[Tensor]:
    """The tensors in nested lists, tuples and dictionaries; torch's own pytree can do more, and is far slower."""
    if isinstance(tree, Tensor):
        return [tree]
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return [tensor for part in parts for tensor in tensors_in(part)]


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """Nested lists, tuples and dictionaries with ``function`` of each of their leaves."""
    if isinstance(tree, dict):
        return {key: mapped(function, part) for key, part in tree.items()}
    if isinstance(tree, list | tuple):
        parts = [mapped(function, part) for part in tree]
        if isinstance(tree, list):
            return parts
        return tuple(parts) if type(tree) is tuple else type(tree)(parts)
    return function(tree)


def check_generator(generator: torch.Generator | None, device: Any, first_on_card: bool) -> None:
    """Raises RuntimeError for random numbers on the card from a generator of the host."""
    on_card = torch.device(device).type == "cuda" if device is not None else first_on_card
    if generator is not None and on_card and generator.device.type != "cuda":
        raise RuntimeError(f"Expected a 'cuda' device type for generator but found 'cpu' [{place()}]")


def check(func: Any, args: Any, kwargs: Mapping[str, Any], every: list[Tensor], card: type[Tensor]) -> None:
    """Counts what is slow. Raises RuntimeError, as torch does, unless ``every`` operand is on the card."""
    cards = [tensor for tensor in every if isinstance(tensor, card)]
    if not cards:
        return
    name = _name(func)
    _count(name, args, kwargs, cards, card)
    strangers = [
        tensor for tensor in every if not isinstance(tensor, card) and not _may_stay(func, name, args, tensor, card)
    ]
    if strangers:
        raise RuntimeError(f"{DEVICES_DIFFER} ({name}, cpu {[tuple(t.shape) for t in strangers]}) [{place()}]")


@cache
def _name(func: Any) -> str:
    return func._schema.name.split("::")[1]


def _count(name: str, args: Any, kwargs: Mapping[str, Any], cards: list[Tensor], card: type[Tensor]) -> None:
    if name in WAITING or (name == "repeat_interleave" and kwargs.get("output_size") is None):
        COUNTS.note("synchronisations", name)
    if name.startswith(("index", "_index_put")) and len(args) > 1 and isinstance(args[1], list | tuple):
        masks = [index for index in args[1] if isinstance(index, card) and index.dtype is torch.bool]
        if masks:
            COUNTS.note("synchronisations", "mask as an index")
    if any(tensor.dtype is torch.float64 and tensor.numel() > FEW for tensor in cards):
        COUNTS.note("float64", name)


def _may_stay(func: Any, name: str, args: Any, tensor: Tensor, card: type[Tensor]) -> bool:
    """Whether torch lets this tensor of the host into an operation on the card."""
    if name in ("copy_", "_to_copy", "resize_", "set_", "_local_scalar_dense"):
        return True
    if name == "index":  # indices of the host are sent to the card
        return isinstance(args[0], card)
    if name in ("index_put", "index_put_", "_index_put_impl_", "_unsafe_index_put"):
        return isinstance(args[0], card) and (isinstance(args[2], card) or args[2].dim() == 0 or tensor is not args[2])
    pointwise = torch.Tag.pointwise in func.tags or name in (
        *("lerp", "where", "fill", "fill_", "masked_fill", "masked_fill_", "copy", "index_fill_", "addcmul", "addcdiv"),
        *("_fused_adam_", "_fused_adamw_"),
    )
    return pointwise and tensor.dim() == 0
