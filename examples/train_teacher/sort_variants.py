"""Puts the best variants of each noun first: ``sort_variants.py --teacher FOLDER --data DATA [--also FOLDER ...]``.

Who types "a mug" without a seed gets the first of the mugs that a prior knows. That should be one that everybody takes
for a mug, so the variants are sorted by how sure the recogniser is of what the prior imagines, seen from all sides. The
recogniser has learned from real renders only. With the data set, of those that are nearly as clear the one comes first
that the prior has learned best: its windows are sharp where another's are a smear.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from objects import places_in, read_objects
from safetensors.torch import load_file, save_file
from train_shapes import FieldPoints, loss_of

from sds.recognition import Recogniser
from sds.teachers.layers import LOOKS, Look, all_looks, picture
from sds.teachers.shape_prior import ShapePrior
from sds.teachers.shape_teacher import load_shape_teacher
from sds.teachers.volume import Eyes, render_layers

_CELLS = 48
_SIDE = 64
_ELEVATION = math.radians(15)
_POINTS = 2**14
NEARLY = 0.7
"""Shares of the clearest variant's clearness from which on a variant is nearly as clear."""


@torch.no_grad()
def clearness(prior: ShapePrior, recogniser: Recogniser, row: int, views: int = 8) -> float:
    """Mean probability that the recogniser gives to a variant's own noun, seen lit from ``views`` sides.

    Args:
        prior: which imagines it.
        recogniser: knows its noun.
        row: of the prior's codes, from 1.
        views: evenly around it, slightly from above, over white.
    """
    eyes = Eyes.at(torch.arange(views) * (2 * math.pi / views), torch.full((views,), _ELEVATION))
    layers = render_layers(prior.field(prior.code.weight[row], _CELLS), eyes, _SIDE)
    looks = all_looks(layers, [None] * views, eyes.azimuth, eyes.elevation)
    pictures = picture(looks, torch.full((views,), LOOKS.index(Look.LIT)), torch.ones(views, 3))
    number = recogniser.nouns.index(prior.config["variants"][row - 1])
    return float(recogniser.logits(pictures).softmax(1)[:, number].mean())


@torch.no_grad()
def missed_by(prior: ShapePrior, data: Path) -> dict[int, float]:
    """The loss of the prior's training on each variant that the data set tells from all others, by its place."""
    objects, _ = read_objects(data)
    places = places_in(prior.config, objects)
    known = [(place, item.key) for place, item in zip(places, objects, strict=True) if place is not None]
    points = FieldPoints.read(data, [key for _, key in known])
    missed = {}
    for number, (place, _) in enumerate(known):
        at, wanted = points.sample(np.array([number]), _POINTS, np.random.default_rng(0))
        drawn = prior.at(prior.planes(prior.code.weight[place + 1][None]), at)
        missed[place] = float(loss_of(drawn, wanted)[0])
    return missed


def order_of(variants: Sequence[str], clear: Sequence[float], missed: Mapping[int, float]) -> list[int]:
    """For each place the variant that comes there: each noun keeps its places.

    Its clearest variants come first, which are those that are at least `NEARLY` as clear as the clearest; of these what
    was learned best, where that is known of all of them. The others follow, the clearest first.
    """
    places: dict[str, list[int]] = {}
    for place, noun in enumerate(variants):
        places.setdefault(noun, []).append(place)
    order = list(range(len(variants)))
    for own in places.values():
        least = NEARLY * max(clear[index] for index in own)
        clearest = sorted((index for index in own if clear[index] >= least), key=lambda index: -clear[index])
        if all(index in missed for index in clearest):
            clearest.sort(key=lambda index: missed[index])
        others = sorted(set(own) - set(clearest), key=lambda index: -clear[index])
        for place, chosen in zip(own, clearest + others, strict=True):
            order[place] = chosen
    return order


Value = TypeVar("Value")


def rearrange(folder: Path, order: list[int]) -> None:
    """Writes a teacher's or a student's folder with the variants of its shape prior in another order."""
    file = folder / "shape_prior" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    codes = weights["code.weight"]
    weights["code.weight"] = torch.cat([codes[:1], codes[1:][order]])
    path = folder / "shape_prior" / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))

    def placed(values: Sequence[Value]) -> list[Value]:
        return [values[chosen] for chosen in order]

    config |= {name: placed(config[name]) for name in ("variants", "fine_names", "sizes")}
    save_file(weights, file, metadata={"format": "pt"})
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, required=True, help="the teacher's folder, with its recogniser")
    parser.add_argument("--data", type=Path, help="what build_fields.py wrote; without it, the clearest comes first")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="folders with the same shape prior")
    arguments = parser.parse_args()
    recogniser = Recogniser.load(arguments.teacher)
    prior = load_shape_teacher(arguments.teacher).shape_prior
    variants = prior.config["variants"]
    clear = [0.0] * len(variants)
    count = Counter(variants)
    several = [i for i, noun in enumerate(variants) if count[noun] > 1]
    for done, i in enumerate(several, 1):
        clear[i] = clearness(prior, recogniser, i + 1)
        print(f"{done} of {len(several)}: {variants[i]} {clear[i]:.2f}", flush=True)
    missed = missed_by(prior, arguments.data) if arguments.data else {}
    order = order_of(variants, clear, missed)
    for folder in (arguments.teacher, *arguments.also):
        rearrange(folder, order)
    first = [variants.index(noun) for noun in sorted(count) if count[noun] > 1]
    before = sum(clear[i] for i in first) / len(first)
    after = sum(clear[order[i]] for i in first) / len(first)
    print(f"{len(first)} nouns with several variants; how sure of the first: {before:.3f} before, {after:.3f} now")


if __name__ == "__main__":
    main()
