"""Numbers in the JSON of a glTF file, each checked: what says where something is, or how large, is never trusted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from representations.geometry.mesh import Floats


class GltfError(ValueError):
    """A glTF file that is damaged or needs what is not supported; the message says what."""


def part(entry: Any, name: str) -> Any:
    """A member that must be there."""
    if not isinstance(entry, dict) or name not in entry:
        raise GltfError(f"an entry lacks its {name}")
    return entry[name]


def members(entry: dict[str, Any], name: str) -> dict[str, Any]:
    """A member that is an object; an empty one if it is not there."""
    value = entry.get(name, {})
    if not isinstance(value, dict):
        raise GltfError(f"{name} is not an object")
    return value


def entries(entry: dict[str, Any], name: str) -> list[Any]:
    """A member that is a list; an empty one if it is not there."""
    value = entry.get(name, [])
    if not isinstance(value, list):
        raise GltfError(f"{name} is not a list")
    return value


def extension(entry: dict[str, Any], name: str) -> dict[str, Any] | None:
    """What an extension says about an entry; None if it says nothing."""
    extensions = members(entry, "extensions")
    return members(extensions, name) if name in extensions else None


def whole(value: Any, what: str = "a count") -> int:
    """A number that must be a count."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise GltfError(f"{_short(value)} stands where {what} should")
    return value


def number(value: Any, what: str) -> float:
    """A number that must be finite."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(_float(value)):
        raise GltfError(f"{what} is {_short(value)}, not a number")
    return float(value)


def share(value: Any, what: str) -> float:
    """A number, brought into [0, 1]."""
    return min(max(number(value, what), 0.0), 1.0)


def numbers(value: Any, count: int, what: str) -> Floats:
    """(count,) finite numbers."""
    if not isinstance(value, list) or len(value) != count:
        raise GltfError(f"{what} has not {count} numbers")
    return np.array([number(item, what) for item in value])


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**30 else "a huge number"
    return text if len(text) <= 40 else f"{text[:40]}..."
