"""Puts the clearest variants of each noun first: ``python sort_variants.py --teacher FOLDER [--also FOLDER ...]``.

Who types "a mug" without a seed gets the first of the mugs that a prior knows. That should be one that everybody takes
for a mug, so the variants are sorted by how sure the recogniser is of what the prior imagines, seen from all sides. The
recogniser has learned from real renders only.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file

from sds.recognition import Recogniser
from sds.teachers.layers import LOOKS, Look, all_looks, picture
from sds.teachers.shape_prior import ShapePrior
from sds.teachers.shape_teacher import load_shape_teacher
from sds.teachers.volume import Eyes, render_layers

_CELLS = 48
_SIDE = 64
_ELEVATION = math.radians(15)


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


def order_of(variants: Sequence[str], clear: Sequence[float]) -> list[int]:
    """For each place the variant that comes there: each noun keeps its places, its clearest comes first."""
    places: dict[str, list[int]] = {}
    for place, noun in enumerate(variants):
        places.setdefault(noun, []).append(place)
    order = list(range(len(variants)))
    for own in places.values():
        for place, chosen in zip(own, sorted(own, key=lambda index: -clear[index]), strict=True):
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
    order = order_of(variants, clear)
    for folder in (arguments.teacher, *arguments.also):
        rearrange(folder, order)
    first = [variants.index(noun) for noun in sorted(count) if count[noun] > 1]
    before = sum(clear[i] for i in first) / len(first)
    after = sum(clear[order[i]] for i in first) / len(first)
    print(f"{len(first)} nouns with several variants; how sure of the first: {before:.3f} before, {after:.3f} now")


if __name__ == "__main__":
    main()
