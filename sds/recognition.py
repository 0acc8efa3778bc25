"""What is in this picture? A small classifier of nouns, trained on renders of real models, never on generated ones.

It is the yardstick for the embedded teacher and for what score distillation makes with it. What counts as right is
the noun of the prompt itself: synonyms are one noun (sofa, couch), neighbours are not (chair, office chair).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from sds.teachers.embedded import EMBEDDED_FOLDER
from sds.teachers.embedded_words.tokens import latin_words_of
from sds.teachers.folder import TeacherFolder
from sds.teachers.weights import load_network

_COMPONENT = "recogniser"


class Recogniser(ModelMixin, ConfigMixin):
    """A convolutional classifier.

    Args:
        names: for every noun the names it goes by; the noun itself is one of them.
        size: side of the pictures it looks at; others are resized.
        channels: feature maps of the five convolutions.
    """

    @register_to_config
    def __init__(
        self,
        names: Mapping[str, Sequence[str]],
        size: int = 48,
        channels: Sequence[int] = (32, 64, 128, 192, 256),
    ) -> None:
        super().__init__()
        self.nouns = tuple(sorted(names))  # the order of the logits; configuration files do not keep another one
        self.side = size
        strides = (2, 2, 1, 2, 1)
        inputs = (3, *channels[:-1])
        self.features = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.GroupNorm(8, after), nn.SiLU()
                )
                for before, after, stride in zip(inputs, channels, strides, strict=True)
            )
        )
        self.head = nn.Linear(2 * channels[-1], len(self.nouns))
        self._noun_of_name = {tuple(latin_words_of(name)): noun for noun, known in names.items() for name in known}

    @classmethod
    def load(cls, folder: Path | None = None) -> Recogniser:
        """The classifier in a teacher's folder, by default the one that is shipped.

        Raises:
            sds.teachers.folder.TeacherFolderError: the folder has none, or it is broken.
        """
        folder = folder or EMBEDDED_FOLDER
        opened = TeacherFolder(folder, folder.resolve(), {_COMPONENT: ["sds", cls.__name__]})
        network = load_network(opened, _COMPONENT, {("sds", cls.__name__): cls})
        assert isinstance(network, cls)
        return network

    def logits(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1] -> scores (B, number of nouns)."""
        if images.shape[-2:] != (self.side, self.side):
            shrinks = min(images.shape[-2:]) > self.side
            images = F.interpolate(
                images, (self.side, self.side), mode="bilinear", align_corners=False, antialias=shrinks
            )
        features = self.features(images * 2 - 1)
        return self.head(torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)).float()

    def noun_of(self, prompt: str) -> str | None:
        """The noun a prompt speaks of: that of the longest known name in it, the last one if two are equally long."""
        words = latin_words_of(prompt)
        found: str | None = None
        longest = 0
        for start in range(len(words)):
            for end in range(start + 1, len(words) + 1):
                noun = self._noun_of_name.get(tuple(words[start:end]))
                if noun is not None and end - start >= longest:
                    found, longest = noun, end - start
        return found

    def rank(self, images: Tensor, noun: str) -> Tensor:
        """How many nouns the classifier holds likelier than `noun`, for each picture: (B,) int64, 0 is recognised.

        Raises:
            ValueError: it does not know the noun.
        """
        if noun not in self.nouns:
            raise ValueError(f"the classifier does not know {noun!r}")
        return rank_in(self.logits(images), self.nouns.index(noun))


def rank_in(logits: Tensor, number: int) -> Tensor:
    """How many nouns have a higher score than the noun of this number: (B,) int64 for scores (B, number of nouns)."""
    return (logits > logits[:, number, None]).sum(1)
