"""What one teacher knows by name, and how a prompt is read with it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from sds.teachers.embedded_words.adjectives import AdjectiveBook
from sds.teachers.embedded_words.near_words import LARGEST_FILE, NearWords
from sds.teachers.embedded_words.nouns import KnownNoun, NounBook
from sds.teachers.embedded_words.reading import Reader
from sds.teachers.embedded_words.spelling import Speller
from sds.teachers.embedded_words.tokens import forms, tokens_of
from sds.teachers.embedded_words.understanding import Understanding

EMBEDDED_WORDS = Path(__file__).parents[1] / "embedded" / "words"
"""The words of the teacher that is shipped."""

_LIST = "lexicon.json"
_NEAR = "near_words.xz"


@dataclass(frozen=True)
class Known:
    """Everything a teacher can be told.

    Attributes:
        nouns: its nouns.
        colours, materials, proportions: its canonical adjectives.
    """

    nouns: tuple[KnownNoun, ...]
    colours: tuple[str, ...]
    materials: tuple[str, ...]
    proportions: tuple[str, ...]


class Lexicon:
    """The words of one teacher.

    Args:
        known: what it can be told.
        near: a dictionary of words that name the same; without one only listed names are known.

    Raises:
        ValueError: two nouns share a name.
    """

    def __init__(self, known: Known, near: NearWords | None = None) -> None:
        self.known = known
        self._near = near or NearWords({}, {})
        self._nouns = NounBook(known.nouns, self._near)
        self._adjectives = AdjectiveBook(known.colours, known.materials, known.proportions)

    @classmethod
    def load(cls, folder: Path | None = None) -> Lexicon:
        """Reads the words of a teacher from a folder, by default those of the shipped one.

        Raises:
            FileNotFoundError: there are none.
            ValueError: the files are broken.
        """
        folder = folder or EMBEDDED_WORDS
        path = folder / _LIST
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is no ordinary file")
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise TypeError(f"it has more than {LARGEST_FILE} bytes")
            listed = json.loads(path.read_text(encoding="utf-8"))
            nouns = tuple(
                KnownNoun(str(one["name"]), tuple(map(str, one["synonyms"])), tuple(map(str, one["fine"])))
                for one in listed["nouns"]
            )
            rest = [tuple(map(str, listed[key])) for key in ("colours", "materials", "proportions")]
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is no list of words: {error}") from error
        near = NearWords.read(folder / _NEAR) if (folder / _NEAR).is_file() else None
        return cls(Known(nouns, *rest), near)

    def save(self, folder: Path) -> None:
        """Writes the words into a folder, which is made if need be; `load` reads them."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _LIST).write_text(json.dumps(asdict(self.known), indent=1), encoding="utf-8")
        self._near.write(folder / _NEAR)

    @classmethod
    def of_nouns(cls, nouns: Iterable[str], fine_names: Iterable[str] = ()) -> Lexicon:
        """The words of any teacher of named things, told its nouns and the finer names of some.

        Nouns that the shipped teacher knows bring their synonyms and all that a dictionary says of them; the others go
        by their names. A finer name belongs to the noun for which it is listed, else to the longest noun it ends with.
        """
        shipped = cls.load()
        listed = {noun.name: noun for noun in shipped.known.nouns}
        owner = {name: noun.name for noun in shipped.known.nouns for name in noun.fine}
        names = list(dict.fromkeys(nouns))
        fine: dict[str, list[str]] = {name: [] for name in names}
        for name in dict.fromkeys(fine_names):
            ends = sorted((noun for noun in names if f" {name}".endswith(f" {noun}")), key=len)
            noun = owner.get(name, ends[-1] if ends else "")
            if noun in fine:
                fine[noun].append(name)
        taken = set(names)
        known = tuple(
            KnownNoun(
                name,
                tuple(word for word in (listed[name].synonyms if name in listed else ()) if word not in taken),
                tuple(fine[name]),
            )
            for name in names
        )
        rest = shipped.known
        return cls(Known(known, rest.colours, rest.materials, rest.proportions), shipped._near)

    def only(self, nouns: Iterable[str]) -> Lexicon:
        """The same words for a teacher that knows some of the nouns only."""
        kept = set(nouns)
        known = Known(
            tuple(noun for noun in self.known.nouns if noun.name in kept),
            self.known.colours,
            self.known.materials,
            self.known.proportions,
        )
        return Lexicon(known, self._near)

    @property
    def nouns(self) -> tuple[str, ...]:
        """The canonical nouns, in their order."""
        return tuple(noun.name for noun in self.known.nouns)

    def understand(self, prompt: str) -> Understanding:
        """What a prompt means. Words that are not known never change what the others mean."""
        return self._reader.read(tokens_of(prompt))

    def suggest(self, word: str, count: int = 3) -> list[str]:
        """Known nouns nearest in meaning to a word that is not known; by spelling if no dictionary has the word."""
        for token in tokens_of(word):
            for form in forms(token.word):
                if found := [noun for noun in self._near.near(form) if noun in self._nouns]:
                    return found[:count]
                if form in self._near:
                    return []
        names = self._nouns.names()
        alike = difflib.get_close_matches(word.lower(), list(names), n=2 * count, cutoff=0.6)
        return list(dict.fromkeys(names[name] for name in alike))[:count]

    @cached_property
    def _reader(self) -> Reader:
        return Reader(self._nouns, self._adjectives, self._near, Speller(self._words_worth_correcting()))

    def _words_worth_correcting(self) -> Sequence[str]:
        own = [word for name in self._nouns.names() for word in name.split()]
        return [*own, *(word for word in self._adjectives.words() if " " not in word)]
