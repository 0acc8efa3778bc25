"""A prompt cut into words: as typed, and as they are looked up."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(r"[^\W_]+(?:['\u2019][^\W\d_]+)*|[,;:.!?|/()&+]|[^\w\s]", re.UNICODE)
_POSSESSIVE = re.compile(r"['\u2019]s?$")
_SPELT_OTHERWISE = (("our", "or"), ("re", "er"), ("ise", "ize"), ("yse", "yze"), ("lled", "led"), ("ogue", "og"))
_PLURALS_ONLY = frozenset(["glasses", "clothes", "trousers", "scissors", "pliers", "tongs", "shears"])


@dataclass(frozen=True)
class Token:
    """One word or mark.

    Attributes:
        typed: as the user wrote it.
        word: lower case, without accents and possessive endings.
        capital: whether it starts with a capital and goes on in lower case.
    """

    typed: str
    word: str
    capital: bool


def tokens_of(text: str) -> list[Token]:
    """The words and marks of a text in order; hyphens part words, ``"Rubik's cube"`` is ``rubik``, ``cube``."""
    return [
        Token(typed, plain(typed), typed[:1].isupper() and (typed[1:].islower() or len(typed) == 1))
        for typed in _TOKEN.findall(unicodedata.normalize("NFKC", text))
        if typed
        not in {"-", "\u2010", "\u2011", "\u2013", "\u2014", "'", '"', "\u2018", "\u2019", "\u201c", "\u201d", "\ufe0f"}
    ]


def plain(word: str) -> str:
    """Lower case without accents (``"Café"`` -> ``"cafe"``) and without ``'s``."""
    apart = unicodedata.normalize("NFKD", _POSSESSIVE.sub("", word.casefold()))
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def latin_words_of(text: str) -> list[str]:
    """The lower-case words of a text in letters and digits: ``"Rubik's cube"`` gives ``["rubik", "cube"]``."""
    return re.findall(r"[a-z0-9]+", re.sub(r"['\u2019]s\b", "", text.lower()))


def script_of(word: str) -> str | None:
    """The script of a word that is not written in Latin letters (``"Cyrillic"``, ``"Han"``), else None."""
    for letter in word:
        if letter.isalpha():
            script = unicodedata.name(letter, "UNKNOWN").split()[0]
            if script != "LATIN":
                return {"CJK": "Han"}.get(script, script.capitalize())
    return None


def is_word(token: Token) -> bool:
    """Whether a token is a word or a number rather than a mark."""
    return any(letter.isalnum() for letter in token.word)


def forms(word: str) -> Iterator[str]:
    """What a word may be looked up as: first as it is, then its singular, then the American spelling."""
    seen = []
    for spelt in (word, *_spelt_otherwise(word)):
        for form in (spelt, *_singulars(spelt)):
            if form not in seen:
                seen.append(form)
                yield form


def is_plural(word: str, form: str) -> bool:
    """Whether `form`, under which `word` was found, is its singular."""
    return word not in _PLURALS_ONLY and form != word and form in tuple(_singulars(word))


def _singulars(word: str) -> Iterator[str]:
    if word in _IRREGULAR:
        yield _IRREGULAR[word]
        return
    if not word.endswith("s") or word.endswith("ss") or len(word) < 4:
        return
    if word.endswith("ies") and len(word) > 4:
        yield word[:-3] + "y"
    if word.endswith("ves"):
        yield word[:-3] + "f"
        yield word[:-3] + "fe"
    if word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        yield word[:-2]
    yield word[:-1]


def _spelt_otherwise(word: str) -> Iterator[str]:
    for british, american in _SPELT_OTHERWISE:
        if len(word) > len(british) + 2:
            if british in {"re"}:
                if word.endswith(british):
                    yield word[: -len(british)] + american
            elif british in word:
                yield word.replace(british, american)


_IRREGULAR = {
    "men": "man", "women": "woman", "children": "child", "mice": "mouse", "geese": "goose", "feet": "foot",
    "teeth": "tooth", "people": "person", "oxen": "ox", "cacti": "cactus", "shelves": "shelf", "knives": "knife",
    "loaves": "loaf", "lice": "louse", "dice": "die", "gentlemen": "gentleman", "busses": "bus", "buses": "bus",
}  # fmt: skip
