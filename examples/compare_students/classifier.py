"""Features of small gray pictures: those of a classifier that has seen real pictures and nothing else."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from subject import Labelled
from torch import Tensor, nn

WIDTH = 64
"""Numbers that describe a picture."""

BATCH_SIZE, RATE = 100, 2e-3
"""Of the classifier's training."""


class Classifier(nn.Module):
    """Two convolutions and two layers: gray pictures (count, 1, 28, 28) to `WIDTH` features, and to a kind."""

    def __init__(self, kinds: int = 10) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 32, 5, padding=2), nn.Conv2d(32, 64, 3, padding=1)
        self.describe, self.decide = nn.Linear(64 * 7 * 7, WIDTH), nn.Linear(WIDTH, kinds)

    def features(self, gray: Tensor) -> Tensor:
        """(count, `WIDTH`)."""
        x = F.max_pool2d(F.relu(self.first(gray)), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2)
        return self.describe(x.flatten(1))

    def forward(self, gray: Tensor) -> Tensor:
        """Logits (count, kinds)."""
        return self.decide(F.relu(self.features(gray)))


def train_classifier(seen: Labelled, epochs: int = 4, seed: int = 0) -> Classifier:
    """A classifier of real pictures (count, channels, 28, 28) in [0, 1]; five minutes on one core for 60,000."""
    torch.manual_seed(seed)
    pictures, kinds = seen
    classifier, steps = Classifier(), epochs * (len(kinds) // BATCH_SIZE)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=RATE)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        chosen = torch.randint(len(kinds), (BATCH_SIZE,))
        loss = F.cross_entropy(classifier(pictures[chosen, :1]), kinds[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
    return classifier.eval().requires_grad_(False)


@torch.no_grad()
def share_right(classifier: Classifier, held_out: Labelled) -> float:
    """How many of the pictures it names as they are labelled."""
    pictures, kinds = held_out
    return float((classifier(pictures[:, :1]).argmax(1) == kinds).float().mean())


@torch.no_grad()
def described(classifier: Classifier, pictures: Tensor, at_once: int = 500) -> Tensor:
    """Pictures (count, channels, 28, 28) in [0, 1] -> their features (count, `WIDTH`)."""
    return torch.cat([classifier.features(part.mean(1, keepdim=True)) for part in pictures.split(at_once)])


def save_classifier(classifier: Classifier, path: Path) -> None:
    """Writes its weights in half precision."""
    save_file({name: value.half() for name, value in classifier.state_dict().items()}, path)


def load_classifier(path: Path) -> Classifier:
    """What `save_classifier` wrote."""
    classifier = Classifier()
    classifier.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return classifier.eval().requires_grad_(False)
