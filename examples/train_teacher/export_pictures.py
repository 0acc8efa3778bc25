"""Writes pictures of the training views, or of those held out, as ``scoresmith distill --images`` reads them.

Captions, paints and backgrounds are drawn as in the training of the teacher: a folder for each caption, and views.csv
says from where each picture sees its object.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from captions import CaptionWriter, read_held_out
from look_data import LookDataset, Pictures
from objects import read_held_out_models, read_objects, trained_on
from PIL import Image
from tqdm import tqdm

from sds.teachers.layers import LOOKS, Look

_AT_ONCE = 250
_HERE = Path(__file__).parent


def lit_pictures(data: Path, count: int, seed: int, held_out_views: bool, held_out_pairs: Path) -> Iterator[Pictures]:
    """``count`` lit pictures in groups of at most 250, each with its caption, camera and background."""
    objects, nouns = read_objects(data)
    variants = trained_on(objects, read_held_out_models(_HERE / "held_out_models.csv"))
    views = LookDataset(data, variants, 20, held_out=held_out_views)
    writer = CaptionWriter(nouns, read_held_out(held_out_pairs))
    generator = np.random.default_rng(seed)
    for start in range(0, count, _AT_ONCE):
        drawn = views.sample(min(_AT_ONCE, count - start), writer, generator)
        lit = np.full(len(drawn.objects), LOOKS.index(Look.LIT))
        yield views.compose(drawn.objects, drawn.views, drawn.captions, lit, drawn.background.numpy())


def export(batches: Iterator[Pictures], out: Path) -> int:
    """Writes the pictures and views.csv below ``out``; returns how many there are."""
    out.mkdir(parents=True, exist_ok=True)
    number = 0
    with (out / "views.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "azimuth", "elevation", "background"])
        for batch in batches:
            pixels = (batch.picture.permute(0, 2, 3, 1) * 255).round().byte().numpy()
            for i, caption in enumerate(batch.captions):
                name = f"{caption.text}/{number:06}.png"
                (out / caption.text).mkdir(exist_ok=True)
                Image.fromarray(pixels[i]).save(out / name)
                azimuth, elevation = (math.degrees(float(angle[i])) for angle in (batch.azimuth, batch.elevation))
                background = bytes((batch.background[i] * 255).round().byte().tolist()).hex()
                table.writerow([name, f"{azimuth:.3f}", f"{elevation:.3f}", background])
                number += 1
    return number


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="what build_fields.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--count", type=int, default=12000, help="number of pictures")
    parser.add_argument("--held-out-views", action="store_true", help="of the views that nothing is trained on")
    parser.add_argument("--held-out", type=Path, default=_HERE / "held_out.csv")
    parser.add_argument("--seed", type=int, default=11)
    arguments = parser.parse_args()
    drawn = lit_pictures(arguments.data, arguments.count, arguments.seed, arguments.held_out_views, arguments.held_out)
    print(export(tqdm(drawn, total=-(-arguments.count // _AT_ONCE)), arguments.out))


if __name__ == "__main__":
    main()
