"""Between the stages: what the trained shape prior imagines from every camera of the data set, in layers."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from build_dataset import object_file
from dataset import imagined_file
from objects import read_held_out_models, read_objects, trained_on
from tqdm import tqdm
from training import averaged

from sds.teachers.shape_prior import ShapePrior
from sds.teachers.volume import Eyes, render_layers

FIELD_SIDE = 96


@torch.no_grad()
def imagine(arguments: argparse.Namespace) -> None:
    """Renders the field of every object; those that are there already are kept."""
    objects, _ = read_objects(arguments.data)
    variants = trained_on(objects, read_held_out_models(arguments.held_out_models))
    prior = averaged(arguments.out / "shapes.pt", ShapePrior)
    (arguments.out / "imagined").mkdir(exist_ok=True)
    for number, variant in enumerate(tqdm(variants, unit="object", mininterval=5)):
        target = imagined_file(arguments.out, variant.key)
        if target.exists():
            continue
        with np.load(object_file(arguments.data, variant.key)) as stored:
            cameras, size = torch.from_numpy(stored["cameras"]), stored["layers"].shape[-1]
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bfloat16):
            field = prior.field(prior.code.weight[number + 1], FIELD_SIDE)
        layers = render_layers(field.float(), Eyes.at(cameras[:, 0], cameras[:, 1]), size)
        np.save(target, (layers * 255).round().byte().numpy())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="what build_dataset.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="where train_shapes.py left its checkpoint")
    parser.add_argument("--held-out-models", type=Path, default=Path(__file__).parent / "held_out_models.csv")
    parser.add_argument("--bfloat16", action=argparse.BooleanOptionalAction, default=True)
    imagine(parser.parse_args())


if __name__ == "__main__":
    main()
