"""First stage: teaches the view prior what things look like from everywhere. Resumes by itself if interrupted."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from captions import CaptionWriter, read_held_out
from dataset import Batch, ViewDataset, without_some_words
from torch import Tensor
from training import Report, Trainer

from sds.teachers.view_prior import Layers, Slots, ViewPrior, camera_features
from sds.teachers.vocabulary import words_to_learn

_TEXT_DROP = 0.1
_TOGETHER = 0.4
"""Share of the run in which all slots learn the same mean picture."""
_ANNEALED = 0.25
"""Share of the run, after that, in which the slots part: responsibilities are first soft, then nearly hard."""
_HOT, _COLD = 0.01, 0.001
_EXPLORED = 0.15
"""Share of the groups that any slot may learn, falling to none: a slot that explains nothing gets another chance."""


def error_of(layers: Layers, colour: Tensor, batch_rows: tuple[Tensor, ...]) -> Tensor:
    """Mean squared error of drawn layers, as a picture and layer by layer: (N,)."""
    fixed, shade, opacity, background, picture = batch_rows
    drawn = layers.over(background, colour)
    of_picture = (drawn - picture).square().mean((1, 2, 3))
    of_layers = (
        (layers.fixed - fixed).square().mean((1, 2, 3))
        + (layers.shade - shade).square().mean((1, 2, 3))
        + (layers.opacity - opacity).square().mean((1, 2, 3))
    )
    return of_picture + 0.3 * of_layers


def rows_of(batch: Batch, views: slice) -> tuple[Tensor, ...]:
    """The layers, backgrounds and pictures of some views of every group, flattened to (G * V, ...)."""
    parts = (batch.fixed, batch.shade, batch.opacity, batch.background, batch.picture)
    return tuple(part[:, views].flatten(0, 1) for part in parts)


def camera_of(batch: Batch, views: slice) -> Tensor:
    """Camera features of some views of every group, (G * V, features)."""
    return camera_features(batch.azimuth[:, views].flatten(), batch.elevation[:, views].flatten())


@torch.no_grad()
def responsibilities(prior: ViewPrior, slots: Slots, batch: Batch, views: int, temperature: float) -> Tensor:
    """p(slot | group) from the summed errors over the first `views` views: (G, K)."""
    groups, count = slots.log_weight.shape
    error = torch.zeros(groups, count)
    for view in range(views):
        one = slice(view, view + 1)
        rows = tuple(part.repeat_interleave(count, dim=0) for part in rows_of(batch, one))
        camera = camera_of(batch, one).repeat_interleave(count, dim=0)
        layers = prior.draw(slots.code.flatten(0, 1), camera)
        error += error_of(layers, slots.colour.flatten(0, 1), rows).view(groups, count)
    return (slots.log_weight - error / views / temperature).softmax(dim=1)


def loss_of(prior: ViewPrior, batch: Batch, temperature: float | None, explored: float = 0.0) -> tuple[Tensor, Tensor]:
    """Stochastic expectation maximisation: one slot a group is drawn from its responsibilities and taught the group.

    Without a temperature all slots are taught alike, which is fast and learns the mean picture of each caption.

    Returns:
        The loss, and the picture's mean squared error for reporting.
    """
    groups, views = batch.azimuth.shape
    slots = prior.slots_of(prior.read(batch.captions).pooled)
    if temperature is None:
        belief = torch.full_like(slots.log_weight, 1 / slots.log_weight.shape[1])
    else:
        belief = responsibilities(prior, slots, batch, min(views, 2), temperature)
        belief = (1 - explored) * belief + explored / belief.shape[1]
    chosen = torch.multinomial(belief, 1)[:, 0]
    row = torch.arange(groups)
    code = slots.code[row, chosen].repeat_interleave(views, dim=0)
    colour = slots.colour[row, chosen].repeat_interleave(views, dim=0)
    rows = rows_of(batch, slice(0, views))
    layers = prior.draw(code, camera_of(batch, slice(0, views)))
    fit = error_of(layers, colour, rows).mean()
    weights = -(belief * slots.log_weight).sum(1).mean()
    with torch.no_grad():
        reported = F.mse_loss(layers.over(rows[3], colour), rows[4])
    return fit + 0.003 * weights, reported


def train(arguments: argparse.Namespace) -> None:
    """Runs or resumes the stage."""
    torch.manual_seed(arguments.seed)
    generator = np.random.default_rng(arguments.seed)
    data = ViewDataset(arguments.data, arguments.size)
    writer = CaptionWriter(data.nouns, read_held_out(arguments.held_out))
    words = words_to_learn(writer.all_words([item["fine_name"] for item in data.objects]))
    arguments.out.mkdir(parents=True, exist_ok=True)
    prior = ViewPrior(words=words, width=arguments.width, slots=arguments.slots, resolution=arguments.size)
    trainer = Trainer(prior, arguments.out / "prior.pt", arguments.steps, arguments.rate, 0.999, generator)
    report = Report()
    while trainer.unfinished:
        progress = trainer.progress
        together = progress < _TOGETHER
        groups, views = (arguments.groups * arguments.views, 1) if together else (arguments.groups, arguments.views)
        batch = without_some_words(data.sample(groups, views, writer, generator), _TEXT_DROP, generator)
        annealed = min(1.0, (progress - _TOGETHER) / _ANNEALED)
        temperature = None if together else _HOT * (_COLD / _HOT) ** annealed
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bfloat16):
            loss, error = loss_of(prior, batch, temperature, _EXPLORED * (1 - progress))
        trainer.learn(loss)
        report.add(trainer.step, groups * views, error=error)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="what build_dataset.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, default=Path(__file__).parent / "held_out.csv")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10000)
    parser.add_argument("--groups", type=int, default=96)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bfloat16", action=argparse.BooleanOptionalAction, default=True)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
