"""Trains the classifier of `sds.recognition` on renders of real models, and measures it on views it has not seen."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from captions import CaptionWriter
from curation import Noun
from look_data import LookDataset, random_backgrounds
from numpy.typing import NDArray
from objects import Variant, read_objects
from torch import Tensor
from training import Report, Trainer, averaged, begin_with, computes_in_bfloat16

from sds.recognition import Recogniser
from sds.teachers.layers import LOOKS, Light, Look, all_looks, picture

_ALBEDO = 0.2
"""The share of pictures without light; all others are lit, each by a light of its own."""


def names_of_nouns(nouns: list[Noun], variants: list[Variant]) -> dict[str, list[str]]:
    """For every noun its name, synonyms and the finer names of its models that no other noun has taken."""
    names = {noun.name: [noun.name, *noun.synonyms] for noun in nouns}
    taken = {name for known in names.values() for name in known}
    for variant in variants:
        if variant.fine_name and variant.fine_name not in taken:
            names[variant.noun].append(variant.fine_name)
            taken.add(variant.fine_name)
    return names


def random_light(generator: np.random.Generator) -> Light:
    """A lamp somewhere above, of some strength beside that of the sky."""
    around, height = generator.uniform(0, 2 * np.pi), generator.uniform(0.2, 1.3)
    towards = (np.sin(around) * np.cos(height), np.sin(height), np.cos(around) * np.cos(height))
    lamp = generator.uniform(0.1, 0.6)
    return Light(generator.uniform(0.3, 0.9 - lamp / 2), generator.uniform(0, 0.15), lamp, towards)


def relit(
    data: LookDataset, count: int, writer: CaptionWriter, generator: np.random.Generator
) -> tuple[Tensor, NDArray[np.int64]]:
    """Random pictures (B, 3, S, S), each batch under another light and some without any, and their objects (B,)."""
    objects, views, captions = data.choose(count, writer, generator)
    layers = torch.from_numpy(data.layers[objects, views]).float() / 255
    azimuth, elevation = torch.from_numpy(data.cameras[objects, views]).unbind(1)
    looks = all_looks(layers, [caption.paint for caption in captions], azimuth, elevation, random_light(generator))
    unlit = torch.from_numpy(generator.random(count) < _ALBEDO)
    look = torch.where(unlit, LOOKS.index(Look.ALBEDO), LOOKS.index(Look.LIT))
    return picture(looks, look, torch.from_numpy(random_backgrounds(count, generator))), objects


def degraded(pictures: Tensor, generator: np.random.Generator) -> Tensor:
    """Pictures (B, 3, S, S) as imperfect generators make them: coarser, blurred, shifted, noisy, of odd exposure."""
    batch, _, size, _ = pictures.shape
    coarse = int(generator.integers(size // 2, size + 1))
    pictures = F.interpolate(pictures, (coarse, coarse), mode="bilinear", antialias=True)
    if generator.random() < 0.5:
        pictures = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    zoom = torch.from_numpy(generator.uniform(0.85, 1.2, batch)).float()
    shift = torch.from_numpy(generator.uniform(-0.1, 0.1, (batch, 2))).float()
    affine = torch.zeros(batch, 2, 3)
    affine[:, 0, 0] = affine[:, 1, 1] = zoom
    affine[:, :, 2] = shift
    grid = F.affine_grid(affine, [batch, 3, size, size], align_corners=False)
    pictures = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)
    gain = torch.from_numpy(generator.uniform(0.85, 1.15, (batch, 1, 1, 1))).float()
    noise = torch.from_numpy(generator.uniform(0, 0.05, (batch, 1, 1, 1))).float()
    return (pictures * gain + noise * torch.randn_like(pictures)).clamp(0, 1)


def labels_of(data: LookDataset, objects: NDArray[np.int64], index: dict[str, int]) -> Tensor:
    """The numbers (B,) of the nouns of objects (B,)."""
    return torch.tensor([index[data.variants[i].noun] for i in objects])


@torch.no_grad()
def ceiling(recogniser: Recogniser, data: LookDataset, nouns: list[Noun], size: int, count: int) -> dict[str, float]:
    """How often `count` real renders of unseen views are recognised, at `size` pixels: first, among the first five."""
    generator = np.random.default_rng(1)
    writer = CaptionWriter(nouns)
    index = {noun: i for i, noun in enumerate(recogniser.nouns)}
    ranks = []
    for _ in range(0, count, 128):
        pictures, objects = relit(data, min(count, 128), writer, generator)
        labels = labels_of(data, objects, index)
        logits = recogniser.logits(F.interpolate(pictures, (size, size), mode="bilinear", antialias=True))
        ranks.append((logits > logits.gather(1, labels[:, None])).sum(1))
    rank = torch.cat(ranks)
    return {"top1": float((rank == 0).float().mean()), "top5": float((rank < 5).float().mean())}


def train(arguments: argparse.Namespace) -> None:
    """Trains, writes ``recogniser/`` into the teacher's folder and prints the ceiling."""
    torch.manual_seed(arguments.seed)
    generator = np.random.default_rng(arguments.seed)
    variants, nouns = read_objects(arguments.data)
    data = LookDataset(arguments.data, variants, arguments.views)
    writer = CaptionWriter(nouns)
    names = names_of_nouns(nouns, variants)
    channels = [int(word) for word in arguments.channels.split(",")]
    recogniser = Recogniser(names, data.layers.shape[-1], channels)
    if arguments.warm_start:
        begin_with(recogniser, arguments.warm_start)
    recogniser = recogniser.to(memory_format=torch.channels_last)
    index = {noun: i for i, noun in enumerate(recogniser.nouns)}
    arguments.out.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.checkpoint or arguments.out.with_name(arguments.out.name + "-recogniser.pt")
    trainer = Trainer(recogniser, checkpoint, arguments.steps, arguments.rate, 0.998, generator)
    report = Report()
    while trainer.unfinished:
        pictures, objects = relit(data, arguments.batch, writer, generator)
        labels = labels_of(data, objects, index)
        pictures = degraded(pictures, generator).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bfloat16):
            logits = recogniser.logits(pictures)
        loss = F.cross_entropy(logits, labels, label_smoothing=0.05)
        trainer.learn(loss)
        report.add(trainer.step, arguments.batch, loss=loss.detach())
    best = averaged(checkpoint, Recogniser)
    held_out = LookDataset(arguments.data, variants, 0, held_out=True)
    sizes = {f"{size}px": ceiling(best, held_out, nouns, size, arguments.measured) for size in (32, 48, 64)}
    print(json.dumps(sizes))
    best.to(torch.float16).save_pretrained(arguments.out / "recogniser")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="what build_fields.py wrote")
    parser.add_argument("--views", type=int, default=40, help="of each object")
    parser.add_argument("--out", type=Path, required=True, help="the teacher's folder")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--channels", default="32,64,128,192,256", help="of the five convolutions")
    parser.add_argument("--warm-start", type=Path, help="a trained recogniser of the same nouns to begin with")
    parser.add_argument(
        "--checkpoint", type=Path, help="where to keep the state; beside the teacher's folder if not said"
    )
    parser.add_argument("--bfloat16", action=argparse.BooleanOptionalAction, default=computes_in_bfloat16())
    parser.add_argument("--measured", type=int, default=5120, help="renders to measure on")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=2)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
