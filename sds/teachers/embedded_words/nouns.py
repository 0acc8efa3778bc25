"""The names of the things that a teacher knows, and where they stand in a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sds.teachers.embedded_words.near_words import NearWords
from sds.teachers.embedded_words.tokens import forms, is_plural, plain, tokens_of

_LONGEST_NAME = 5


@dataclass(frozen=True)
class KnownNoun:
    """A noun of a teacher.

    Attributes:
        name: the canonical one, e.g. ``"sofa"``.
        synonyms: other words for the same.
        fine: finer names of some of its objects, e.g. ``"leather sofa"``.
    """

    name: str
    synonyms: tuple[str, ...] = ()
    fine: tuple[str, ...] = ()


@dataclass(frozen=True)
class NounFound:
    """A name in a prompt.

    Attributes:
        noun: the canonical noun, or None for a dictionary's word for another thing ("bus stop").
        fine: the finer name that was written, or None.
        length: how many words it takes.
        plural: whether it speaks of several things.
        listed: whether the teacher lists the name; else a dictionary says that it names the noun.
        typed: the words as they were looked up.
    """

    noun: str | None
    fine: str | None
    length: int
    plural: bool
    listed: bool
    typed: str


class NounBook:
    """All names of a teacher's nouns.

    Args:
        nouns: the nouns.
        near: a dictionary of further words.

    Raises:
        ValueError: two nouns share a name.
    """

    def __init__(self, nouns: Sequence[KnownNoun], near: NearWords) -> None:
        self._near = near
        self._canonical = {noun.name for noun in nouns}
        self._entries: dict[str, tuple[str, str | None]] = {}
        for noun in nouns:
            for name in (noun.name, *noun.synonyms):
                key = _key(name)
                if self._entries.setdefault(key, (noun.name, None))[0] != noun.name:
                    raise ValueError(f"'{name}' names {self._entries[key][0]!r} and {noun.name!r}")
        for noun in nouns:
            for name in noun.fine:
                self._entries.setdefault(_key(name), (noun.name, name))
        self._fine = {noun.name: {name: frozenset(_key(name).split()) for name in noun.fine} for noun in nouns}

    def __contains__(self, noun: object) -> bool:
        """Whether it is a canonical noun."""
        return noun in self._canonical

    def names(self) -> dict[str, str]:
        """Every name, with its canonical noun."""
        return {name: noun for name, (noun, _) in self._entries.items()}

    def find(self, words: Sequence[str], start: int) -> NounFound | None:
        """The longest name that begins at a word; a listed one before one of the dictionary."""
        for length in range(min(_LONGEST_NAME, len(words) - start), 0, -1):
            stretch = words[start : start + length]
            if found := self._listed(stretch) or self._in_dictionary(stretch):
                return found
        return None

    def fine_of(self, noun: str, words: frozenset[str]) -> str | None:
        """The longest finer name of a noun all of whose words are among `words`, in whatever order."""
        found = [(len(needed), name) for name, needed in self._fine.get(noun, {}).items() if needed <= words]
        return max(found)[1] if found else None

    def _listed(self, words: Sequence[str]) -> NounFound | None:
        first, last = " ".join(words[:-1]), words[-1]
        for form in forms(last):
            for name in ((f"{first} {form}".strip()), "".join([first, form]) if " " not in first else ""):
                if name in self._entries:
                    noun, fine = self._entries[name]
                    several = is_plural(last, form) and not _is_plural_noun(noun)
                    return NounFound(noun, fine, len(words), several, True, " ".join(words))
        return None

    def _in_dictionary(self, words: Sequence[str]) -> NounFound | None:
        if len(words) > 2:
            return None
        first, last = " ".join(words[:-1]), words[-1]
        for form in forms(last):
            name = f"{first} {form}".strip()
            if name not in self._near:
                continue
            noun = self._near.noun_of(name)
            if noun is not None and noun not in self._canonical:
                noun = None
            if noun is None and len(words) == 1:
                continue
            several = is_plural(last, form) and noun is not None and not _is_plural_noun(noun)
            return NounFound(noun, None, len(words), several, False, " ".join(words))
        return None


def _key(name: str) -> str:
    return " ".join(token.word for token in tokens_of(plain(name)))


def _is_plural_noun(noun: str) -> bool:
    """Whether the noun itself is a plural ("shoes"), so that its plural does not tell of several."""
    return noun.endswith("s") and not noun.endswith("ss") and noun not in {"bus", "cypress", "cactus", "ficus"}
