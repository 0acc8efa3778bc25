"""How good is a student? Its images beside those of its teacher's many steps: fidelity, diversity, speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cli.distillation import StudentFolder, default_prompts
from cli.teachers import load_teacher
from sds.denoiser import NeuralTeacher
from sds.recognition import Recogniser
from sds.solvers import even_times, solve
from sds.teachers.embedded import EmbeddedTeacher
from students.evaluation import compare, distinctness
from students.folder import read_card, sample
from students.inputs import load_student
from students.teachers import GuidedTeacher

TEACHER_STEPS = 50
"""Of DDIM: what a student is measured against."""

IMAGES = 128
"""That are drawn by each; more make the numbers steadier and take longer."""

OF_ONE_PROMPT = 16
"""Images of the first prompt that are looked at for distinctness."""

AT_ONCE = 32

Drawer = Callable[[list[str], torch.Generator], Tensor]
"""(prompts, rng) -> images (count, 3, H, W) in [0, 1]."""


def measure_student(path: Path, device: torch.device) -> dict[str, dict[str, Any]]:
    """Sections of measurements; the reference is what the teacher draws with other noise.

    Raises cli.errors.UserError if the folder's run cannot be read, StudentFolderError if it holds no student.
    """
    card, (request, _) = read_card(path), StudentFolder(path).read_request()
    teacher, student = load_teacher(request.teacher, device), load_teacher(str(path), device)
    able = load_student(path, student)
    texts = request.prompts or default_prompts(request.teacher)
    asked = [texts[i * len(texts) // IMAGES % len(texts)] for i in range(IMAGES)]
    guided = GuidedTeacher(teacher, card.guidance_scale)

    def by_teacher(prompts: list[str], rng: torch.Generator) -> Tensor:
        noise = torch.randn(len(prompts), *teacher.shape, generator=rng).to(device)
        grid = even_times(torch.ones(len(prompts)), torch.zeros(len(prompts)), TEACHER_STEPS)
        return teacher.decode(solve(guided, noise, grid, guided.condition(prompts, None)))

    def by_student(prompts: list[str], rng: torch.Generator) -> Tensor:
        return student.decode(sample(able, card, student.shape, student.condition(prompts, None), rng))

    features, name = features_for(teacher)
    reference, teacher_seconds = drawn(by_teacher, asked, seed=1)
    images, student_seconds = drawn(by_student, asked, seed=2)
    comparison = compare(features(reference), features(images))
    variety = {
        who: distinctness(features(drawn(drawer, [texts[0]] * OF_ONE_PROMPT, seed=3)[0]))
        for who, drawer in (("student", by_student), ("teacher", by_teacher))
    }
    evaluations = 2 * TEACHER_STEPS / len(card.times)  # guidance asks the teacher twice
    return {
        "fidelity": {
            "frechet_distance": comparison.frechet,
            "kernel_distance": comparison.kernel,
            "precision": comparison.precision,
        },
        "diversity": {
            "recall": comparison.recall,
            "distinctness": variety["student"],
            "of_the_teachers": variety["student"] / max(variety["teacher"], 1e-12),
        },
        "speed": {
            "images_per_second": IMAGES / student_seconds,
            "times_the_teachers": teacher_seconds / student_seconds,
            "ideal": evaluations,
        },
        "measured": {"features": name, "images": IMAGES, "reference": f"teacher, {TEACHER_STEPS} steps"},
    }


@torch.no_grad()
def drawn(drawer: Drawer, prompts: list[str], seed: int) -> tuple[Tensor, float]:
    """Images of all prompts, and how many seconds they took."""
    rng, parts, started = torch.Generator().manual_seed(seed), [], time.monotonic()
    for start in range(0, len(prompts), AT_ONCE):
        parts.append(drawer(prompts[start : start + AT_ONCE], rng).clamp(0, 1).cpu())
    return torch.cat(parts), time.monotonic() - started


def features_for(teacher: NeuralTeacher) -> tuple[Callable[[Tensor], Tensor], str]:
    """Features (count, width) of images, and what they are: the classifier's if it knows the things, else colours."""
    if isinstance(teacher, EmbeddedTeacher):
        recogniser = Recogniser.load()

        @torch.no_grad()
        def looked_at(images: Tensor) -> Tensor:
            resized = F.interpolate(images, (recogniser.side, recogniser.side), mode="bilinear", antialias=True)
            maps = recogniser.features(resized * 2 - 1)
            return maps.mean((2, 3))

        return looked_at, "mean of the last maps of the shipped classifier"
    return lambda images: F.adaptive_avg_pool2d(images, 4).flatten(1), "colours of 4 x 4 parts"
