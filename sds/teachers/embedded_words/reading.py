"""Reads prompts: phrase by phrase, each with at most one thing, and then what stands where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sds.teachers.embedded_words.adjectives import AdjectiveBook, Aspect, Reading
from sds.teachers.embedded_words.names import names_in
from sds.teachers.embedded_words.near_words import NearWords
from sds.teachers.embedded_words.nouns import NounBook, NounFound
from sds.teachers.embedded_words.phrases import Phrase, phrases_of
from sds.teachers.embedded_words.relations import FILLING, NUMBERS, RELATIONS, SAID_ALIKE
from sds.teachers.embedded_words.spelling import Speller
from sds.teachers.embedded_words.tokens import Token, forms, is_word, script_of
from sds.teachers.embedded_words.understanding import LARGEST_COUNT, Thing, Understanding

MOST_THINGS = 2
_ARTICLES = frozenset({"a", "an", "the", "one", "some", "another"})


@dataclass
class _Found:
    """What one phrase says."""

    noun: NounFound | None = None
    readings: list[tuple[str, Reading]] = field(default_factory=list)
    number: int | None = None
    ignored: list[str] = field(default_factory=list)
    read_as: list[tuple[str, str]] = field(default_factory=list)
    words: set[str] = field(default_factory=set)
    ends_unknown: bool = False
    typed: list[str] = field(default_factory=list)


@dataclass
class _Draft:
    """An `Understanding` in the making."""

    things: list[Thing] = field(default_factory=list)
    relation: str | None = None
    ignored: list[str] = field(default_factory=list)
    read_as: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pending: list[tuple[str, Reading]] = field(default_factory=list)


class Reader:
    """Reads prompts with the words of one teacher.

    Args:
        nouns: its names of things.
        adjectives: its adjectives.
        near: a dictionary.
        speller: mends typing errors.
    """

    def __init__(self, nouns: NounBook, adjectives: AdjectiveBook, near: NearWords, speller: Speller) -> None:
        self._nouns = nouns
        self._adjectives = adjectives
        self._near = near
        self._speller = speller
        own = {word for name in nouns.names() for word in name.split()}
        grammar = {word for words in RELATIONS for word in words.split()}
        self._own_words = own | set(adjectives.words()) | grammar | FILLING | NUMBERS.keys()

    def read(self, tokens: Sequence[Token]) -> Understanding:
        """What the words mean."""
        draft = _Draft()
        tokens = self._without_names(tokens, draft)
        tokens = [self._mended(token, draft) for token in tokens]
        for phrase in phrases_of(tokens, self._names_across_joints(tokens)):
            found = self._read_phrase(phrase.tokens)
            if phrase.left_out or (found.noun is None and found.ends_unknown):
                self._leave_out(found, draft)
            elif found.noun is None:
                self._describe(phrase, found, draft)
            else:
                self._add(phrase, found, found.noun, draft)
        draft.ignored += [typed for typed, _ in draft.pending]
        return Understanding(
            tuple(draft.things),
            draft.relation if len(draft.things) > 1 else None,
            tuple(dict.fromkeys(draft.ignored)),
            tuple(dict.fromkeys(draft.read_as)),
            tuple(dict.fromkeys(draft.notes)),
        )

    def _without_names(self, tokens: Sequence[Token], draft: _Draft) -> list[Token]:
        """Each proper name becomes one token that nothing is looked up for."""
        kept: list[Token] = []
        at = 0
        for stretch in names_in(tokens, self._is_dictionary_word):
            kept += tokens[at : stretch.start]
            name = " ".join(tokens[i].typed for i in stretch)
            kept.append(Token(name, "", True))
            draft.notes.append(f"'{name}' was taken for a name")
            at = stretch.stop
        return [*kept, *tokens[at:]]

    def _is_dictionary_word(self, word: str) -> bool:
        known = any(form in self._near or form in self._own_words for form in forms(word))
        return known or (not self._near.is_dictionary) or self._speller.correct(word) is not None

    def _mended(self, token: Token, draft: _Draft) -> Token:
        """The token with a typing error put right; words of other scripts are told of."""
        if not is_word(token):
            return token
        if script := script_of(token.word):
            draft.notes.append(f"'{token.typed}' is written in {script} letters: prompts are read in English")
            return replace(token, word="")
        if any(form in self._near or form in self._own_words for form in forms(token.word)):
            return token
        meant = self._speller.correct(token.word)
        if meant is None:
            return token
        draft.read_as.append((token.typed, meant))
        return replace(token, word=meant)

    def _names_across_joints(self, tokens: Sequence[Token]) -> list[range]:
        """Where listed names of several words stand, which may hold a "with" or "of" of their own."""
        words = [token.word for token in tokens]
        stretches = []
        for at in range(len(words)):
            found = self._nouns.find(words, at)
            if found is not None and found.length > 1 and found.listed:
                stretches.append(range(at, at + found.length))
        return stretches

    def _read_phrase(self, tokens: Sequence[Token]) -> _Found:
        words = [token.word for token in tokens]
        found = _Found(typed=[token.typed for token in tokens if _says_something(token)])
        nouns: list[tuple[int, NounFound]] = []
        doubtful: list[tuple[int, NounFound]] = []
        at = 0
        while at < len(tokens):
            noun = self._nouns.find(words, at)
            length, readings = self._readings(words, at)
            if readings and (noun is None or noun.length <= length):
                if noun is not None and noun.listed:
                    doubtful.append((at, noun))
                typed = " ".join(token.typed for token in tokens[at : at + length])
                found.readings += [(typed, reading) for reading in readings]
                found.ends_unknown = False
            elif noun is not None:
                nouns.append((at, noun))
                length, found.ends_unknown = noun.length, noun.noun is None
            elif words[at] in NUMBERS or words[at].isdigit():
                found.number = NUMBERS.get(words[at]) or (int(words[at]) if len(words[at]) < 4 else None) or None
                length = 1
            else:
                length = 1
                if _says_something(tokens[at]):
                    found.ignored.append(tokens[at].typed)
                    found.ends_unknown = True
            at += length
        self._choose(tokens, nouns, doubtful, found)
        return found

    def _readings(self, words: Sequence[str], at: int) -> tuple[int, tuple[Reading, ...]]:
        """An adjective of two words or one: how many words, and what it says."""
        for length in (2, 1):
            if at + length <= len(words) and (readings := self._adjectives.readings(" ".join(words[at : at + length]))):
                return length, readings
        return 1, ()

    def _choose(
        self,
        tokens: Sequence[Token],
        nouns: list[tuple[int, NounFound]],
        doubtful: list[tuple[int, NounFound]],
        found: _Found,
    ) -> None:
        """The thing of a phrase: the last listed noun, else the last that a dictionary explains, else what could be
        an adjective too ("glass", "stone"). The others are left out.
        """
        known = [one for one in nouns if one[1].noun]
        ranked = [one for one in known if one[1].listed] or known
        if not ranked and doubtful and not any(one[1].noun is None for one in nouns) and not found.ends_unknown:
            last = doubtful[-1]
            ranked = [last]
            typed = tokens[last[0]].typed
            found.readings = [one for one in found.readings if one[0] != typed]
        chosen = ranked[-1] if ranked else None
        for at, noun in nouns:
            if chosen is None or at != chosen[0]:
                found.ignored += [token.typed for token in tokens[at : at + noun.length]]
        found.words = {form for token in tokens for form in forms(token.word)}
        found.words |= {reading.canonical for _, reading in found.readings}
        if chosen is not None:
            found.noun = chosen[1]
            in_name = [
                (word, one) for word in (chosen[1].fine or "").split() for one in self._adjectives.readings(word)
            ]
            found.readings = [*in_name, *found.readings]
            found.ends_unknown = False

    def _leave_out(self, found: _Found, draft: _Draft) -> None:
        draft.ignored += found.typed

    def _describe(self, phrase: Phrase, found: _Found, draft: _Draft) -> None:
        """Adjectives without a noun: of the thing before ("of oak") or of the one to come ("a red and white chair")."""
        draft.ignored += found.ignored
        begins = bool(phrase.tokens) and phrase.tokens[0].word in _ARTICLES
        if draft.things and phrase.describes and not (begins and phrase.joint in {",", "and"}):
            draft.things[-1] = self._described(draft.things[-1], found, draft)
        elif phrase.describes or not draft.things:
            draft.pending += found.readings
        else:
            draft.ignored += [typed for typed, _ in found.readings]

    def _add(self, phrase: Phrase, found: _Found, noun: NounFound, draft: _Draft) -> None:
        relation = RELATIONS.get(phrase.joint, "and" if phrase.joint == "," else None)
        if draft.things and (relation is None or len(draft.things) == MOST_THINGS):
            if relation is not None:
                draft.notes.append(f"{MOST_THINGS} things at most are made at a time")
            self._leave_out(found, draft)
            return
        draft.ignored += found.ignored
        draft.read_as += found.read_as
        assert noun.noun is not None
        number = found.number or 1
        if noun.plural and found.number is None:
            number = 2
        elif noun.typed.endswith("s") and not noun.plural and any(word in found.words for word in ("pair", "pairs")):
            number = 1
        if number > LARGEST_COUNT:
            draft.notes.append(f"{LARGEST_COUNT} of a kind at most are made: {number} were asked for")
        thing = Thing(noun.noun, noun.fine, count=min(number, LARGEST_COUNT))
        found.readings = [*draft.pending, *found.readings]
        draft.pending = []
        thing = self._described(thing, found, draft)
        self._tell(noun, thing, draft)
        if draft.things:
            draft.relation = relation
            if relation and phrase.joint != relation and phrase.joint not in SAID_ALIKE | {","}:
                draft.read_as.append((phrase.joint, relation))
        draft.things.append(thing)

    def _described(self, thing: Thing, found: _Found, draft: _Draft) -> Thing:
        """The thing with the adjectives of a phrase; one colour and one material each, the first that is said."""
        for typed, reading in found.readings:
            if reading.aspect is Aspect.PROPORTION:
                if reading.canonical not in thing.proportions:
                    thing = replace(thing, proportions=(*thing.proportions, reading.canonical))
            elif reading.aspect is Aspect.COLOUR and thing.colour in {None, reading.canonical}:
                thing = replace(thing, colour=reading.canonical)
            elif reading.aspect is Aspect.MATERIAL and thing.material in {None, reading.canonical}:
                thing = replace(thing, material=reading.canonical)
            else:
                draft.ignored.append(typed)
                continue
            if typed.lower().replace("-", " ") != reading.canonical:
                draft.read_as.append((typed, reading.canonical))
        fine = thing.fine or self._nouns.fine_of(thing.noun, frozenset(found.words | set(thing.noun.split())))
        if fine:
            said = set(fine.split())
            draft.ignored = [typed for typed in draft.ignored if typed.lower() not in said]
        return replace(thing, fine=fine)

    def _tell(self, noun: NounFound, thing: Thing, draft: _Draft) -> None:
        """Notes that a synonym was read, unless the words differ in number only."""
        meant = noun.fine or thing.noun
        words = noun.typed
        singular = set(forms(words.split()[-1]))
        if words not in (meant, thing.noun) and not any(
            " ".join([*words.split()[:-1], form]) in (meant, thing.noun) for form in singular
        ):
            draft.read_as.append((words, meant))


def _says_something(token: Token) -> bool:
    """Whether leaving a token out is worth telling: a word, a name, a picture sign, but no comma and no "the"."""
    return token.word not in FILLING and (is_word(token) or not token.word or not token.word.isascii())
