"""Writes pictures of the training views, or of those held out, as ``scoresmith distill --images`` reads them.

Captions, colours and backgrounds are drawn as in the training of the teacher: a folder for each caption, and views.csv
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
from dataset import Batch, ViewDataset
from PIL import Image
from tqdm import tqdm

_AT_ONCE = 500


def pictures(
    data: Path, size: int, count: int, seed: int, held_out_views: bool, held_out_pairs: Path
) -> Iterator[Batch]:
    """``count`` pictures of single views in groups of at most 500, each with its caption, camera and background."""
    views = ViewDataset(data, size, held_out=held_out_views)
    writer = CaptionWriter(views.nouns, read_held_out(held_out_pairs))
    generator = np.random.default_rng(seed)
    for start in range(0, count, _AT_ONCE):
        yield views.sample(min(_AT_ONCE, count - start), 1, writer, generator)


def export(batches: Iterator[Batch], out: Path) -> int:
    """Writes the pictures and views.csv below ``out``; returns how many there are."""
    out.mkdir(parents=True, exist_ok=True)
    number = 0
    with (out / "views.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "azimuth", "elevation", "background"])
        for batch in batches:
            pixels = (batch.picture[:, 0].permute(0, 2, 3, 1) * 255).round().byte().numpy()
            for i, caption in enumerate(batch.captions):
                name = f"{caption}/{number:06}.png"
                (out / caption).mkdir(exist_ok=True)
                Image.fromarray(pixels[i]).save(out / name)
                azimuth, elevation = (math.degrees(float(angle[i, 0])) for angle in (batch.azimuth, batch.elevation))
                background = bytes((batch.background[i, 0] * 255).round().byte().tolist()).hex()
                table.writerow([name, f"{azimuth:.3f}", f"{elevation:.3f}", background])
                number += 1
    return number


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="what build_dataset.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--count", type=int, default=24000, help="number of pictures")
    parser.add_argument("--size", type=int, default=32, help="their side in pixels")
    parser.add_argument("--held-out-views", action="store_true", help="of the views that nothing is trained on")
    parser.add_argument("--held-out", type=Path, default=Path(__file__).parent / "held_out.csv")
    parser.add_argument("--seed", type=int, default=11)
    arguments = parser.parse_args()
    drawn = pictures(
        arguments.data,
        arguments.size,
        arguments.count,
        arguments.seed,
        arguments.held_out_views,
        arguments.held_out,
    )
    print(export(tqdm(drawn, total=-(-arguments.count // _AT_ONCE)), arguments.out))


if __name__ == "__main__":
    main()
