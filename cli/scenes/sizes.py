"""How large a thing is, so that a mesh arrives in metres: the teacher's own list of models knows."""

from __future__ import annotations

import csv
import statistics
from functools import cache
from pathlib import Path

from sds.teachers.embedded_words.tokens import latin_words_of

UNKNOWN = 1.0
"""Metres along the longest side of a thing that is not on the list."""


def longest_side(prompt: str, noun: str | None, folder: Path) -> float:
    """Metres along the longest side: the median of the models whose own name the prompt speaks of, else of its noun's.

    Args:
        prompt: what was asked for.
        noun: what the prompt speaks of, if it is known.
        folder: of a teacher, with ``models.csv``.
    """
    sizes = sizes_by_name(folder)
    words = latin_words_of(prompt)
    spoken_of = [
        tuple(words[start:end]) for start in range(len(words)) for end in range(len(words), start, -1)
    ]  # the longest first at each place
    named = max((name for name in spoken_of if name in sizes), key=len, default=None)
    if named is None and noun is not None:
        named = tuple(latin_words_of(noun))
    return sizes.get(named or (), UNKNOWN)


@cache
def sizes_by_name(folder: Path) -> dict[tuple[str, ...], float]:
    """The median longest side in metres of the models of each name; empty if the teacher has no list."""
    path = folder / "models.csv"
    if not path.exists():
        return {}
    sides: dict[tuple[str, ...], list[float]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["longest_side_m"]:
                for name in {row["noun"], row["fine_name"]} - {""}:
                    sides.setdefault(tuple(latin_words_of(name)), []).append(float(row["longest_side_m"]))
    return {name: statistics.median(lengths) for name, lengths in sides.items()}
