"""What a teacher's port sends and gets: named tensors and a few words, as one safetensors file in memory.

Nothing in a message is executed; whatever is wrong with it is one `MessageError`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from sds.denoiser import Condition

WORDS = "words"
"""The name of the words in the metadata of a safetensors file."""

TOLD = "told: "
"""Before the names of a condition's tensors."""

LARGEST = 2**30
"""Bytes of a message that are read at all."""


class MessageError(ValueError):
    """A message cannot be read, or lacks something."""


def packed(tensors: Mapping[str, Tensor], **words: Any) -> bytes:
    """A message; tensors are taken to the host as they are."""
    # A file of no tensor has no metadata: there is always one.
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()} or {"": torch.zeros(1)}
    return save(plain, {WORDS: json.dumps(words)})


def unpacked(content: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, words) of a message. Raises MessageError if it is none."""
    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        words = json.loads(header["__metadata__"][WORDS])
    except Exception as error:  # safetensors, json and torch have half a dozen types for a broken file
        raise MessageError(f"the message cannot be read ({type(error).__name__})") from error
    if not isinstance(words, dict):
        raise MessageError("the words of a message must be an object")
    return tensors, words


def wanted(tensors: Mapping[str, Tensor], *names: str) -> list[Tensor]:
    """The tensors of these names. Raises MessageError if one is missing."""
    missing = [name for name in names if name not in tensors]
    if missing:
        raise MessageError(f"the message lacks {', '.join(missing)}")
    return [tensors[name] for name in names]


def with_condition(condition: Condition) -> dict[str, Tensor]:
    """The tensors of a condition, by names that cannot be mistaken for others."""
    return {TOLD + name: tensor for name, tensor in condition.tensors.items()}


def condition_in(tensors: Mapping[str, Tensor]) -> Condition:
    """The condition in a message. Raises ValueError if there is none, or its parts do not fit."""
    return Condition({name.removeprefix(TOLD): tensor for name, tensor in tensors.items() if name.startswith(TOLD)})
