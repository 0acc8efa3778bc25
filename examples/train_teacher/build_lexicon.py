"""Makes the words of a teacher: its nouns with all their names, and a dictionary of further words that name the same.

    apt-get download wordnet-base wamerican-large, then dpkg -x both into work/words
    python examples/train_teacher/build_lexicon.py --wordnet work/words/usr/share/wordnet \
        --dictionary work/words/usr/share/dict/american-english-large --out work/teacher/words

A word names a noun if WordNet knows it as a kind of what the noun is ("ewer" is a kind of pitcher.2): `senses.csv`
says which meanings a noun has. WordNet: https://wordnet.princeton.edu, its licence is in THIRD_PARTY_NOTICES.md.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from captions import COLOURS
from curation import read_nouns
from wordnet import ANIMAL, WordNet

from sds.teachers.embedded_words.adjectives import MATERIALS, PROPORTIONS, AdjectiveBook
from sds.teachers.embedded_words.lexicon import Known, Lexicon
from sds.teachers.embedded_words.near_words import NearWords
from sds.teachers.embedded_words.nouns import KnownNoun

_HERE = Path(__file__).parent
_NOTHING = "-"
"""The noun in `senses.csv` that gathers the kinds which are cut off: a ship is no boat."""

_ANY_DEPTH = 99
_SHARE = 0.25
_RANK = 3
_RARE = 5
_SHALLOWEST = 5
"""Two things that only "object" or "artifact" have in common are not near: the least depth of what they share."""


@dataclass(frozen=True)
class Root:
    """A meaning of a noun, and how far down its kinds still are that noun."""

    noun: str
    synset: str
    depth: int


def read_senses(path: Path, net: WordNet) -> list[Root]:
    """Reads a table (columns: noun, senses): ``chair.1`` with all its kinds, ``clothing.1@1`` with the next ones
    only, ``seat.3!`` without any.

    Raises:
        KeyError: WordNet has no such sense.
        ValueError: a sense is misspelt.
    """
    roots = []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for sense in row["senses"].split(";"):
                match = re.fullmatch(r"(.+?\.\d+)(!|@(\d+))?", sense)
                if not match:
                    raise ValueError(f"{path}: {sense!r} is no sense such as chair.1, seat.3! or clothing.1@1")
                depth = _ANY_DEPTH if not match[2] else int(match[3] or 0)
                roots.append(Root(row["noun"], net.sense(match[1]), depth))
    return roots


class Kinds:
    """Which noun a word names, by WordNet.

    Args:
        net: WordNet.
        roots: what the nouns mean.
    """

    def __init__(self, net: WordNet, roots: list[Root]) -> None:
        self._net = net
        self._roots: dict[str, Root] = {}
        for root in roots:
            self._roots.setdefault(root.synset, root)
        self._below: dict[str, dict[str, int]] = defaultdict(dict)
        for root in roots:
            if root.noun == _NOTHING:
                continue
            for distance, level in net.upwards(root.synset):
                for synset in level:
                    nouns = self._below[synset]
                    nouns[root.noun] = min(distance, nouns.get(root.noun, distance))
        self._kind = cache(self._find_kind)
        self._depth = cache(self._find_depth)
        self._joined = {
            lemma.replace("_", "").replace("-", ""): lemma for lemma in net.senses if "_" in lemma or "-" in lemma
        }

    def noun_of(self, word: str) -> str | None:
        """The noun that a word or phrase names.

        It is the first of its meanings that can be seen which decides; a later one does if it is common enough. Words
        that are adjectives before all ("entire", a stallion) name nothing.
        """
        lemma = word.replace(" ", "_")
        lemma = lemma if lemma in self._net.senses else self._joined.get(lemma, "")
        senses = self._net.senses.get(lemma, ())
        total = sum(self._net.counts.get((lemma, i + 1), 0) for i in range(len(senses)))
        if self._net.adjective_counts.get(lemma, 0) > max(total, _RARE):
            return None
        rival = -1
        for i, synset in enumerate(senses):
            meaning = self._net.synsets[synset]
            if meaning.instance:
                continue
            times = self._net.counts.get((lemma, i + 1), 0)
            if (noun := self._kind(synset)) is not None:
                common = (times + 0.5) / (total + 0.5 * len(senses)) >= _SHARE and i <= _RANK and times >= rival
                return noun if rival < 0 or common else None
            if meaning.physical or (meaning.person and self._kind_of_person(senses)):
                rival = max(rival, times)
        return None

    def _kind_of_person(self, senses: tuple[str, ...]) -> bool:
        """Whether the first noun that the meanings name is a person: then other persons are its rivals."""
        named = next((one for one in senses if self._kind(one)), None)
        return named is not None and self._net.synsets[named].person

    def _find_kind(self, synset: str) -> str | None:
        for distance, level in self._net.upwards(synset):
            if hits := [self._roots[one] for one in level if one in self._roots]:
                root = min(hits, key=lambda root: root.depth < distance)
                return root.noun if distance <= root.depth and root.noun != _NOTHING else None
        return None

    def near(self, word: str, count: int) -> tuple[str, ...]:
        """The nouns that have most in common with what a word means, the nearest first; none if that is too little."""
        lemma = word.replace(" ", "_")
        senses = self._net.senses.get(lemma, ())
        seen = [(i, one) for i, one in enumerate(senses) if self._net.synsets[one].physical]
        times = max((self._net.counts.get((lemma, i + 1), 0) for i, _ in seen), default=-1)
        first_is_person = bool(senses) and self._net.synsets[senses[0]].person
        if first_is_person and self._net.counts.get((lemma, 1), 0) > times:
            seen.insert(0, (0, senses[0]))
        return next((found for _, one in seen if (found := self._near_synset(one, count))), ())

    def _near_synset(self, synset: str, count: int) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for _, level in self._net.upwards(synset):
            for shared in level:
                if self._depth(shared) >= _SHALLOWEST:
                    found |= dict.fromkeys(sorted(self._below[shared], key=lambda n: (self._below[shared][n], n)))
            if len(found) >= count:
                break
        return tuple(found)[:count]

    def _find_depth(self, synset: str) -> int:
        return max(distance for distance, _ in self._net.upwards(synset))


def words_of_interest(
    net: WordNet, kinds: Kinds, dictionary: Path, own: set[str], adjectives: AdjectiveBook
) -> Iterator[str]:
    """The words of the dictionary, and WordNet's phrases of two words that name a noun or hold a teacher's own word.

    Such a phrase matters even if it names nothing that is known: a bus stop is no bus. Phrases that begin with an
    adjective are left to it ("white bread"), except names of animals ("golden retriever").
    """
    listed = {line.strip() for line in dictionary.read_text(encoding="utf-8").splitlines()}
    for word in listed:
        if word.isascii() and word.isalpha() and word.islower() and len(word) > 1:
            yield word
    for lemma in net.senses:
        parts = lemma.split("_")
        if len(parts) != 2 or not lemma.replace("_", "").isalpha():
            continue
        begins_free = not adjectives.readings(parts[0]) or net.synsets[net.senses[lemma][0]].file == ANIMAL
        if begins_free and (own & set(parts) or kinds.noun_of(lemma)):
            yield " ".join(parts)


def build(wordnet: Path, dictionary: Path, nouns: Path, curation: Path, senses: Path) -> Lexicon:
    """Everything the teacher of two tables can be told."""
    fine: dict[str, dict[str, None]] = defaultdict(dict)
    with curation.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["noun"] and row["fine_name"]:
                fine[row["noun"]][row["fine_name"]] = None
    known = Known(
        tuple(KnownNoun(noun.name, noun.synonyms, tuple(fine[noun.name])) for noun in read_nouns(nouns)),
        tuple(COLOURS),
        tuple(MATERIALS),
        tuple(PROPORTIONS),
    )
    net = WordNet.read(wordnet)
    kinds = Kinds(net, read_senses(senses, net))
    own = {word for noun in known.nouns for name in (noun.name, *noun.synonyms) for word in name.split()}
    book = AdjectiveBook(known.colours, known.materials, known.proportions)
    words = sorted(set(words_of_interest(net, kinds, dictionary, own, book)))
    meant = {word: kinds.noun_of(word) for word in words}
    near = {word: found for word in words if (found := kinds.near(word, 3))}
    return Lexicon(known, NearWords(meant, near))


def main() -> None:
    """Reads the tables and writes the words."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", type=Path, required=True, help="folder with data.noun and index.noun")
    parser.add_argument("--dictionary", type=Path, required=True, help="a list of words, one a line")
    parser.add_argument("--nouns", type=Path, default=_HERE / "nouns.csv")
    parser.add_argument("--curation", type=Path, default=_HERE / "curation.csv")
    parser.add_argument("--senses", type=Path, default=_HERE / "senses.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, a teacher's words/")
    told = parser.parse_args()
    build(told.wordnet, told.dictionary, told.nouns, told.curation, told.senses).save(told.out)


if __name__ == "__main__":
    main()
