"""Small typing errors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

_SHORTEST = 4
_LONG = 7


class Speller:
    """Finds the known word that was meant by one with a letter too many, too few, wrong, or two exchanged.

    Two such errors are forgiven in words of seven letters or more. The first letter has to be right unless it was
    exchanged with the second: of the words that people mistype, few begin wrong.

    Args:
        words: the known words.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._by_start: dict[str, list[str]] = defaultdict(list)
        for word in sorted({word for word in words if len(word) >= _SHORTEST and " " not in word}):
            self._by_start[word[0]].append(word)

    def correct(self, word: str) -> str | None:
        """The only nearest known word within reach, or None."""
        if len(word) < _SHORTEST or not word.isalpha():
            return None
        reach = 2 if len(word) >= _LONG else 1
        found = [
            (errors, known)
            for start in dict.fromkeys(word[:2])
            for known in self._by_start.get(start, ())
            if (errors := edits(word, known, reach)) <= reach and (start == word[0] or known[1:2] == word[0])
        ]
        found.sort()
        if not found or (len(found) > 1 and found[0][0] == found[1][0]):
            return None
        return found[0][1]


def edits(a: str, b: str, limit: int) -> int:
    """The fewest insertions, deletions, substitutions and exchanges of neighbours that make `a` into `b`.

    Optimal string alignment (Damerau 1964); returns ``limit + 1`` as soon as it is known to be more than `limit`.
    """
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(row[j - 1] + 1, last[j] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
        before, last = last, row
    return min(last[-1], limit + 1)
