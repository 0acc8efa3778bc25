"""Nouns of WordNet 3.0 (Miller 1995; Debian package wordnet-base): what is a kind of what."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ANIMAL = 5
"""The lexicographer file of animals (wninput(5WN))."""

_PHYSICAL = frozenset({ANIMAL, 6, 8, 13, 17, 20})
"""Lexicographer files of animals, artifacts, bodies, food, natural objects and plants (wninput(5WN))."""

_PERSON = 18


@dataclass(frozen=True)
class Synset:
    """One meaning.

    Attributes:
        file: number of its lexicographer file.
        parents: what it is a kind of.
        instance: whether it is a single thing, such as a city.
    """

    file: int
    parents: tuple[str, ...]
    instance: bool

    @property
    def physical(self) -> bool:
        """Whether it can be seen and is no person."""
        return self.file in _PHYSICAL

    @property
    def person(self) -> bool:
        """Whether it is a person."""
        return self.file == _PERSON


@dataclass(frozen=True)
class WordNet:
    """Its nouns.

    Attributes:
        synsets: by their number.
        senses: for every lemma (lower case, ``_`` between words) its meanings, the most frequent first.
        counts: how often a sense of a lemma was met in tagged text: (lemma, number from 1, part of speech) -> times.
        adjectives: the lemmas that are adjectives as well.
    """

    synsets: Mapping[str, Synset]
    senses: Mapping[str, tuple[str, ...]]
    counts: Mapping[tuple[str, int], int]
    adjective_counts: Mapping[str, int]

    @classmethod
    def read(cls, folder: Path) -> WordNet:
        """Reads ``data.noun``, ``index.noun``, ``index.adj`` and ``cntlist.rev``.

        Raises:
            FileNotFoundError: they are not there.
        """
        synsets = {}
        for fields in _lines(folder / "data.noun"):
            words = int(fields[3], 16)
            start = 4 + 2 * words
            pointers = [fields[start + 1 + 4 * i : start + 5 + 4 * i] for i in range(int(fields[start]))]
            up = [(kind, target) for kind, target, part, _ in pointers if part == "n" and kind in {"@", "@i"}]
            parents = tuple(target for _, target in up)
            synsets[fields[0]] = Synset(int(fields[1]), parents, any(kind == "@i" for kind, _ in up))
        senses = {f[0]: tuple(f[4 + int(f[3]) + 2 :]) for f in _lines(folder / "index.noun")}
        counts: dict[tuple[str, int], int] = {}
        adjectives = {f[0]: 0 for f in _lines(folder / "index.adj")}
        for line in (folder / "cntlist.rev").read_text(encoding="latin-1").splitlines():
            key, number, times = line.split()
            lemma, _, rest = key.partition("%")
            if rest[0] == "1":
                counts[lemma, int(number)] = counts.get((lemma, int(number)), 0) + int(times)
            elif rest[0] in "35":
                adjectives[lemma] = adjectives.get(lemma, 0) + int(times)
        return cls(synsets, senses, counts, adjectives)

    def sense(self, name: str) -> str:
        """The synset of ``"chair.1"``, the first sense of "chair".

        Raises:
            KeyError: there is no such sense.
        """
        lemma, _, number = name.rpartition(".")
        found = self.senses.get(lemma, ())
        if not number.isdigit() or not 1 <= int(number) <= len(found):
            raise KeyError(f"WordNet has no noun {name!r}")
        return found[int(number) - 1]

    def upwards(self, synset: str) -> Iterator[tuple[int, list[str]]]:
        """What a synset is a kind of: (distance, synsets), beginning with (0, [itself])."""
        level, seen, distance = [synset], {synset}, 0
        while level:
            yield distance, level
            level = [up for one in level for up in self.synsets[one].parents if up not in seen]
            seen |= set(level)
            distance += 1


def _lines(path: Path) -> Iterator[list[str]]:
    for line in path.read_text(encoding="latin-1").splitlines():
        if not line.startswith(" "):
            yield re.sub(r" \| .*", "", line).split()
