"""Proper names, which are no things: there is no van in "Van Gogh"."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sds.teachers.embedded_words.tokens import Token, is_word

_PARTICLES = frozenset(["van", "von", "de", "da", "del", "della", "di", "du", "la", "le", "den", "der"])
_SURNAMES = frozenset(
    ["gogh", "dyck", "eyck", "vinci", "halen", "buren", "damme", "houten", "beethoven", "rijn", "hals", "allsburg"]
)
"""Names that follow a particle and are often typed without a capital."""


def names_in(tokens: Sequence[Token], is_dictionary_word: Callable[[str], bool]) -> list[range]:
    """Where proper names stand: runs of capitalised words that end in one which no dictionary has.

    A prompt in Title Case keeps its nouns: "Rocking Horse" are dictionary words, "Gogh" is none.
    """
    found: list[range] = []
    end = 0
    for at, token in enumerate(tokens):
        if at < end or not is_word(token):
            continue
        last = _end_of_name(tokens, at, is_dictionary_word)
        if last > at:
            found.append(range(at, last))
            end = last
    return found


def _end_of_name(tokens: Sequence[Token], start: int, is_dictionary_word: Callable[[str], bool]) -> int:
    """One past the last word of a name that begins at `start`, or `start` if none does."""
    if tokens[start].word in _PARTICLES:
        at = start
        while at < len(tokens) and tokens[at].word in _PARTICLES:
            at += 1
        if at < len(tokens) and (tokens[at].word in _SURNAMES or _is_strange(tokens[at], is_dictionary_word)):
            return at + 1
    last = start
    at = start
    while at < len(tokens) and is_word(tokens[at]) and (tokens[at].capital or tokens[at].word in _PARTICLES):
        at += 1
        if _is_strange(tokens[at - 1], is_dictionary_word):
            last = at
    return last


def _is_strange(token: Token, is_dictionary_word: Callable[[str], bool]) -> bool:
    return token.capital and token.word.isalpha() and len(token.word) > 2 and not is_dictionary_word(token.word)
