"""Numbers and settings as people write them."""

from __future__ import annotations

from typing import Any

TIMES, DASH = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"


def plain(value: float) -> str:
    """A number with three significant digits: 0.0123, 4.56, 789."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def percent(value: float) -> str:
    """A share in [0, 1] as "77%"."""
    return f"{100 * value:.0f}%"


def with_article(noun: str) -> str:
    """ "armchair" as "an armchair"."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def duration(seconds: float) -> str:
    """Seconds as "29 s", "3 min 20 s" or "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def lengths_in_words(metres: list[float]) -> str:
    """Lengths with one unit that suits the longest: [0.88, 0.96, 0.92] is "88 x 96 x 92 cm"."""
    longest = max(metres)
    factor, unit = (1, "m") if longest >= 1 else (100, "cm") if longest >= 0.01 else (1000, "mm")
    return f" {TIMES} ".join(f"{factor * length:.3g}" for length in metres) + f" {unit}"


def side_in_words(azimuth: float) -> str:
    """Degrees around the object; its front and back by name."""
    return {0.0: "front", 180.0: "back"}.get(azimuth, f"{azimuth:.0f}°")


def flattened(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as names and values; a ramp as "0.98 → 0.7"."""
    if isinstance(values, dict) and is_ramp(values):
        return [(prefix, ramp_in_words(values))]
    if isinstance(values, dict):
        nested = [(f"{prefix} {name.replace('_', ' ')}".strip(), value) for name, value in values.items()]
    elif isinstance(values, list) and any(isinstance(value, dict | list) for value in values):
        nested = [(f"{prefix} {number}".strip(), value) for number, value in enumerate(values, 1)]
    else:
        return [(prefix, value_in_words(values))]
    return [row for name, value in nested for row in flattened(value, name)]


def is_ramp(values: dict[str, Any]) -> bool:
    """Whether these are the numbers of a `sds.ramps.Ramp`."""
    names = {"start", "end"} <= values.keys() <= {"start", "end", "begin", "finish"}
    return names and all(type(value) in (int, float) for value in values.values())


def ramp_in_words(ramp: dict[str, Any]) -> str:
    """A `sds.ramps.Ramp` in words."""
    if ramp["start"] == ramp["end"]:
        return f"{ramp['start']:g}"
    part = (ramp.get("begin", 0.0), ramp.get("finish", 1.0))
    when = "" if part == (0.0, 1.0) else f" (from {percent(part[0])} to {percent(part[1])} of the run)"
    return f"{ramp['start']:g} → {ramp['end']:g}{when}"


def value_in_words(value: Any) -> str:
    """A plain value as people write it."""
    if value is None or value == "" or value == []:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
