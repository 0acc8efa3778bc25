"""Trains the classifier of `sds.recognition` on renders of real models, and measures it on views it has not seen."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from captions import CaptionWriter
from dataset import Batch, ViewDataset
from torch import Tensor
from training import Report, Trainer, averaged

from sds.recognition import Recogniser


def names_of_nouns(data: ViewDataset) -> dict[str, list[str]]:
    """For every noun its name, synonyms and the finer names of its models that no other noun has taken."""
    names = {noun.name: [noun.name, *noun.synonyms] for noun in data.nouns}
    taken = {name for known in names.values() for name in known}
    for item in data.objects:
        fine = item["fine_name"]
        if fine and fine not in taken:
            names[item["noun"]].append(fine)
            taken.add(fine)
    return names


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
    grid = F.affine_grid(affine, [batch, 3, 48, 48], align_corners=False)
    pictures = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)
    gain = torch.from_numpy(generator.uniform(0.85, 1.15, (batch, 1, 1, 1))).float()
    noise = torch.from_numpy(generator.uniform(0, 0.05, (batch, 1, 1, 1))).float()
    return (pictures * gain + noise * torch.randn_like(pictures)).clamp(0, 1)


def pictures_and_labels(data: ViewDataset, batch: Batch, index: dict[str, int]) -> tuple[Tensor, Tensor]:
    """The pictures (G * V, 3, S, S) of a batch and their nouns' numbers (G * V,)."""
    views = batch.azimuth.shape[1]
    labels = torch.tensor([index[data.objects[i]["noun"]] for i in batch.objects]).repeat_interleave(views)
    return batch.picture.flatten(0, 1), labels


@torch.no_grad()
def ceiling(recogniser: Recogniser, data: ViewDataset, size: int, count: int) -> dict[str, float]:
    """How often `count` real renders of unseen views are recognised, at `size` pixels: first, among the first five."""
    generator = np.random.default_rng(1)
    writer = CaptionWriter(data.nouns)
    index = {noun: i for i, noun in enumerate(recogniser.nouns)}
    ranks = []
    for _ in range(0, count, 128):
        pictures, labels = pictures_and_labels(data, data.sample(min(count, 128), 1, writer, generator), index)
        pictures = F.interpolate(pictures, (size, size), mode="bilinear", antialias=True)
        logits = recogniser.logits(pictures)
        ranks.append((logits > logits.gather(1, labels[:, None])).sum(1))
    rank = torch.cat(ranks)
    return {"top1": float((rank == 0).float().mean()), "top5": float((rank < 5).float().mean())}


def train(arguments: argparse.Namespace) -> None:
    """Trains, writes ``recogniser/`` into the teacher's folder and prints the ceiling."""
    torch.manual_seed(arguments.seed)
    generator = np.random.default_rng(arguments.seed)
    data = ViewDataset(arguments.data, 64)
    writer = CaptionWriter(data.nouns)
    recogniser = Recogniser(names=names_of_nouns(data)).to(memory_format=torch.channels_last)
    index = {noun: i for i, noun in enumerate(recogniser.nouns)}
    arguments.out.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.checkpoint or arguments.out.with_name(arguments.out.name + "-recogniser.pt")
    trainer = Trainer(recogniser, checkpoint, arguments.steps, arguments.rate, 0.998, generator)
    report = Report()
    while trainer.unfinished:
        pictures, labels = pictures_and_labels(data, data.sample(arguments.batch, 1, writer, generator), index)
        pictures = degraded(pictures, generator).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bfloat16):
            logits = recogniser.logits(pictures)
        loss = F.cross_entropy(logits, labels, label_smoothing=0.05)
        trainer.learn(loss)
        report.add(trainer.step, arguments.batch, loss=loss.detach())
    best = averaged(checkpoint, Recogniser)
    held_out = ViewDataset(arguments.data, 64, held_out=True)
    print(json.dumps({f"{size}px": ceiling(best, held_out, size, arguments.measured) for size in (32, 48, 64)}))
    best.to(torch.float16).save_pretrained(arguments.out / "recogniser")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="what build_dataset.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="the teacher's folder")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument(
        "--checkpoint", type=Path, help="where to keep the state; beside the teacher's folder if not said"
    )
    parser.add_argument("--bfloat16", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--measured", type=int, default=5120, help="renders to measure on")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=2)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
