"""How a big network computes: compiled, or with its weights in the computer's memory until a layer needs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from diffusers import ModelMixin
from torch import Tensor, nn

from sds.teachers.folder import TeacherFolderError


def _trial(x: Tensor) -> Tensor:
    return x.sin() + 1


def compile_network(network: nn.Module, device: torch.device) -> None:
    """Lets torch compile ``network`` at its first call; its weights and their names stay as they are.

    Raises TeacherFolderError where this machine has nothing to compile with, after a trial on eight numbers.
    """
    try:
        torch.compile(_trial)(torch.ones(8, device=device))
    except Exception as error:  # compilers raise what they like
        raise TeacherFolderError(
            f"torch cannot compile on this machine, leave --compile out ({first_line(error)})"
        ) from error
    network.compile()


@contextmanager
def compiling() -> Iterator[None]:
    """Turns what torch's compiler raises at a network's first call, or at a new shape, into a `TeacherFolderError`.

    A machine that can compile the trial may still fail at the network: without room on the disk or in a card.
    """
    from torch._dynamo.exc import TorchDynamoException

    try:
        yield
    except TorchDynamoException as error:
        raise TeacherFolderError(
            f"torch cannot compile the teacher's network, leave --compile out ({first_line(error)})"
        ) from error


def first_line(error: Exception) -> str:
    """What an error says before its details: compilers add logs and whole commands."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def wait_in_memory(network: ModelMixin, device: torch.device) -> None:
    """Leaves the weights of ``network`` in the computer's memory, and brings each layer's to ``device`` for its turn.

    A card then holds a layer or two. Steps become slower by the time that the weights take to travel.
    """
    network.enable_group_offload(device, torch.device("cpu"), "leaf_level", use_stream=device.type == "cuda")
