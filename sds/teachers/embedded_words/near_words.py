"""A dictionary made once: which of its words name something that a teacher knows, and what is near to the others.

One text file, compressed: a line for every word, ``word<TAB>noun<TAB>near nouns``, each a number of the list of nouns
in the first line; either may be missing. `examples/train_teacher/build_lexicon.py` makes it.
"""

from __future__ import annotations

import lzma
from collections.abc import Mapping, Sequence
from pathlib import Path

LARGEST_FILE = 16 * 2**20
"""Bytes that a dictionary may have once it is unpacked."""


class NearWords:
    """What the words of a dictionary mean to a teacher.

    Args:
        noun: the noun that a word names, for those that name one (``"ewer"`` -> ``"jug"``), or None.
        near: the nouns nearest in meaning to a word, the nearest first.
    """

    def __init__(self, noun: Mapping[str, str | None], near: Mapping[str, Sequence[str]]) -> None:
        self._noun = noun
        self._near = near

    def noun_of(self, word: str) -> str | None:
        """The noun that a lower-case word or phrase names, or None."""
        return self._noun.get(word)

    def near(self, word: str) -> Sequence[str]:
        """Nouns near in meaning, the nearest first; empty if it is not known what the word means."""
        return self._near.get(word, ())

    def __contains__(self, word: object) -> bool:
        """Whether this is a word of the dictionary at all."""
        return word in self._noun

    @property
    def is_dictionary(self) -> bool:
        """Whether it holds words at all, so that one which it lacks is none."""
        return bool(self._noun)

    @classmethod
    def read(cls, path: Path) -> NearWords:
        """Reads a dictionary.

        Raises:
            ValueError: the file is no dictionary, or too large.
        """
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"{path}: the dictionary is larger than {LARGEST_FILE} bytes")
        try:
            opened = lzma.LZMADecompressor()
            text = opened.decompress(path.read_bytes(), LARGEST_FILE)
            if not opened.eof:
                raise ValueError(f"{path}: the dictionary is cut off, or larger than {LARGEST_FILE} bytes")
            first, *lines = text.decode("utf-8").splitlines() or [""]
            nouns = first.split("\t")
            noun: dict[str, str | None] = {}
            near: dict[str, tuple[str, ...]] = {}
            previous = ""
            for line in lines:
                rest, number, numbers = [*line.split("\t"), "", ""][:3]
                word = previous[: ord(rest[0]) - _SHARED] + rest[1:]
                noun[word] = nouns[int(number)] if number else None
                if numbers:
                    near[word] = tuple(nouns[int(one)] for one in numbers.split())
                previous = word
        except (lzma.LZMAError, UnicodeDecodeError, IndexError) as error:
            raise ValueError(f"{path} is no dictionary of near words: {error}") from error
        return cls(noun, near)

    def write(self, path: Path) -> None:
        """Writes the dictionary; a word shares its beginning with the one before, which keeps the file small."""
        nouns = sorted(
            {noun for noun in self._noun.values() if noun} | {n for near in self._near.values() for n in near}
        )
        number = {noun: str(i) for i, noun in enumerate(nouns)}
        lines = ["\t".join(nouns)]
        previous = ""
        for word in sorted(self._noun):
            shared = 0
            while shared < min(len(word), len(previous), 60) and word[shared] == previous[shared]:
                shared += 1
            noun = self._noun[word]
            fields = [chr(_SHARED + shared) + word[shared:], number[noun] if noun else ""]
            fields.append(" ".join(number[one] for one in self._near.get(word, ())))
            lines.append("\t".join(fields).rstrip("\t"))
            previous = word
        path.write_bytes(lzma.compress("\n".join(lines).encode("utf-8"), preset=9 | lzma.PRESET_EXTREME))


_SHARED = ord("A")
