"""What a picture is called: nouns, finer names, synonyms and colours, and which pairs are kept out of training."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from curation import Noun, Repaint
from numpy.typing import NDArray

from sds.teachers.materials import COLOURS, MATERIALS, Colour, Paint, paint_of

COLOUR_SYNONYMS = {"grey": "gray", "cyan": "turquoise", "teal": "turquoise", "violet": "purple", "golden": "yellow"}

_PAINT_CHANCE = {Repaint.OFTEN: 0.65, Repaint.RARELY: 0.2, Repaint.NEVER: 0.0}
_MATERIAL_CHANCE = 0.35
"""Of painted things; most of these are of the material's own colour."""
_MATERIAL_ALONE = 0.6


@dataclass(frozen=True)
class Caption:
    """Words for one object.

    Attributes:
        text: the words.
        colour: a key of `COLOURS` if they name one, else None.
        paint: what the object's paintable parts are covered with, a shade of that colour; None leaves them as they are.
        material: a key of `MATERIALS` if they name one, else None.
    """

    text: str
    colour: str | None
    paint: Paint | None = None
    material: str | None = None


def read_held_out(path: Path) -> frozenset[tuple[str, str]]:
    """Reads (colour, noun) pairs that training never shows (columns: colour, noun)."""
    with path.open(newline="", encoding="utf-8") as file:
        return frozenset((row["colour"], row["noun"]) for row in csv.DictReader(file))


class CaptionWriter:
    """Writes captions for objects.

    Args:
        nouns: all kinds of things.
        held_out: (colour, noun) pairs never to be used.
    """

    def __init__(self, nouns: list[Noun], held_out: frozenset[tuple[str, str]] = frozenset()) -> None:
        self._nouns = {noun.name: noun for noun in nouns}
        self._held_out = held_out
        self._colour_words = {colour: [colour] for colour in COLOURS}
        for synonym, colour in COLOUR_SYNONYMS.items():
            self._colour_words[colour].append(synonym)

    def write(self, noun: str, fine_name: str, generator: np.random.Generator) -> Caption:
        """A random caption for an object."""
        kind = self._nouns[noun]
        name = noun
        if fine_name and generator.random() < 0.35:
            name = fine_name
        elif kind.synonyms and generator.random() < 0.35:
            name = str(generator.choice(kind.synonyms))
        colour, material = self._painted(noun, kind.repaint, generator)
        words = []
        if colour is not None:
            known = self._colour_words[colour]
            words.append(known[0] if len(known) == 1 or generator.random() < 0.7 else str(generator.choice(known[1:])))
        if material is not None:
            words.append(material)
        return Caption(" ".join([*words, name]), colour, shade_of(paint_of(colour, material), generator), material)

    def _painted(self, noun: str, repaint: Repaint, generator: np.random.Generator) -> tuple[str | None, str | None]:
        """A colour and a material, or None; pairs that are held out become neither."""
        if generator.random() >= _PAINT_CHANCE[repaint]:
            return None, None
        material = str(generator.choice(list(MATERIALS))) if generator.random() < _MATERIAL_CHANCE else None
        alone = material is not None and generator.random() < _MATERIAL_ALONE
        colour = None if alone else str(generator.choice(list(COLOURS)))
        if (colour, noun) in self._held_out or (material, noun) in self._held_out:
            return None, None
        return colour, material

    def all_words(self, fine_names: list[str]) -> Iterator[str]:
        """Every text whose words a caption may use, for building a vocabulary."""
        yield from COLOURS
        yield from COLOUR_SYNONYMS
        yield from fine_names
        for noun in self._nouns.values():
            yield noun.name
            yield from noun.synonyms


def shade_of(paint: Paint | None, generator: np.random.Generator) -> Paint | None:
    """The same paint in a random shade of its colour."""
    if paint is None:
        return None
    red, green, blue = jittered(paint.colour, generator).tolist()
    return Paint((red, green, blue), paint.material)


def jittered(colour: Colour, generator: np.random.Generator) -> NDArray[np.float32]:
    """A shade of a colour: (3,) in [0, 1]."""
    base = np.array(colour) * generator.uniform(0.88, 1.1) + generator.normal(0, 0.03, 3)
    return np.clip(base, 0, 1).astype(np.float32)
