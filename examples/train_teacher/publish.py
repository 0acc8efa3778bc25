"""Turns training checkpoints into a teacher's folder: ``python publish.py --run FOLDER --data FOLDER --out FOLDER``."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from training import averaged

from sds.teachers.shape_pipeline import ShapePipeline, cosine_scheduler
from sds.teachers.shape_prior import ShapePrior


def publish(run: Path, out: Path, trust: float = 1.0) -> None:
    """Writes the averaged weights in half precision as a diffusers folder, weights last.

    Args:
        run: where the checkpoints are.
        out: the folder.
        trust: what the UNet's correction F is multiplied by. A UNet that has learned for too short a time adds more
            noise than it takes away; less of it is better.
    """
    prior = averaged(run / "shapes.pt", ShapePrior)
    unet = averaged(run / "unet.pt", UNet2DConditionModel)
    half = unet.conv_out.out_channels // 2  # the other half is the gate, see `predict_x0`
    unet.conv_out.weight[:half] *= trust
    unet.conv_out.bias[:half] *= trust
    ShapePipeline(prior, unet, cosine_scheduler()).to(torch.float16).save_pretrained(out)
    size = sum(path.stat().st_size for path in out.rglob("*.safetensors"))
    print(f"{out}: {size / 1e6:.1f} MB")


def write_credits(data: Path, out: Path) -> None:
    """Writes ``models.csv``: every model that taught the teacher, its creator, as licences ask for, and its size."""
    described = json.loads((data / "objects.json").read_text(encoding="utf-8"))
    names = ("library", "key", "noun", "fine_name", "creator", "longest_side_m")
    with (out / "models.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, names, lineterminator="\n", extrasaction="ignore")
        rows.writeheader()
        rows.writerows(
            item | {"longest_side_m": max(item["size_m"]) if item["size_m"] else None} for item in described["objects"]
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="where shapes.pt and unet.pt are")
    parser.add_argument("--data", type=Path, required=True, help="what build_fields.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="the teacher's folder")
    parser.add_argument("--trust", type=float, default=1.0, help="factor of what the UNet adds to the fields")
    arguments = parser.parse_args()
    publish(arguments.run, arguments.out, arguments.trust)
    write_credits(arguments.data, arguments.out)


if __name__ == "__main__":
    main()
