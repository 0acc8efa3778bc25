"""Turns training checkpoints into a teacher's folder: ``python publish.py --run FOLDER --out FOLDER``."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from training import averaged

from sds.teachers.embedded_pipeline import EmbeddedPipeline, cosine_scheduler
from sds.teachers.view_prior import ViewPrior


def publish(run: Path, out: Path) -> None:
    """Writes the averaged weights in half precision as a diffusers folder, weights last."""
    prior = averaged(run / "prior.pt", ViewPrior)
    unet = averaged(run / "unet.pt", UNet2DConditionModel)
    EmbeddedPipeline(prior, unet, cosine_scheduler()).to(torch.float16).save_pretrained(out)
    size = sum(path.stat().st_size for path in out.rglob("*.safetensors"))
    print(f"{out}: {size / 1e6:.1f} MB")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="where prior.pt and unet.pt are")
    parser.add_argument("--out", type=Path, required=True, help="the teacher's folder")
    arguments = parser.parse_args()
    publish(arguments.run, arguments.out)


if __name__ == "__main__":
    main()
