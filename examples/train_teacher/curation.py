"""What each model is called, and which models are left out: reads `curation.csv` and `nouns.csv`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from catalogue import CatalogueEntry


class Repaint(Enum):
    """How often a training picture of a thing is repainted in a random colour."""

    OFTEN = "often"
    RARELY = "rarely"  # the colour belongs to what it is: plants, food
    NEVER = "never"  # people


@dataclass(frozen=True)
class Noun:
    """A kind of thing.

    Attributes:
        name: e.g. ``"sofa"``.
        synonyms: other words for the same, e.g. ``("couch", "settee")``.
        repaint: how often it is shown in random colours.
    """

    name: str
    synonyms: tuple[str, ...] = ()
    repaint: Repaint = Repaint.OFTEN


@dataclass(frozen=True)
class CuratedObject:
    """A model worth learning: the catalogue's entry, the noun, and a finer name or ``""``."""

    entry: CatalogueEntry
    noun: str
    fine_name: str


def read_nouns(path: Path) -> list[Noun]:
    """Reads the table of nouns (columns: noun, synonyms separated by ``;``, repaint)."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Noun(row["noun"], tuple(filter(None, row["synonyms"].split(";"))), Repaint(row["repaint"]))
            for row in csv.DictReader(file)
        ]


def curate(entries: list[CatalogueEntry], table: Path) -> list[CuratedObject]:
    """Keeps the entries to which the table (columns: key, name, noun, fine_name, dropped) gives a noun.

    Raises:
        ValueError: an entry is missing from the table, or the table gives neither a noun nor a reason to drop it.
    """
    with table.open(newline="", encoding="utf-8") as file:
        rows = {row["key"]: row for row in csv.DictReader(file)}
    kept = []
    for entry in entries:
        if entry.key not in rows:
            raise ValueError(f"{entry.key!r} is not in {table}: give it a noun or a reason to drop it")
        row = rows[entry.key]
        if not row["noun"] and not row["dropped"]:
            raise ValueError(f"{table} gives {entry.key!r} neither a noun nor a reason to drop it")
        if row["noun"]:
            kept.append(CuratedObject(entry, row["noun"], row["fine_name"]))
    return kept


def name_by_file(entries: list[CatalogueEntry]) -> tuple[list[CuratedObject], list[Noun]]:
    """For folders of meshes without tables: the file's name is the noun."""
    objects = [CuratedObject(entry, entry.name.lower(), "") for entry in entries]
    return objects, [Noun(name) for name in sorted({item.noun for item in objects})]
