"""What a picture is called: nouns, finer names, synonyms and colours, and which pairs are kept out of training."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from curation import Noun, Repaint
from numpy.typing import NDArray

from sds.teachers.materials import COLOURS

COLOUR_SYNONYMS = {"grey": "gray", "cyan": "turquoise", "teal": "turquoise", "violet": "purple", "golden": "yellow"}

_PAINT_CHANCE = {Repaint.OFTEN: 0.6, Repaint.RARELY: 0.2, Repaint.NEVER: 0.0}


@dataclass(frozen=True)
class Caption:
    """Words for one object; `colour` is a key of `COLOURS` if it is to be repainted, else None."""

    text: str
    colour: str | None


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
        colour = None
        if generator.random() < _PAINT_CHANCE[kind.repaint]:
            drawn = str(generator.choice(list(COLOURS)))
            colour = None if (drawn, noun) in self._held_out else drawn
        if colour is None:
            return Caption(name, None)
        words = self._colour_words[colour]
        word = words[0] if len(words) == 1 or generator.random() < 0.7 else str(generator.choice(words[1:]))
        return Caption(f"{word} {name}", colour)

    def all_words(self, fine_names: list[str]) -> Iterator[str]:
        """Every text whose words a caption may use, for building a vocabulary."""
        yield from COLOURS
        yield from COLOUR_SYNONYMS
        yield from fine_names
        for noun in self._nouns.values():
            yield noun.name
            yield from noun.synonyms


def jittered(colour: str, generator: np.random.Generator) -> NDArray[np.float32]:
    """A shade of a named colour: (3,) in [0, 1]."""
    base = np.array(COLOURS[colour]) * generator.uniform(0.88, 1.1) + generator.normal(0, 0.03, 3)
    return np.clip(base, 0, 1).astype(np.float32)
