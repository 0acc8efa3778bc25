"""Second stage: teaches the UNet what the view prior does not know. Resumes by itself if interrupted."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from captions import CaptionWriter, read_held_out
from dataset import Batch, ViewDataset, without_some_words
from diffusers import UNet2DConditionModel
from torch import Tensor
from training import Report, Trainer, averaged

from sds.denoiser import Condition
from sds.schedule import cosine_schedule
from sds.teachers.embedded import PATCH, condition_width, predict_x0, told_to_unet
from sds.teachers.view_prior import ViewPrior

_TEXT_DROP = 0.12
_SMALLEST_VARIANCE = 0.06
"""Errors of x0 are weighted by 1 / (sigma^2 + this): what little noise hides must be right, but not to the last bit."""


def new_unet(size: int, channels: tuple[int, ...], text_width: int) -> UNet2DConditionModel:
    """A UNet on 4 x 4 pixel blocks: surprise and mean in, correction and gate out; text by attention at low levels."""
    kinds = ["", *["CrossAttn"] * (len(channels) - 1)]
    return UNet2DConditionModel(
        sample_size=size // PATCH,
        in_channels=6 * PATCH**2,
        out_channels=6 * PATCH**2,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=tuple(f"{kind}DownBlock2D" for kind in kinds),
        up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
        mid_block_type="UNetMidBlock2DCrossAttn",
        cross_attention_dim=text_width,
        attention_head_dim=4,
        norm_num_groups=16,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=condition_width(text_width),
        resnet_time_scale_shift="scale_shift",
    )


def sample_times(count: int) -> Tensor:
    """Times (count,) float64: half uniform, half crowded towards pure noise, where what a picture shows is decided."""
    uniform = torch.rand(count, dtype=torch.float64)
    high = 1 - 0.7 * torch.rand(count, dtype=torch.float64) ** 1.5
    return torch.where(torch.rand(count) < 0.5, uniform, high)


@torch.no_grad()
def tell(prior: ViewPrior, batch: Batch, size: int) -> Condition:
    """The condition of every picture of a batch, (G * V)."""
    views = batch.azimuth.shape[1]
    text = prior.read(batch.captions)
    each = torch.arange(len(batch.captions)).repeat_interleave(views)
    return told_to_unet(
        prior,
        text[each],
        prior.slots_of(text.pooled)[each],
        batch.azimuth.flatten(),
        batch.elevation.flatten(),
        batch.background.flatten(0, 1),
        size,
    )


def loss_of(
    unet: UNet2DConditionModel, prior: ViewPrior, batch: Batch, size: int, noises: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The weighted squared error of x0 at random times, `noises` of them for each picture.

    Returns:
        The loss, and for reporting the mean squared errors below and above t = 0.5.
    """
    schedule = cosine_schedule()
    condition = Condition.concatenate([tell(prior, batch, size)] * noises)
    x0 = (batch.picture.flatten(0, 1) * 2 - 1).repeat(noises, 1, 1, 1)
    t = sample_times(len(x0))
    x_t = schedule.add_noise(x0, torch.randn_like(x0), t)
    alpha, sigma = schedule(t)
    denoised = predict_x0(unet, prior.spread, x_t, alpha, sigma, schedule.timestep(t), condition)
    error = (denoised.float() - x0).square().mean((1, 2, 3))
    loss = (error / (sigma**2 + _SMALLEST_VARIANCE).float()).mean()
    reported = error.detach()
    return loss, reported[t < 0.5].mean(), reported[t >= 0.5].mean()


def train(arguments: argparse.Namespace) -> None:
    """Runs or resumes the stage."""
    torch.manual_seed(arguments.seed)
    generator = np.random.default_rng(arguments.seed)
    data = ViewDataset(arguments.data, arguments.size)
    writer = CaptionWriter(data.nouns, read_held_out(arguments.held_out))
    prior = averaged(arguments.out / "prior.pt", ViewPrior)
    if arguments.warm_start:
        unet = averaged(arguments.warm_start, UNet2DConditionModel).train().requires_grad_(True)
        unet.register_to_config(sample_size=arguments.size // PATCH)
    else:
        channels = tuple(int(word) for word in arguments.channels.split(","))
        unet = new_unet(arguments.size, channels, prior.config["text_width"])
    unet = unet.to(memory_format=torch.channels_last)
    trainer = Trainer(unet, arguments.out / "unet.pt", arguments.steps, arguments.rate, 0.9985, generator)
    report = Report()
    while trainer.unfinished:
        batch = data.sample(arguments.groups, arguments.views, writer, generator)
        batch = without_some_words(batch, _TEXT_DROP, generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bfloat16):
            loss, low, high = loss_of(unet, prior, batch, arguments.size, arguments.noises)
        trainer.learn(loss)
        pictures = arguments.groups * arguments.views * arguments.noises
        report.add(trainer.step, pictures, below_half=low, above_half=high)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="what build_dataset.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="where train_prior.py left its checkpoint")
    parser.add_argument("--held-out", type=Path, default=Path(__file__).parent / "held_out.csv")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10000)
    parser.add_argument("--groups", type=int, default=16)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--noises", type=int, default=2, help="noisy copies of each picture in a batch")
    parser.add_argument("--channels", default="80,128,160")
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--warm-start", type=Path, help="a UNet checkpoint to begin with, e.g. of a smaller size")
    parser.add_argument("--bfloat16", action=argparse.BooleanOptionalAction, default=True)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
