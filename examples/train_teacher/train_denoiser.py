"""Second stage: teaches the UNet what the shape prior does not know. Resumes by itself if interrupted."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from captions import CaptionWriter, read_held_out
from diffusers import UNet2DConditionModel
from imagine import imagined_file
from look_data import LookDataset, Pictures
from numpy.typing import NDArray
from objects import read_held_out_models, read_objects, trained_on
from torch import Tensor
from training import Report, Trainer, averaged, begin_with, computes_in_bfloat16

from sds.denoiser import Condition
from sds.schedule import cosine_schedule
from sds.teachers.layers import all_looks
from sds.teachers.shape_denoising import PATCH, SPREAD, TOKENS, condition_width, predict_x0, told_to_unet
from sds.teachers.shape_prior import ShapePrior
from sds.teachers.volume import Eyes, render_layers

_ANYTHING = 0.1
"""The share of pictures that teach the null prompt."""
_SMALLEST_VARIANCE = 0.06
"""Errors of x0 are weighted by 1 / (sigma^2 + this): what little noise hides must be right, but not to the last bit."""


def new_unet(size: int, channels: tuple[int, ...], code_width: int) -> UNet2DConditionModel:
    """A UNet on 4 x 4 pixel blocks: surprise, mean and guides in, correction and gate out; codes by attention."""
    kinds = ["", *["CrossAttn"] * (len(channels) - 1)]
    return UNet2DConditionModel(
        sample_size=size // PATCH,
        in_channels=16 * PATCH**2,
        out_channels=6 * PATCH**2,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=tuple(f"{kind}DownBlock2D" for kind in kinds),
        up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
        mid_block_type="UNetMidBlock2DCrossAttn",
        cross_attention_dim=code_width,
        attention_head_dim=4,
        norm_num_groups=16,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=condition_width(code_width),
        resnet_time_scale_shift="scale_shift",
    )


class Imagination:
    """What the prior shows of each object from each of its views, and of anything at all.

    Args:
        prior: the trained prior.
        layers: (N, V, C, S, S) uint8, what `imagine` rendered.
    """

    def __init__(self, prior: ShapePrior, layers: NDArray[np.uint8]) -> None:
        self.prior = prior
        self.layers = layers
        self._anything = prior.field(prior.code.weight[0], 64).float()

    @torch.no_grad()
    def tell(self, shown: Pictures, anything: NDArray[np.bool_]) -> Condition:
        """The condition of every picture; where `anything`, that of the null prompt."""
        eyes = Eyes.at(shown.azimuth, shown.elevation)
        layers = torch.from_numpy(self.layers[shown.objects, shown.views]).float() / 255
        empty = torch.from_numpy(anything)
        if anything.any():
            seen_by = Eyes.at(shown.azimuth[empty], shown.elevation[empty])
            layers[empty] = render_layers(self._anything, seen_by, layers.shape[-1])
        paints = [None if none else caption.paint for none, caption in zip(anything, shown.captions, strict=True)]
        imagined = all_looks(layers, paints, shown.azimuth, shown.elevation)
        rows = torch.from_numpy(np.where(anything, 0, shown.objects + 1))
        tokens = torch.zeros(len(rows), TOKENS, self.prior.config["code_width"])
        tokens[:, 0] = self.prior.norm(self.prior.code.weight[rows])
        present = torch.zeros(len(rows), TOKENS)
        present[:, 0] = 1
        weight = torch.zeros(len(rows), 1)
        return told_to_unet(imagined[:, None], weight, tokens, present, eyes, shown.look, shown.background)


def sample_times(count: int) -> Tensor:
    """Times (count,) float64: half uniform, half crowded towards pure noise, where what a picture shows is decided."""
    uniform = torch.rand(count, dtype=torch.float64)
    high = 1 - 0.7 * torch.rand(count, dtype=torch.float64) ** 1.5
    return torch.where(torch.rand(count) < 0.5, uniform, high)


def loss_of(unet: UNet2DConditionModel, condition: Condition, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The weighted squared error of x0 at random times.

    Returns:
        The loss, and for reporting the mean squared errors of the network and of the candidates alone.
    """
    schedule = cosine_schedule()
    x0 = picture * 2 - 1
    t = sample_times(len(x0))
    x_t = schedule.add_noise(x0, torch.randn_like(x0), t)
    alpha, sigma = schedule(t)
    denoised = predict_x0(unet, SPREAD, x_t, alpha, sigma, schedule.timestep(t), condition)
    error = (denoised.float() - x0).square().mean((1, 2, 3))
    loss = (error / (sigma**2 + _SMALLEST_VARIANCE).float()).mean()
    alone = (condition.tensors["candidates"][:, 0] - x0).square().mean()
    return loss, error.detach().mean(), alone


def train(arguments: argparse.Namespace) -> None:
    """Runs or resumes the stage."""
    torch.manual_seed(arguments.seed)
    generator = np.random.default_rng(arguments.seed)
    objects, nouns = read_objects(arguments.data)
    variants = trained_on(objects, read_held_out_models(arguments.held_out_models))
    imagined = np.stack([np.load(imagined_file(arguments.out, variant.key)) for variant in variants])
    data = LookDataset(arguments.data, variants, imagined.shape[1])
    writer = CaptionWriter(nouns, read_held_out(arguments.held_out))
    prior = averaged(arguments.out / "shapes.pt", ShapePrior)
    imagination = Imagination(prior, imagined)
    channels = tuple(int(word) for word in arguments.channels.split(","))
    unet = new_unet(data.layers.shape[-1], channels, prior.config["code_width"])
    if arguments.warm_start:
        begin_with(unet, arguments.warm_start)
    unet = unet.to(memory_format=torch.channels_last)
    trainer = Trainer(unet, arguments.out / "unet.pt", arguments.steps, arguments.rate, 0.998, generator)
    report = Report(100)
    while trainer.unfinished:
        shown = data.sample(arguments.pictures, writer, generator)
        condition = imagination.tell(shown, generator.random(arguments.pictures) < _ANYTHING)
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bfloat16):
            loss, error, alone = loss_of(unet, condition, shown.picture)
        trainer.learn(loss)
        report.add(trainer.step, arguments.pictures, loss=loss.detach(), error=error, alone=alone)


def main() -> None:
    """Command line."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="what build_fields.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="where train_shapes.py and imagine.py left their work")
    parser.add_argument("--held-out", type=Path, default=here / "held_out.csv", help="pairs of words never shown")
    parser.add_argument("--held-out-models", type=Path, default=here / "held_out_models.csv")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--pictures", type=int, default=16, help="in a step")
    parser.add_argument("--channels", default="64,96,128")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--warm-start", type=Path, help="a trained unet folder to begin with")
    parser.add_argument("--bfloat16", action=argparse.BooleanOptionalAction, default=computes_in_bfloat16())
    train(parser.parse_args())


if __name__ == "__main__":
    main()
