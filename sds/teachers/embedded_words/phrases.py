"""A prompt cut into noun phrases by relations, commas and prepositions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sds.teachers.embedded_words.relations import DESCRIBES, FILLING, LEAVES_OUT, NUMBERS, RELATIONS, SEPARATORS
from sds.teachers.embedded_words.tokens import Token

_LONGEST_JOINT = 4
_BREAKS = RELATIONS.keys() | DESCRIBES | LEAVES_OUT


@dataclass(frozen=True)
class Phrase:
    """Words between two joints.

    Attributes:
        joint: the words before it that join it to what came before, ``""`` at the start, ``","`` for a mark.
        tokens: its words.
    """

    joint: str
    tokens: tuple[Token, ...]

    @property
    def left_out(self) -> bool:
        """Whether it tells what is not there, or how it was made: "without arms", "in the style of ..."."""
        return self.joint in LEAVES_OUT

    @property
    def describes(self) -> bool:
        """Whether it may describe what came before: "of oak", "in red", or the rest of an enumeration."""
        return self.joint in DESCRIBES or self.joint in {",", "and", ""}


def phrases_of(tokens: Sequence[Token], closed: Sequence[range] = ()) -> list[Phrase]:
    """Cuts a prompt into phrases.

    Args:
        tokens: its words and marks.
        closed: stretches that no joint may cut, such as names that contain one ("table with tablecloth").
    """
    inside = {i for stretch in closed for i in stretch}
    phrases: list[Phrase] = []
    joint, words, at = "", [], 0
    while at < len(tokens):
        length = 0 if at in inside else _joint_at(tokens, at, inside)
        if not length:
            words.append(tokens[at])
            at += 1
            continue
        phrases.append(Phrase(joint, tuple(words)))
        joint, words = " ".join(token.word for token in tokens[at : at + length]), []
        joint = "," if joint in SEPARATORS else "and" if joint in {"&", "+"} else joint
        at += length
    phrases.append(Phrase(joint, tuple(words)))
    return _without_empty(phrases)


def _joint_at(tokens: Sequence[Token], at: int, inside: set[int]) -> int:
    """How many words the joint at a place has, 0 if there is none."""
    if tokens[at].word in SEPARATORS:
        return 1
    if tokens[at].word == "of" and at and tokens[at - 1].word in NUMBERS.keys() | FILLING:
        return 0  # a pair of chairs, a picture of a cat
    for length in range(min(_LONGEST_JOINT, len(tokens) - at), 0, -1):
        if inside.isdisjoint(range(at, at + length)):
            words = " ".join(token.word for token in tokens[at : at + length])
            if words in _BREAKS:
                return length
    return 0


def _without_empty(phrases: Sequence[Phrase]) -> list[Phrase]:
    """Drops phrases without words; of two joints in a row (", and") the one that says more stays."""
    kept: list[Phrase] = []
    carried = ""
    for phrase in phrases:
        joint = phrase.joint
        if carried and carried != "," and joint in {",", "and", ""}:
            joint = carried
        if phrase.tokens:
            kept.append(Phrase(joint, phrase.tokens))
            carried = ""
        else:
            carried = joint
    return kept
