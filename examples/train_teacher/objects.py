"""The objects of a data set: what each is called, how large it is, and which are kept out of training."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from curation import Noun, Repaint
from numpy.typing import NDArray


@dataclass(frozen=True)
class Variant:
    """One model of a noun.

    Attributes:
        key: identifies the model.
        noun: what it is.
        fine_name: a finer name, or "".
        longest_side: in metres, 0 where it is not known.
    """

    key: str
    noun: str
    fine_name: str
    longest_side: float


def read_objects(folder: Path) -> tuple[list[Variant], list[Noun]]:
    """The objects and nouns of a data set."""
    described = json.loads((folder / "objects.json").read_text(encoding="utf-8"))
    objects = [
        Variant(item["key"], item["noun"], item["fine_name"], max(item["size_m"]) if item["size_m"] else 0.0)
        for item in described["objects"]
    ]
    return objects, nouns_of(described)


def nouns_of(described: dict[str, list[dict[str, object]]]) -> list[Noun]:
    """The nouns of a data set's ``objects.json``."""
    return [
        Noun(str(noun["name"]), tuple(map(str, noun["synonyms"])), Repaint(noun["repaint"]))  # type: ignore[call-overload]
        for noun in described["nouns"]
    ]


def read_held_out_models(path: Path) -> frozenset[str]:
    """The keys of models that no training ever sees (column: key); none if there is no such file."""
    if not path.exists():
        return frozenset()
    with path.open(newline="", encoding="utf-8") as file:
        return frozenset(row["key"] for row in csv.DictReader(file))


def trained_on(objects: list[Variant], held_out: frozenset[str]) -> list[Variant]:
    """The objects in alphabetical order of their nouns, without those held out."""
    return sorted((item for item in objects if item.key not in held_out), key=lambda item: (item.noun, item.key))


def weights_of(variants: list[Variant]) -> NDArray[np.float64]:
    """How often each object is shown: a noun with n models n^0.7 times as often as one with a single model."""
    count = Counter(variant.noun for variant in variants)
    weight = np.array([count[variant.noun] ** -0.3 for variant in variants])
    return weight / weight.sum()


def places_in(config: Mapping[str, Any], variants: Sequence[Variant]) -> list[int | None]:
    """Where in the configuration of a `ShapePrior` each variant is, in whatever order that is.

    None stands for what is not there, or not to be told from another: of one noun, one finer name and one size.
    """
    places: dict[tuple[str, str, float], list[int]] = {}
    named = zip(config["variants"], config["fine_names"], config["sizes"], strict=True)
    for place, (noun, fine_name, size) in enumerate(named):
        places.setdefault((noun, fine_name, round(size, 6)), []).append(place)
    found = [places.get((item.noun, item.fine_name, round(item.longest_side, 6)), []) for item in variants]
    return [own[0] if len(own) == 1 else None for own in found]
