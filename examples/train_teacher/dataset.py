"""Composes training pictures from layered views, with random captions, colours and backgrounds."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from build_dataset import HELD_OUT_VIEWS, nouns_of
from captions import CaptionWriter, jittered
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Groups of pictures; the views of a group show one object under one caption.

    Attributes:
        captions: G texts.
        objects: (G,) indices of objects.
        azimuth, elevation: (G, V) radians.
        background: (G, V, 3) in [0, 1].
        colour: (G, 3), the colour of painted parts; meaningless where nothing is painted.
        painted: (G,) bool, whether the dominant parts are repainted.
        fixed, shade, opacity: (G, V, 3 | 1 | 1, S, S) the layers of each picture, in [0, 1].
    """

    captions: list[str]
    objects: NDArray[np.int64]
    azimuth: Tensor
    elevation: Tensor
    background: Tensor
    colour: Tensor
    painted: Tensor
    fixed: Tensor
    shade: Tensor
    opacity: Tensor

    @property
    def picture(self) -> Tensor:
        """(G, V, 3, S, S) in [0, 1]."""
        over = (1 - self.opacity) * self.background[..., None, None]
        return (self.fixed + self.shade * self.colour[:, None, :, None, None] + over).clamp(0, 1)


class ViewDataset:
    """Reads the folder that `build_dataset` wrote.

    Args:
        folder: the data set.
        size: side of the pictures; the stored views are averaged down to it, once, in memory.
        held_out: use the views kept for measuring instead of those for training.
    """

    def __init__(self, folder: Path, size: int, held_out: bool = False) -> None:
        described = json.loads((folder / "objects.json").read_text(encoding="utf-8"))
        self.objects = described["objects"]
        self.nouns = nouns_of(described)
        chosen = slice(-HELD_OUT_VIEWS, None) if held_out else slice(0, -HELD_OUT_VIEWS)
        stored = np.load(folder / "views.npy", mmap_mode="r")
        self._views = shrink(stored, size)[:, chosen]
        self._cameras = np.load(folder / "cameras.npy")[:, chosen]
        count: dict[str, int] = {}
        for item in self.objects:
            count[item["noun"]] = count.get(item["noun"], 0) + 1
        # A noun with n models is shown n^0.6 times as often as one with a single model.
        weight = np.array([count[item["noun"]] ** -0.4 for item in self.objects])
        self._weight = weight / weight.sum()

    def sample(self, groups: int, views: int, writer: CaptionWriter, generator: np.random.Generator) -> Batch:
        """A random batch of `groups` x `views` pictures."""
        objects = generator.choice(len(self.objects), groups, p=self._weight)
        captions = [writer.write(self.objects[i]["noun"], self.objects[i]["fine_name"], generator) for i in objects]
        available = self._views.shape[1]
        chosen = np.stack([generator.choice(available, views, replace=False) for _ in range(groups)])
        return self.compose(
            objects,
            chosen,
            [caption.text for caption in captions],
            [None if caption.colour is None else jittered(caption.colour, generator) for caption in captions],
            random_backgrounds(groups * views, generator).reshape(groups, views, 3),
        )

    def compose(
        self,
        objects: NDArray[np.int64],
        views: NDArray[np.int64],
        captions: list[str],
        colours: list[NDArray[np.float32] | None],
        background: NDArray[np.float32],
    ) -> Batch:
        """Pictures of given objects (G,), views (G, V), colours (None: as the model is) and backgrounds (G, V, 3)."""
        layers = torch.from_numpy(self._views[objects[:, None], views]).float() / 255
        cameras = torch.from_numpy(self._cameras[objects[:, None], views])
        painted = torch.tensor([colour is not None for colour in colours])
        colour = torch.from_numpy(np.stack([np.zeros(3, np.float32) if c is None else c for c in colours]))
        is_painted = painted[:, None, None, None, None].float()
        return Batch(
            captions=captions,
            objects=objects,
            azimuth=cameras[..., 0],
            elevation=cameras[..., 1],
            background=torch.from_numpy(background),
            colour=colour,
            painted=painted,
            fixed=layers[:, :, 0:3] + (1 - is_painted) * layers[:, :, 3:6],
            shade=is_painted * layers[:, :, 6:7],
            opacity=layers[:, :, 7:8],
        )


def without_some_words(batch: Batch, share: float, generator: np.random.Generator) -> Batch:
    """The batch with the captions of a random share of its groups left empty, so that the null prompt is learnt too."""
    empty = generator.random(len(batch.captions)) < share
    captions = ["" if drop else caption for caption, drop in zip(batch.captions, empty, strict=True)]
    return replace(batch, captions=captions)


def random_backgrounds(count: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Plain backgrounds (count, 3): 30 % white, 55 % gray, 15 % any colour."""
    kind = generator.random(count)
    gray = np.repeat(generator.random((count, 1)), 3, axis=1)
    colour = generator.random((count, 3))
    return np.where(kind[:, None] < 0.3, 1.0, np.where(kind[:, None] < 0.85, gray, colour)).astype(np.float32)


def shrink(stored: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Averages views (N, V, C, S, S) down to (N, V, C, size, size) with an antialiasing filter."""
    if stored.shape[-1] == size:
        return np.asarray(stored)
    small = np.empty((*stored.shape[:3], size, size), np.uint8)
    for i, views in enumerate(stored):
        resized = torch.nn.functional.interpolate(
            torch.from_numpy(np.array(views)).float(), size=(size, size), mode="bilinear", antialias=True
        )
        small[i] = resized.round().clamp(0, 255).byte().numpy()
    return small
