"""Handwritten digits, 8 x 8 pixels, and a diffusion teacher of them: small enough to compare every method in minutes.

The digits are those of scikit-learn (1797 pictures, inside the package: nothing is downloaded). The teacher becomes an
ordinary class-conditional diffusers folder, which `scoresmith distill --teacher FOLDER --prompt three` takes as it
takes any other::

    python examples/compare_students/digits.py --out outputs/digits_teacher

A minute or two on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import UNet2DModel
from sklearn.datasets import load_digits
from subject import Labelled, Subject
from teaching import NOISE, VELOCITY, train_teacher
from torch import Tensor

HELD_OUT = 497
"""Pictures that no teacher and no student sees: the reference of the comparison."""

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def labelled(held_out: bool) -> Labelled:
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


def digits() -> Subject:
    """Judged by the 64 pixels, centred on the mean of what is held out and divided by their deviation.

    It is one number for all pixels: a cubic kernel on values that are all alike would only see the mean. Frechet
    distances are told in pixels again.
    """
    real, _ = held_out = labelled(held_out=True)
    gray = real[:, 0].flatten(1)
    variance = gray.std(0).square().mean()

    def features(pictures: Tensor) -> Tensor:
        return (pictures.mean(1).flatten(1) - gray.mean(0)) / variance.sqrt()

    teacher = Path(__file__).parent / "teacher"
    return Subject(
        "digits", NAMES, labelled(held_out=False), held_out, new_unet, features, teacher, unit=float(variance)
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the teacher's folder")
    parser.add_argument("--steps", type=int, default=2500, help="of 64 pictures each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--predict-noise", action="store_true", help="on Stable Diffusion's schedule, as it does")
    arguments = parser.parse_args()
    scheduler = NOISE if arguments.predict_noise else VELOCITY
    print(train_teacher(digits(), arguments.out, arguments.steps, 64, seed=arguments.seed, scheduler=scheduler))


if __name__ == "__main__":
    main()
