"""Composes pictures of any look, paint and background from the layers that `build_fields` rendered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from build_fields import HELD_OUT_VIEWS, object_file
from captions import Caption, CaptionWriter
from numpy.typing import NDArray
from objects import Variant, weights_of
from torch import Tensor

from sds.teachers.layers import LOOKS, all_looks, picture

LOOK_SHARES = (0.4, 0.3, 0.3)
"""How often a picture is lit, albedo, normals."""


@dataclass(frozen=True)
class Pictures:
    """B pictures, each of one object in one look.

    Attributes:
        captions: what each shows.
        objects: (B,) indices of variants.
        views: (B,) which of the object's views.
        azimuth, elevation: (B,) radians.
        background: (B, 3) in [0, 1].
        look: (B,) int64, indices into `LOOKS`.
        picture: (B, 3, S, S) in [0, 1].
    """

    captions: list[Caption]
    objects: NDArray[np.int64]
    views: NDArray[np.int64]
    azimuth: Tensor
    elevation: Tensor
    background: Tensor
    look: Tensor
    picture: Tensor


class LookDataset:
    """Layers of all objects in memory.

    Args:
        folder: what `build_fields` wrote.
        variants: the objects.
        views: how many of each object's training views.
        held_out: take the views kept for measuring instead.
    """

    def __init__(self, folder: Path, variants: list[Variant], views: int, held_out: bool = False) -> None:
        self.variants = variants
        layers, cameras = [], []
        for variant in variants:
            stored = np.load(object_file(folder, variant.key))
            total = len(stored["cameras"])
            chosen = np.arange(total - HELD_OUT_VIEWS, total) if held_out else spread_views(total, views)
            layers.append(stored["layers"][chosen])
            cameras.append(stored["cameras"][chosen])
        self.layers = np.stack(layers)
        self.cameras = np.stack(cameras)
        self.share = weights_of(variants)

    def sample(self, count: int, writer: CaptionWriter, generator: np.random.Generator) -> Pictures:
        """`count` random pictures of random objects."""
        objects, views, captions = self.choose(count, writer, generator)
        look = generator.choice(len(LOOKS), count, p=LOOK_SHARES)
        return self.compose(objects, views, captions, look, random_backgrounds(count, generator))

    def choose(
        self, count: int, writer: CaptionWriter, generator: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], list[Caption]]:
        """`count` random objects, a view of each, and what it is called."""
        objects = generator.choice(len(self.variants), count, p=self.share)
        captions = [writer.write(self.variants[i].noun, self.variants[i].fine_name, generator) for i in objects]
        return objects, generator.integers(self.layers.shape[1], size=count), captions

    def compose(
        self,
        objects: NDArray[np.int64],
        views: NDArray[np.int64],
        captions: list[Caption],
        look: NDArray[np.int64],
        background: NDArray[np.float32],
    ) -> Pictures:
        """Pictures of given objects, views, captions (for their paint), looks and backgrounds (B, 3)."""
        azimuth, elevation = torch.from_numpy(self.cameras[objects, views]).unbind(1)
        layers = torch.from_numpy(self.layers[objects, views]).float() / 255
        looks = all_looks(layers, [caption.paint for caption in captions], azimuth, elevation)
        chosen, over = torch.from_numpy(look), torch.from_numpy(background)
        return Pictures(captions, objects, views, azimuth, elevation, over, chosen, picture(looks, chosen, over))


def spread_views(total: int, views: int) -> NDArray[np.int64]:
    """Which training views of an object with `total` are taken: they are stored in the order of their azimuths."""
    training = total - HELD_OUT_VIEWS
    return np.arange(min(views, training)) * training // min(views, training)


def random_backgrounds(count: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Plain backgrounds (count, 3): 30 % white, 55 % gray, 15 % any colour."""
    kind = generator.random(count)
    gray = np.repeat(generator.random((count, 1)), 3, axis=1)
    colour = generator.random((count, 3))
    return np.where(kind[:, None] < 0.3, 1.0, np.where(kind[:, None] < 0.85, gray, colour)).astype(np.float32)
