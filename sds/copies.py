"""How the trainable copies of a teacher's network are held: whole or sharded, with all activations or a few.

A teacher may say so by a member ``copies``; whoever trains a copy begins it by `begun` and, when all that it shall be
told more has its weights, finishes it by `held_as_said`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from sds.denoiser import NeuralTeacher
from sds.lora import full_copy, lora_copy
from sds.processes import sees_parts
from sds.sharding import shard


@dataclass(frozen=True)
class Copies:
    """How trainable copies are held.

    Attributes:
        sharded: their weights are dealt out among the processes (`sds.sharding`).
        checkpointed: of each block only the input is kept for the gradient, and the rest computed again.
    """

    sharded: bool = False
    checkpointed: bool = False


def copies_of(teacher: object) -> Copies:
    """What a teacher says; otherwise whole copies that keep all activations."""
    said = getattr(teacher, "copies", None)
    return said if isinstance(said, Copies) else Copies()


def begun(teacher: NeuralTeacher, rank: int | None = None) -> nn.Module:
    """A trainable copy of a teacher's network, full or of a low ``rank``.

    Raises:
        ValueError: for a network that cannot be held as the teacher says.
    """
    copies = copies_of(teacher)
    if copies.sharded and rank is not None:
        raise ValueError("corrections of low rank share the frozen weights, and need no sharding: leave it out")
    network = full_copy(teacher.network) if rank is None else lora_copy(teacher.network, rank)
    if copies.checkpointed:
        enable = getattr(network, "enable_gradient_checkpointing", None)
        if enable is None or not getattr(network, "_supports_gradient_checkpointing", False):
            raise ValueError(f"a {type(network).__name__} does not support gradient checkpointing: leave it out")
        enable()
    return network


@contextmanager
def held_still(network: nn.Module) -> Iterator[None]:
    """The weights of ``network`` learn nothing from what is computed in the block.

    Except where that is computed again for its gradient, which must then happen as it did before: there what they would
    learn is added to their gradients, and forgotten by the next step of their own optimiser.
    """
    again = sees_parts() or any(getattr(module, "gradient_checkpointing", False) for module in network.modules())
    learning = [] if again else [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def held_as_said(teacher: NeuralTeacher, network: nn.Module) -> None:
    """Shard a copy that `begun` has made, if the teacher says so; nothing may be added to it afterwards."""
    if copies_of(teacher).sharded:
        shard(network)
