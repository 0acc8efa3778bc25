"""Handwritten digits, 8 x 8 pixels, and a diffusion teacher of them: small enough to compare every method in minutes.

The digits are those of scikit-learn (1797 pictures, inside the package: nothing is downloaded). The teacher becomes an
ordinary class-conditional diffusers folder, which `scoresmith distill --teacher FOLDER --prompt three` takes as it
takes any other::

    python examples/compare_students/digits.py --out outputs/digits_teacher

A minute or two on one core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from diffusers import DDPMScheduler, UNet2DModel
from sklearn.datasets import load_digits
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sds.schedule import Prediction, output_from_x0, schedule_from_diffusers

HELD_OUT = 497
"""Pictures that no teacher and no student sees: the reference of the comparison."""

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

NULL = len(NAMES)
"""The class that stands for no class in particular."""

NULL_SHARE = 0.1
"""Of the training in which the class is hidden."""


def digits(held_out: bool) -> tuple[Tensor, Tensor]:
    """Pictures (count, 3, 8, 8) in [0, 1], three times the same gray, and their digits (count,); in random order."""
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    chosen = order[:HELD_OUT] if held_out else order[HELD_OUT:]
    gray = torch.from_numpy(data.images).float() / 16
    return gray[chosen, None].repeat(1, 3, 1, 1), torch.from_numpy(data.target)[chosen]


def new_unet() -> UNet2DModel:
    """A UNet of half a million weights that is told the class."""
    return UNet2DModel(
        sample_size=8,
        in_channels=3,
        out_channels=3,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=16,
        num_class_embeds=len(NAMES) + 1,
    )


def train_teacher(out: Path, steps: int = 2500, batch_size: int = 64, rate: float = 2e-3, seed: int = 0) -> Path:
    """Train a v-predicting teacher on the digits that are not held out and write its folder; returns the folder."""
    torch.manual_seed(seed)
    pictures, labels = digits(held_out=False)
    scheduler = DDPMScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", rescale_betas_zero_snr=True
    )
    schedule, unet = schedule_from_diffusers(scheduler), new_unet()
    average = AveragedModel(unet, multi_avg_fn=get_ema_multi_avg_fn(0.998))
    optimizer = torch.optim.AdamW(unet.parameters(), lr=rate)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        chosen = torch.randint(len(pictures), (batch_size,))
        x0 = pictures[chosen] * 2 - 1
        told = torch.where(torch.rand(batch_size) < NULL_SHARE, NULL, labels[chosen])
        t = torch.rand(batch_size, dtype=torch.float64).clamp(min=1e-3)
        x_t = schedule.add_noise(x0, torch.randn_like(x0), t)
        v = output_from_x0(Prediction.V, x0, x_t, *schedule(t))
        predicted = unet(x_t, schedule.timestep(t).float(), class_labels=told).sample
        optimizer.zero_grad()
        (predicted - v).square().mean().backward()
        optimizer.step()
        falling.step()
        average.update_parameters(unet)
    return save_teacher(average.module.eval(), scheduler, out)


def save_teacher(unet: UNet2DModel, scheduler: DDPMScheduler, out: Path) -> Path:
    """Write a folder in the diffusers layout, weights in half precision; returns it."""
    unet.half().save_pretrained(out / "unet", safe_serialization=True)
    scheduler.save_pretrained(out / "scheduler")
    index = {
        "_class_name": "DDPMPipeline",
        "unet": ["diffusers", "UNet2DModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
        "id2label": {str(number): name for number, name in enumerate(NAMES)},
    }
    (out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return out


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the teacher's folder")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(train_teacher(arguments.out, arguments.steps, seed=arguments.seed))


if __name__ == "__main__":
    main()
