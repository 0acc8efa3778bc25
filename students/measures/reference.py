"""What generated images are measured against: the features of real ones, with what each shows and from where.

A teacher's folder may hold such a file. It is small, where the images themselves are not, and makes measurements
repeatable on a computer that has never seen them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sds.checkpoint import written_whole
from students.prompts import StoredView

REFERENCE = "reference.safetensors"
"""The name of the file in a teacher's folder."""


class ReferenceFileError(ValueError):
    """A file of reference features is damaged. The message says what to do."""


@dataclass(frozen=True)
class Reference:
    """Real images, as a network sees them.

    Attributes:
        features: shape (images, width).
        prompts: what each image shows.
        view: from where, or None if that is not known.
        network: which features these are, for people.
        images: which images these are, for people.
    """

    features: Tensor
    prompts: Sequence[str]
    view: StoredView | None
    network: str
    images: str

    def __len__(self) -> int:
        return len(self.features)

    def first(self, count: int) -> Reference:
        """The first ``count`` images; they are in random order."""
        view = None if self.view is None else self.view.part(torch.arange(min(count, len(self))))
        return Reference(self.features[:count], self.prompts[:count], view, self.network, self.images)

    def save(self, path: Path) -> None:
        """Write a safetensors file; features are kept in half precision."""
        tensors = {"features": self.features.half()}
        if self.view is not None:
            tensors |= {name: value.float().clone() for name, value in self.view.tensors().items()}
        described = {"prompts": json.dumps(list(self.prompts)), "network": self.network, "images": self.images}
        with written_whole(path) as temporary:
            save_file({name: value.contiguous() for name, value in tensors.items()}, temporary, described)


def load_reference(path: Path) -> Reference:
    """Read what `Reference.save` wrote; features as float32. Raises ReferenceFileError if the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
            described = file.metadata() or {}
        prompts = json.loads(described["prompts"])
        stored = StoredView.among(tensors)
        views = [] if stored is None else stored.tensors().values()
        if {len(prompts), *map(len, views)} != {len(tensors["features"])}:
            raise ValueError("features, prompts and views are not equally many")
        return Reference(tensors["features"].float(), prompts, stored, described["network"], described["images"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ReferenceFileError(f"{path} is not a file of reference features, or it is damaged: {error}") from None
