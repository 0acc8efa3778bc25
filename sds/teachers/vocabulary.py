"""The words an embedded teacher knows: prompts to token numbers, and what to suggest for words it has never seen."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

PAD = 0
START = 1
_FIRST_WORD = 2
_IGNORED = frozenset(
    {
        *("a", "an", "the", "of", "in", "on", "at", "with", "and", "its", "it", "is", "this", "that", "some", "one"),
        *("photo", "picture", "image", "render", "rendering", "rendered", "3d", "object", "model", "single", "high"),
        *("quality", "detailed", "realistic", "very", "highly"),
    }
)


def words_of(text: str) -> list[str]:
    """The lower-case words of a text: letters and digits, ``"Rubik's cube"`` gives ``["rubik", "cube"]``."""
    return re.findall(r"[a-z0-9]+", re.sub(r"['\u2019]s\b", "", text.lower()))


def words_to_learn(captions: Iterable[str]) -> list[str]:
    """All words of the captions that mean something, in alphabetical order."""
    return sorted({word for caption in captions for word in words_of(caption)} - _IGNORED)


class Vocabulary:
    """A closed list of words.

    Args:
        words: the words, in the order of their numbers.
        length: how many tokens a prompt is padded or cut to, the start token included.

    Raises:
        ValueError: a word is listed twice.
    """

    def __init__(self, words: Sequence[str], length: int) -> None:
        if len(set(words)) != len(words):
            raise ValueError("the vocabulary lists a word twice")
        self.words = tuple(words)
        self.length = length
        self._number = {word: _FIRST_WORD + i for i, word in enumerate(self.words)}

    def __len__(self) -> int:
        """How many token numbers there are, padding and start included."""
        return len(self.words) + _FIRST_WORD

    def tokens(self, prompts: Sequence[str]) -> Tensor:
        """Token numbers (len(prompts), length) int64: start, the known words in order, padding.

        Words that are not in the vocabulary are left out (`unknown` names them); what does not fit is cut.
        """
        rows = torch.full((len(prompts), self.length), PAD, dtype=torch.int64)
        for row, prompt in zip(rows, prompts, strict=True):
            numbers = [START] + [self._number[form] for word in words_of(prompt) if (form := self._known_form(word))]
            numbers = numbers[: self.length]
            row[: len(numbers)] = torch.tensor(numbers)
        return rows

    def unknown(self, prompt: str) -> list[tuple[str, list[str]]]:
        """The words that are neither known nor filling words, each with up to three known words spelt like it."""
        return [
            (word, difflib.get_close_matches(word, self.words, n=3, cutoff=0.6))
            for word in words_of(prompt)
            if word not in _IGNORED and self._known_form(word) is None
        ]

    def _known_form(self, word: str) -> str | None:
        """The word itself, or its singular or plural, whichever is known."""
        forms = [word, word + "s", word.removesuffix("s"), word.removesuffix("es")]
        return next((form for form in forms if form in self._number), None)
