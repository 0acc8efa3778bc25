"""A picture of what a shape prior imagines: each prompt from four sides, lit, without light, and as normals."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from PIL import Image
from training import averaged

from sds.teachers.embedded_words import Lexicon
from sds.teachers.layers import LOOKS, all_looks, picture
from sds.teachers.mind import Mind
from sds.teachers.shape_prior import ShapePrior
from sds.teachers.volume import Eyes, render_layers

_SIDES = (30, 120, 210, 300)


@torch.no_grad()
def sheet(prior: ShapePrior, prompts: list[str], lexicon: Lexicon, size: int, number: int) -> Image.Image:
    """A row for each prompt, saying what was understood of it."""
    eyes = Eyes.at(torch.tensor(_SIDES) * math.pi / 180, torch.full((len(_SIDES),), math.radians(15)))
    mind = Mind(prior, lexicon)
    rows = []
    for prompt in prompts:
        print(f"{prompt}: {mind.understand(prompt).sentence()}", flush=True)
        scene = mind.scene(prompt, number, 96)
        layers = render_layers(scene.field, eyes, size)
        looks = all_looks(layers, [scene.paint] * len(_SIDES), eyes.azimuth, eyes.elevation)
        white = torch.ones(len(_SIDES), 3)
        shown = [picture(looks, torch.full((len(_SIDES),), look), white) for look in range(len(LOOKS))]
        rows.append(torch.cat([*torch.cat(shown)], dim=2))
    pixels = (torch.cat(rows, dim=1).permute(1, 2, 0) * 255).round().byte().numpy()
    return Image.fromarray(pixels)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompts", nargs="+")
    parser.add_argument("--run", type=Path, required=True, help="where train_shapes.py left its checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="the picture to write")
    parser.add_argument("--size", type=int, default=96, help="side of a view in pixels")
    parser.add_argument("--number", type=int, default=0, help="which of the objects that a prompt may mean")
    arguments = parser.parse_args()
    prior = averaged(arguments.run / "shapes.pt", ShapePrior)
    lexicon = Lexicon.load().only(prior.config["variants"])
    sheet(prior, arguments.prompts, lexicon, arguments.size, arguments.number).save(arguments.out)


if __name__ == "__main__":
    main()
