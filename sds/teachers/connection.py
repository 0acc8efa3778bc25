"""What a network, its folder and its text encoders need to be asked something: shared by all architectures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sds.teachers.conditioning import Conditioner, TextConditioner
from sds.teachers.folder import TeacherFolder, TeacherFolderError
from sds.teachers.learned_words import LearnedWord, teach
from sds.teachers.lora_files import LoraFile, Named, add_factors
from sds.teachers.text_encoding import Encoding, TextEncoder, load_text_encoder

Told = Mapping[str, Tensor]
"""The tensors of a condition, floating-point ones in the network's type."""

Call = Callable[[Any, Tensor, Tensor, Told], Tensor]
"""(network, x_t, timestep of shape (batch,), told) -> the network's output, shape (batch, channels, height, width)."""


@dataclass(frozen=True)
class Connection:
    """A network with all that is needed to ask it something.

    Attributes:
        call: how it is called.
        prompts: makes conditions from prompts.
        told_camera: whether the conditions need "camera" added.
        views_together: so many pictures in a row are views of one object, with one noise level.
    """

    call: Call
    prompts: Conditioner
    told_camera: bool = False
    views_together: int = 1


@dataclass(frozen=True)
class Site:
    """Where a network comes from and where it runs.

    Attributes:
        folder: the teacher's folder.
        component: "unet" or "transformer".
        image_size: (height, width) of the teacher's images in pixels.
        device, dtype: of the network.
        loras: what lies on the text encoders' weights: by their names, the factors and the file each comes from.
        words: what the text encoders are taught.
        widths: of the embeddings of the text encoders loaded so far.
    """

    folder: TeacherFolder
    component: str
    image_size: tuple[int, int]
    device: torch.device
    dtype: torch.dtype
    loras: Sequence[tuple[LoraFile, Mapping[str, Named]]] = ()
    words: Sequence[LearnedWord] = ()
    widths: set[int] = field(default_factory=set)

    def require(self, holds: bool, problem: str) -> None:
        """Raises TeacherFolderError with ``problem`` unless ``holds``."""
        if not holds:
            raise TeacherFolderError(f"{self.folder.path / self.component}: {problem}")

    def encoder(self, suffix: str, **how: Any) -> TextEncoder:
        """The text encoder of that suffix, see `load_text_encoder`, with what the user lays on it."""
        encoder = load_text_encoder(self.folder, suffix, self.device, self.dtype, **how)
        for lora, parts in self.loras:
            add_factors(encoder.network, parts.get(f"text_encoder{suffix}", {}), lora)
        self.widths.add(encoder.network.get_input_embeddings().weight.shape[-1])
        return teach(encoder, self.words)

    def text_conditioner(
        self, encode: Callable[[str], dict[str, Tensor]], widths: Mapping[str, int]
    ) -> TextConditioner:
        """A conditioner; its tensors have the ``widths`` that the network takes, checked on the null prompt."""
        conditioner = TextConditioner(encode)
        for name, width in widths.items():
            found = conditioner.row("")[name].shape[-1]
            self.require(found == width, f"the text encoders give '{name}' {found} wide, the network takes {width}")
        return conditioner


def all_encoders(site: Site, suffixes: Sequence[str], **how: Any) -> list[TextEncoder]:
    """The text encoders of those suffixes that the folder has."""
    return [site.encoder(suffix, **how) for suffix in suffixes if site.folder.has(f"text_encoder{suffix}")]


def beside(encodings: Sequence[Encoding]) -> Tensor:
    """The penultimate states of several encoders beside each other: (tokens, sum of widths)."""
    return torch.cat([encoding.penultimate for encoding in encodings], dim=-1)


def pooled(encodings: Sequence[Encoding]) -> Tensor:
    """The pooled vectors of several encoders, one after another."""
    vectors = [encoding.pooled for encoding in encodings if encoding.pooled is not None]
    if len(vectors) < len(encodings):
        raise TeacherFolderError("a text encoder has no pooled output, which this network needs")
    return torch.cat(vectors)
