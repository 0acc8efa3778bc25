"""The outcome of reading a prompt."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST_COUNT = 4


@dataclass(frozen=True)
class Thing:
    """One kind of object in a scene.

    Attributes:
        noun: a canonical noun of the teacher, e.g. ``"armchair"``.
        fine: a finer name of that noun which the teacher knows, e.g. ``"leather armchair"``, else None.
        colour: a canonical colour or None. Words that are part of `fine` count as well.
        material: a canonical material or None, likewise.
        proportions: canonical sizes and shapes in the order they were typed, e.g. ``("tall", "narrow")``.
        count: how many of them, 1 to `LARGEST_COUNT`.
    """

    noun: str
    fine: str | None = None
    colour: str | None = None
    material: str | None = None
    proportions: tuple[str, ...] = ()
    count: int = 1

    def description(self) -> str:
        """``"horse, brown, wooden"``; ``"2 x chair"`` for several."""
        name = self.fine or self.noun
        said = set(name.split())
        added = [word for word in (self.colour, self.material, *self.proportions) if word and word not in said]
        counted = name if self.count == 1 else f"{self.count} x {name}"
        return ", ".join([counted, *added])


@dataclass(frozen=True)
class Understanding:
    """What a prompt means to a teacher.

    Attributes:
        things: what is to be seen, the first one first; empty if no noun is known.
        relation: how the first thing stands to the second: ``"on"``, ``"under"``, ``"beside"``, ``"and"`` (the same as
            beside), ``"in front of"`` or ``"behind"``; None for one thing.
        ignored: the words that were left out, as typed.
        read_as: (typed, canonical) wherever they differ in more than case or number.
        notes: remarks for the user, e.g. about a name or another script.
    """

    things: tuple[Thing, ...]
    relation: str | None = None
    ignored: tuple[str, ...] = ()
    read_as: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def sentence(self) -> str:
        """One line for the user: ``"understood: horse, wooden; not known and left out: tiny"``."""
        if self.things:
            joint = f", {self.relation} "
            parts = ["understood: " + joint.join(thing.description() for thing in self.things)]
        else:
            parts = ["nothing understood"]
        if self.read_as:
            parts.append("read " + ", ".join(f"'{typed}' as {canonical}" for typed, canonical in self.read_as))
        if self.ignored:
            parts.append("not known and left out: " + ", ".join(self.ignored))
        return "; ".join([*parts, *self.notes])
