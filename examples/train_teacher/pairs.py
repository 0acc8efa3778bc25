"""Judges what a prompt says beside its noun: a colour, and a second thing with the place of the first beside it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from captions import COLOURS
from sampling_sheets import Request, Sampler
from torch import Tensor

from sds.recognition import Recogniser
from sds.recognition_of_scenes import alone, halves

_BESIDE = (
    ("chair", "table"),
    ("floor lamp", "bed"),
    ("horse", "tree"),
    ("dog", "chair"),
    ("bicycle", "car"),
    ("armchair", "floor lamp"),
    ("toilet", "bathtub"),
    ("stool", "piano"),
    ("guitar", "sofa"),
    ("suitcase", "bed"),
    ("motorcycle", "truck"),
    ("snowman", "christmas tree"),
    ("ladder", "wardrobe"),
    ("potted plant", "armchair"),
    ("trash can", "desk"),
)
_ON = (
    ("cat", "chair"),
    ("teddy bear", "sofa"),
    ("table lamp", "nightstand"),
    ("vase", "table"),
    ("laptop", "desk"),
    ("cat", "sofa"),
    ("telephone", "table"),
    ("dog", "bed"),
    ("tv", "tv stand"),
    ("birthday cake", "table"),
    ("hat", "stool"),
    ("rabbit", "box"),
    ("teapot", "tray"),
    ("microwave", "sideboard"),
    ("printer", "desk"),
)
_TOP = 5


@dataclass(frozen=True)
class Pair:
    """Two things: the first stands beside the second, to its left seen from the front, or on it."""

    first: str
    second: str
    on: bool

    @property
    def prompt(self) -> str:
        """What is asked for."""
        return f"a {self.first} {'on' if self.on else 'beside'} a {self.second}"


def related_pairs(nouns: list[str]) -> list[Pair]:
    """The pairs to ask for of which both things are known."""
    chosen = [Pair(first, second, False) for first, second in _BESIDE] + [Pair(a, b, True) for a, b in _ON]
    return [pair for pair in chosen if pair.first in nouns and pair.second in nouns]


def two_things(sampler: Sampler, recogniser: Recogniser, chosen: list[Pair]) -> dict[str, float]:
    """How often both things are recognised in their places.

    A picture from the front is cut in two, at one of a few places; a pair counts if for one cut each part, enlarged,
    has its thing among the recogniser's first five.
    """
    pictures = sampler.draw([Request(pair.prompt, 0.0) for pair in chosen])
    both = [_in_their_places(recogniser, picture, pair) for picture, pair in zip(pictures, chosen, strict=True)]
    return {"pairs": len(chosen), "both recognised, in their places": sum(both) / max(len(both), 1)}


def _in_their_places(recogniser: Recogniser, picture: Tensor, pair: Pair) -> bool:
    beside, above = halves(picture)
    for parts in above if pair.on else beside:
        ranks = [
            recogniser.rank(alone(part, recogniser.side)[None], noun)
            for part, noun in zip(parts, (pair.first, pair.second), strict=True)
        ]
        if all(int(rank) < _TOP for rank in ranks):
            return True
    return False


def colour_of(picture: Tensor) -> str:
    """The colour name nearest to what fills a picture (3, S, S) over white, by hue and lightness of its object."""
    pixels = picture.flatten(1).T
    coloured = pixels[(1 - pixels).abs().amax(1) > 0.12]
    if len(coloured) < 8:
        return "white"
    names = list(COLOURS)
    table = torch.tensor([COLOURS[name] for name in names])
    # Shading scales a colour; compare each pixel with lit and shaded versions, and let the pixels vote.
    shaded = table[None] * torch.tensor([1.0, 0.8, 0.6])[:, None, None]
    distance = torch.cdist(coloured[None].expand(3, -1, -1), shaded).amin(0)
    votes = torch.bincount(distance.argmin(1), minlength=len(names))
    return names[int(votes.argmax())]
