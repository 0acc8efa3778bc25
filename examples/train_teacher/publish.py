"""Turns training checkpoints into a teacher's folder: ``python publish.py --run FOLDER --out FOLDER``."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from training import averaged

from sds.schedule import cosine_schedule
from sds.teachers.embedded_pipeline import EmbeddedPipeline
from sds.teachers.view_prior import ViewPrior

_STEPS = 1000


def cosine_scheduler() -> DDIMScheduler:
    """The diffusers scheduler whose table is exactly `sds.schedule.cosine_schedule`; its last step is pure noise."""
    kept = cosine_schedule(_STEPS).alpha(torch.linspace(0, 1, _STEPS, dtype=torch.float64)) ** 2
    betas = 1 - kept / torch.cat([torch.ones(1, dtype=torch.float64), kept[:-1]])
    return DDIMScheduler(
        num_train_timesteps=_STEPS,
        trained_betas=betas.tolist(),
        prediction_type="sample",
        clip_sample=True,
        timestep_spacing="trailing",
    )


def publish(run: Path, out: Path) -> None:
    """Writes the averaged weights in half precision as a diffusers folder, weights last."""
    prior = averaged(run / "prior.pt", ViewPrior)
    unet = averaged(run / "unet.pt", UNet2DConditionModel)
    EmbeddedPipeline(prior, unet, cosine_scheduler()).to(torch.float16).save_pretrained(out)
    size = sum(path.stat().st_size for path in out.rglob("*.safetensors"))
    print(f"{out}: {size / 1e6:.1f} MB, {math.prod((int(unet.config['sample_size']) * 4,) * 2)} pixels")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="where prior.pt and unet.pt are")
    parser.add_argument("--out", type=Path, required=True, help="the teacher's folder")
    arguments = parser.parse_args()
    publish(arguments.run, arguments.out)


if __name__ == "__main__":
    main()
