"""What is known of one who draws: how near its pictures are to those that nobody has seen, and how varied."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from subject import Subject
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

MEASURED = (
    *("frechet", "frechet_spread", "kernel", "kernel_spread", "precision", "recall", "density", "coverage", "distinct"),
    *("nearest_training", "nearest_held_out", "seconds"),
)
"""Numbers of a `Result` of which means are taken over seeds."""


@dataclass(frozen=True)
class Result:
    """What is known of one who draws, the mean over several sets of as many pictures as are held out.

    Attributes:
        name: of the method, or of the teacher.
        frechet, kernel, precision, recall, density, coverage: beside what was held out.
        frechet_spread, kernel_spread: standard deviations, over the sets and over parts of one.
        distinct: mean distance of pictures of one kind, as a share of that of real ones.
        nearest_training, nearest_held_out: median distance from a picture to the nearest of equally many that
            were trained on, and that were held out. Who copies is nearer to the first.
        evaluations: of the teacher, in the training.
        steps: of training.
        seconds: of processor time in the training, the teacher's pictures included.
        student_steps: evaluations for a picture.
        curve: (steps, evaluations, seconds, Frechet distance, recall) on the way.
        few_steps: [evaluations for a picture, Frechet distance, recall] where their number is free.
        seed: of the training.
        seeds: trainings of which this is the mean.
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
    seed: int = 0
    seeds: int = 1

    def row(self) -> dict[str, Any]:
        """For a JSON file."""
        return {name: rounded(value) for name, value in asdict(self).items()}


def over_seeds(results: Sequence[Result]) -> list[Result]:
    """One result for each name, the mean over its seeds; of several, the spread of the distance is that over seeds.

    The curve is that of the first seed.
    """
    names = list(dict.fromkeys(result.name for result in results))
    return [mean_result([result for result in results if result.name == name]) for name in names]


def mean_result(results: Sequence[Result]) -> Result:
    """The mean of several trainings by one method."""
    first = results[0]
    if len(results) == 1:
        return first
    values = {name: statistics.mean(getattr(result, name) for result in results) for name in MEASURED}
    values["frechet_spread"] = statistics.stdev(result.frechet for result in results)
    tables = torch.tensor([result.few_steps for result in results], dtype=torch.float64)
    evaluations = round(statistics.mean(result.evaluations for result in results))
    return replace(first, **values, evaluations=evaluations, few_steps=tables.mean(0).tolist(), seeds=len(results))


def rounded(value: Any) -> Any:
    """Numbers with five digits, inside lists too."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    return [rounded(part) for part in value] if isinstance(value, list) else value


def judged(subject: Subject, name: str, sets: list[Tensor]) -> Result:
    """Sets of pictures of the kinds that are `Subject.wanted` beside the real ones."""
    _, kinds = subject.held_out
    reference, drawn = subject.reference, [subject.features(pictures) for pictures in sets]
    alike = [
        distinctness(drawn[0][kinds == kind]) / distinctness(reference[kinds == kind])
        for kind in range(len(subject.names))
    ]
    measured = [compare(reference, one) for one in drawn]
    distances = torch.tensor([numbers.frechet for numbers in measured]) * subject.unit

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
        float(nearest_neighbours(drawn[0], subject.shown).median()),
        float(nearest_neighbours(drawn[0], reference).median()),
    )


@torch.no_grad()
def draw_by_teacher(subject: Subject, teacher: NeuralTeacher, steps: int, seed: int) -> Tensor:
    """The teacher's own pictures of the kinds that are wanted, by that many steps of DDIM."""
    texts = subject.wanted()
    noise = torch.randn(len(texts), *teacher.shape, generator=torch.Generator().manual_seed(seed))
    grid = even_times(torch.ones(len(texts)), torch.zeros(len(texts)), steps)
    return teacher.decode(solve(teacher, noise, grid, teacher.condition(texts, None))).clamp(0, 1)


def resembling(subject: Subject, seed: int) -> Tensor:
    """Real pictures of the wanted kinds from those that the teacher learned from: what a perfect student would do."""
    pictures, kinds = subject.seen
    rng = torch.Generator().manual_seed(seed)
    chosen = []
    for kind in subject.held_out[1]:
        alike = (kinds == kind).nonzero()[:, 0]
        chosen.append(alike[torch.randint(len(alike), (), generator=rng)])
    return pictures[torch.stack(chosen)]
