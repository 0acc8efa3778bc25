"""What strangers write into JSON files, and where."""

import copy
from typing import Any

STRANGE = (
    *(None, True, False, -1, 0, 1, 3, 7, 64, 2**70, -(10**18), 10**400, -0.5, 1e308, float("nan"), float("inf")),
    *("", "x", "../../etc/passwd", "/etc/passwd", "epsilon", "\x00", "\ud800", "x" * 100_000),
    *([], [1], [0, -3], [[1]], ["x"], [None], [10**9] * 3, {}, {"_class_name": "x"}, {"": {"": {}}}),
)
"""Values of each type: absent, negative, huge, no numbers, paths to elsewhere, letters that no file has."""


def places(content: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a JSON file holds values, itself included: ()."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [before, *(deeper for key, value in pairs for deeper in places(value, (*before, key)))]


def replaced(content: Any, place: tuple[Any, ...], value: object) -> Any:
    """A copy with one value replaced."""
    if not place:
        return value
    changed = copy.deepcopy(content)
    inside = changed
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return changed
