"""What is known of one who draws digits: how near its pictures are to those that nobody has seen, and how varied.

Features are the 64 pixels, centred on the mean of the digits that were held out and divided by their deviation, one
number for all pixels: a cubic kernel on values that are all alike would only see the mean.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from digits import NAMES, digits
from torch import Tensor

from sds.denoiser import NeuralTeacher
from sds.solvers import even_times, solve
from students.measures.evaluation import (
    compare,
    coverage,
    density,
    distinctness,
    kernel_spread,
    nearest_neighbours,
)

DRAWS = 4
"""Sets of pictures that each draws, of which means and deviations are taken: one set may be lucky."""


@dataclass(frozen=True)
class Result:
    """What is known of one who draws, the mean over several sets of as many pictures as are held out.

    Attributes:
        name: of the method, or of the teacher.
        frechet, kernel, precision, recall, density, coverage: beside the digits that were held out.
        frechet_spread, kernel_spread: standard deviations, over the sets and over parts of one.
        distinct: mean distance of pictures of one digit, as a share of that of real ones.
        nearest_training, nearest_held_out: median distance from a picture to the nearest of equally many digits that
            were trained on, and that were held out. Who copies is nearer to the first.
        evaluations: of the teacher, in the training.
        steps: of training.
        seconds: of processor time in the training, the teacher's pictures included.
        student_steps: evaluations for a picture.
        curve: (steps, evaluations, seconds, Frechet distance, recall) on the way.
        few_steps: [evaluations for a picture, Frechet distance, recall] where their number is free.
    """

    name: str
    frechet: float
    frechet_spread: float
    kernel: float
    kernel_spread: float
    precision: float
    recall: float
    density: float
    coverage: float
    distinct: float
    nearest_training: float
    nearest_held_out: float
    evaluations: int = 0
    steps: int = 0
    seconds: float = 0.0
    student_steps: int = 0
    curve: list[list[float]] = field(default_factory=list)
    few_steps: list[list[float]] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """For a JSON file."""
        return {name: rounded(value) for name, value in asdict(self).items()}


def rounded(value: Any) -> Any:
    """Numbers with five digits, inside lists too."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    return [rounded(part) for part in value] if isinstance(value, list) else value


def wanted() -> list[str]:
    """The digits that are asked for: those that were held out, in their order."""
    return [NAMES[label] for label in digits(held_out=True)[1]]


def features(pictures: Tensor) -> Tensor:
    """Pictures (count, channels, 8, 8) in [0, 1] -> (count, 64), see above."""
    real = digits(held_out=True)[0][:, 0].flatten(1)
    return (pictures.mean(1).flatten(1) - real.mean(0)) / real.std(0).square().mean().sqrt()


def judged(name: str, sets: list[Tensor]) -> Result:
    """Sets of pictures of the `wanted` digits beside the real ones."""
    real, labels = digits(held_out=True)
    shown = features(digits(held_out=False)[0])[: len(real)]
    reference, drawn = features(real), [features(pictures) for pictures in sets]
    alike = [distinctness(drawn[0][labels == d]) / distinctness(reference[labels == d]) for d in range(10)]
    measured = [compare(reference, one) for one in drawn]
    distances = torch.tensor([numbers.frechet for numbers in measured]) * pixel_scale()

    def mean(of: str) -> float:
        return sum(getattr(numbers, of) for numbers in measured) / len(measured)

    return Result(
        name,
        float(distances.mean()),
        float(distances.std()) if len(sets) > 1 else 0.0,
        mean("kernel"),
        kernel_spread(reference, drawn[0], torch.Generator().manual_seed(0)),
        mean("precision"),
        mean("recall"),
        density(reference, drawn[0]),
        coverage(reference, drawn[0]),
        sum(alike) / len(alike),
        float(nearest_neighbours(drawn[0], shown).median()),
        float(nearest_neighbours(drawn[0], reference).median()),
    )


def pixel_scale() -> float:
    """From a squared distance of features to one of pixels."""
    return float(digits(held_out=True)[0][:, 0].flatten(1).std(0).square().mean())


@torch.no_grad()
def draw_by_teacher(teacher: NeuralTeacher, steps: int, seed: int) -> Tensor:
    """The teacher's own pictures of the `wanted` digits, by that many steps of DDIM."""
    texts = wanted()
    noise = torch.randn(len(texts), *teacher.shape, generator=torch.Generator().manual_seed(seed))
    grid = even_times(torch.ones(len(texts)), torch.zeros(len(texts)), steps)
    return teacher.decode(solve(teacher, noise, grid, teacher.condition(texts, None))).clamp(0, 1)


def resembling(seed: int) -> Tensor:
    """Real digits of the `wanted` kinds from those that the teacher learned from: what a perfect student would do."""
    pictures, labels = digits(held_out=False)
    rng = torch.Generator().manual_seed(seed)
    chosen = []
    for label in digits(held_out=True)[1]:
        alike = (labels == label).nonzero()[:, 0]
        chosen.append(alike[torch.randint(len(alike), (), generator=rng)])
    return pictures[torch.stack(chosen)]
