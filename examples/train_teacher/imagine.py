"""Renders what a trained shape prior imagines of each object, from the cameras of its training views.

A denoiser learns beside these what the prior does not know. Writes ``imagined/*.npy``, one an object, into the run;
those that are there are not made again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from build_fields import object_file
from look_data import spread_views
from objects import read_held_out_models, read_objects, trained_on
from tqdm import tqdm
from training import averaged, computes_in_bfloat16

from sds.teachers.shape_prior import ShapePrior
from sds.teachers.volume import Eyes, render_layers

FIELD_SIDE = 96


def imagined_file(run: Path, key: str) -> Path:
    """Where an object's imagined views are kept."""
    return run / "imagined" / object_file(Path(), key).with_suffix(".npy").name


@torch.no_grad()
def imagined_views(prior: ShapePrior, row: int, cameras: np.ndarray, size: int) -> np.ndarray:
    """The layers (V, C, size, size) uint8 that the prior's code of this row shows to cameras (V, 2)."""
    with torch.autocast("cpu", torch.bfloat16, enabled=computes_in_bfloat16()):
        field = prior.field(prior.code.weight[row], FIELD_SIDE)
    eyes = Eyes.at(*torch.from_numpy(cameras).unbind(1))
    layers = render_layers(field.float(), eyes, size)
    return (layers.clamp(0, 1) * 255).round().byte().numpy()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="what build_fields.py wrote")
    parser.add_argument("--run", type=Path, required=True, help="where train_shapes.py left its checkpoint")
    parser.add_argument("--held-out-models", type=Path, default=Path(__file__).parent / "held_out_models.csv")
    parser.add_argument("--views", type=int, default=12, help="of each object, all around it")
    parser.add_argument("--part", default="0/1", help="e.g. 1/2: the second half, for two processes")
    arguments = parser.parse_args()
    prior = averaged(arguments.run / "shapes.pt", ShapePrior)
    variants = trained_on(read_objects(arguments.data)[0], read_held_out_models(arguments.held_out_models))
    (arguments.run / "imagined").mkdir(exist_ok=True)
    part, parts = (int(word) for word in arguments.part.split("/"))
    for number in tqdm(range(part, len(variants), parts), unit="object", mininterval=5):
        if imagined_file(arguments.run, variants[number].key).exists():
            continue
        stored = np.load(object_file(arguments.data, variants[number].key))
        cameras = stored["cameras"][spread_views(len(stored["cameras"]), arguments.views)]
        views = imagined_views(prior, number + 1, cameras, stored["layers"].shape[-1])
        np.save(imagined_file(arguments.run, variants[number].key), views)


if __name__ == "__main__":
    main()
