"""What a run would do, in words: every setting of its stages, and from where it is."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from cli.scenes.request import Request
from sds.ramps import Ramp

NOT_SHOWN = ("source",)


def planned(request: Request) -> str:
    """The plan of a request, a line for each setting; nothing is loaded."""
    lines = [f"'{request.prompt}' by {request.method}, teacher {request.teacher}, seed {request.seed}"]
    for name in request.stages:
        recipe = request.recipe(name)
        lines.append(f"stage {name}: settings from {recipe.source}")
        lines += [
            f"  {field.name:16}{in_words(getattr(recipe, field.name))}"
            for field in fields(recipe)
            if field.name not in NOT_SHOWN
        ]
    return "\n".join(lines)


def in_words(value: Any) -> str:
    """A setting on one line: ramps by their ends, other groups by what differs from their defaults."""
    if value is None:
        return "as many as suit the teacher"
    if isinstance(value, Ramp):
        return ramp_in_words(value)
    if not is_dataclass(value):
        return f"{value:g}" if isinstance(value, float) else str(value)
    parts = [
        f"{field.name} {in_words(getattr(value, field.name))}"
        for field in fields(value)
        if field.default != getattr(value, field.name)
    ]
    return f"{type(value).__name__}{': ' if parts else ''}{', '.join(parts)}"


def ramp_in_words(ramp: Ramp) -> str:
    """ "0.98 to 0.5, from 20 % to 30 % of the run", or one number."""
    if ramp.start == ramp.end:
        return f"{ramp.start:g}"
    return f"{ramp.start:g} to {ramp.end:g} (from {100 * ramp.begin:g} % to {100 * ramp.finish:g} % of the run)"
