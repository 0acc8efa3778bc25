"""Teaches a shape prior what things are in space. Resumes by itself if interrupted."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from build_fields import object_file
from field_samples import POINT_SCALE, TRUNCATED
from numpy.typing import NDArray
from objects import Variant, places_in, read_held_out_models, read_objects, trained_on, weights_of
from torch import Tensor
from training import Report, Trainer, begin_with, computes_in_bfloat16

from sds.teachers.shape_prior import TRUNCATION, ShapePrior

_ANYTHING = 0.03
"""The share of groups that teach the null prompt: anything at all."""
_JITTER = 0.01
"""Noise on codes: what lies near a code looks like it."""
_ODD = 6.0
"""How much more a colour counts for each unit of difference from its object's mean: eyes and buttons are a hundredth of
the surface, and what one looks at."""


@dataclass(frozen=True)
class FieldPoints:
    """Random points of all objects; see `field_samples.sample_field`."""

    points: NDArray[np.int16]
    values: NDArray[np.int8]

    @staticmethod
    def read(folder: Path, keys: list[str]) -> FieldPoints:
        """Reads the points of these objects into memory."""
        files = [np.load(object_file(folder, key)) for key in keys]
        return FieldPoints(np.stack([file["points"] for file in files]), np.stack([file["values"] for file in files]))

    def sample(self, objects: NDArray[np.int64], count: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """`count` points (G, count, 3) of each object (G,), and their values (G, count, 9) as the prior states them."""
        start = generator.integers(self.points.shape[1], size=(len(objects), count))
        points = torch.from_numpy(self.points[objects[:, None], start]).float() / POINT_SCALE
        raw = torch.from_numpy(self.values[objects[:, None], start]).float()
        distance = (raw[..., :1] / 127 * (TRUNCATED / TRUNCATION)).clamp(-1, 1)
        return points, torch.cat(
            [distance, raw[..., 1:4] / 254 + 0.5, raw[..., 4:5], raw[..., 5:6] / 254 + 0.5, raw[..., 6:9] / 127], dim=2
        )


def loss_of(drawn: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Absolute errors of distances everywhere, of colour, paint and normal near the surface.

    Returns:
        The loss, and for reporting the mean errors of distance and colour.
    """
    distance = (drawn[..., 0] - wanted[..., 0]).abs()
    close = (wanted[..., 0].abs() < 0.8).float()
    share = close.sum().clamp(min=1)
    # What a pixel shows is decided at the surface.
    of_distance = (distance * (0.3 + (1 - wanted[..., 0].abs()))).mean()
    painted = wanted[..., 4]
    wrong = (drawn[..., 1:4] - wanted[..., 1:4]).abs().mean(-1) * close
    colour = wrong.sum() / share
    mean = (wanted[..., 1:4] * close[..., None]).sum(1, keepdim=True) / close.sum(1)[:, None, None].clamp(min=1)
    odd = (wanted[..., 1:4] - mean).abs().mean(-1)
    of_colour = (wrong * (1 + _ODD * odd)).sum() / share
    paint = (
        F.binary_cross_entropy(drawn[..., 4].clamp(1e-4, 1 - 1e-4), painted, reduction="none") * close
    ).sum() / share
    luminance = ((drawn[..., 5] - wanted[..., 5]).abs() * close * painted).sum() / share
    normal = ((drawn[..., 6:9] - wanted[..., 6:9]).abs().mean(-1) * close).sum() / share
    loss = 4 * of_distance + 1.5 * of_colour + 0.1 * paint + 0.5 * luminance + 0.5 * normal
    return loss, distance.detach().mean(), colour.detach()


@torch.no_grad()
def take_codes(prior: ShapePrior, earlier: ShapePrior, variants: Sequence[Variant]) -> None:
    """The codes of things that an earlier prior knows too, wherever they are there, if its codes are as wide."""
    if earlier.code.embedding_dim != prior.code.embedding_dim:
        return
    prior.code.weight[0] = earlier.code.weight[0]
    for row, place in enumerate(places_in(earlier.config, variants), 1):
        if place is not None:
            prior.code.weight[row] = earlier.code.weight[place + 1]


def train(arguments: argparse.Namespace) -> None:
    """Runs or resumes the stage."""
    torch.manual_seed(arguments.seed)
    generator = np.random.default_rng(arguments.seed)
    objects, _ = read_objects(arguments.data)
    variants = trained_on(objects, read_held_out_models(arguments.held_out_models))
    points = FieldPoints.read(arguments.data, [variant.key for variant in variants])
    arguments.out.mkdir(parents=True, exist_ok=True)
    prior = ShapePrior(
        variants=[variant.noun for variant in variants],
        fine_names=[variant.fine_name for variant in variants],
        sizes=[variant.longest_side for variant in variants],
        channels=tuple(int(word) for word in arguments.channels.split(",")),
    )
    if arguments.warm_start:
        begin_with(prior, arguments.warm_start, without=("code.weight",))
        take_codes(prior, ShapePrior.from_pretrained(arguments.warm_start), variants)
    trainer = Trainer(prior, arguments.out / "shapes.pt", arguments.steps, arguments.rate, 0.998, generator)
    report = Report(100)
    share = weights_of(variants)
    while trainer.unfinished:
        chosen = generator.choice(len(variants), arguments.groups, p=share)
        at, wanted = points.sample(chosen, arguments.points, generator)
        number = torch.from_numpy(np.where(generator.random(len(chosen)) < _ANYTHING, 0, chosen + 1))
        code = prior.code(number)
        code = code + _JITTER * torch.randn_like(code)
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bfloat16):
            drawn = prior.at(prior.planes(code), at)
        loss, distance, colour = loss_of(drawn, wanted)
        trainer.learn(loss)
        report.add(trainer.step, len(chosen), distance=distance, colour=colour)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="what build_fields.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--held-out-models", type=Path, default=Path(__file__).parent / "held_out_models.csv")
    parser.add_argument("--steps", type=int, default=10000)
    parser.add_argument("--groups", type=int, default=12, help="objects a step")
    parser.add_argument("--points", type=int, default=3072, help="points of each")
    parser.add_argument("--channels", default="128,144,96,64", help="of the planes, from coarse to fine")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument(
        "--warm-start", type=Path, help="a trained shape_prior folder; of other models, its codes are not"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bfloat16", action=argparse.BooleanOptionalAction, default=computes_in_bfloat16())
    train(parser.parse_args())


if __name__ == "__main__":
    main()
