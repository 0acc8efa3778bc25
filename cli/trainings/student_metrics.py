"""How good is a student? Its images and its teacher's, beside the same reference: fidelity, diversity, speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cli.teachers import load_teacher, small_teacher_folder
from cli.trainings.distillation import default_prompts
from cli.trainings.student_folder import StudentFolder
from sds.denoiser import Condition, NeuralTeacher, View
from sds.recognition import Recogniser
from sds.solvers import even_times, solve
from sds.teachers.embedded import SmallTeacher
from students.folder import read_card, sample
from students.inputs import load_student
from students.measures.evaluation import compare, distinctness
from students.measures.reference import REFERENCE, Reference, load_reference
from students.prompts import StoredView
from students.teachers import GuidedTeacher

TEACHER_STEPS = 50
"""Of DDIM: what a student is measured against."""

OF_ONE_PROMPT = 16
"""Images of the first prompt that are looked at for distinctness."""

TIMED = 64
"""Images of one prompt and view that are drawn at once to see how fast."""

ROUNDS = 3
"""How often the time is taken; the shortest counts, since everything else that a computer does only adds to it."""

AT_ONCE = 32

Features = Callable[[Tensor], Tensor]
"""Images (count, 3, H, W) in [0, 1] -> features (count, width)."""


@dataclass(frozen=True)
class Timing:
    """How long something took.

    Attributes:
        clock: seconds on the clock.
        computing: seconds of processor time, which other programs do not prolong; on a GPU those on the clock.
    """

    clock: float
    computing: float


class Drawer:
    """Who draws: understands prompts once, and then draws from noise.

    Args:
        teacher: understands prompts, knows the size of x and decodes it.
        draw: (condition, rng) -> x.
    """

    def __init__(self, teacher: NeuralTeacher | GuidedTeacher, draw: Callable[[Condition, torch.Generator], Tensor]):
        self.teacher, self.draw = teacher, draw

    @torch.no_grad()
    def images(self, prompts: list[str], view: StoredView | None, seed: int) -> Tensor:
        """An image (count, 3, H, W) in [0, 1] for each prompt."""
        rng, parts = torch.Generator().manual_seed(seed), []
        for rows in torch.arange(len(prompts)).split(AT_ONCE):
            seen = None if view is None else view.part(rows)
            x = self.draw(self.teacher.condition([prompts[i] for i in rows], seen), rng)
            parts.append(self.teacher.decode(x).clamp(0, 1).cpu())
        return torch.cat(parts)

    @torch.no_grad()
    def seconds(self, prompt: str, count: int) -> Timing:
        """For ``count`` images of one prompt and view at once, from the words to the pixels; the best of a few."""
        clock, computing = [], []
        for seed in range(ROUNDS):
            started, busy = time.perf_counter(), time.process_time()
            condition = for_each(self.teacher, prompt, None, count)
            x = self.draw(condition, torch.Generator().manual_seed(seed))
            on_cpu = x.device.type == "cpu"
            self.teacher.decode(x).clamp(0, 1).cpu()
            clock.append(time.perf_counter() - started)
            computing.append(time.process_time() - busy if on_cpu else clock[-1])
        return Timing(min(clock), min(computing))


def for_each(teacher: NeuralTeacher | GuidedTeacher, prompt: str, view: View | None, count: int) -> Condition:
    """The condition of ``count`` images of one prompt and view, of which all that can be is computed only once."""
    return teacher.condition([prompt], view)[torch.zeros(count, dtype=torch.long)]


def measure_student(path: Path, device: torch.device, images: int = 512) -> dict[str, dict[str, Any]]:
    """Sections of measurements of the student in the folder ``path`` and of its teacher, from ``images`` of each.

    The reference are real images where the teacher's folder has such (`students.measures.reference`), asked for by the
    same prompts from the same views; otherwise it is what the teacher draws with other noise.

    Raises cli.errors.UserError if the folder's run cannot be read, StudentFolderError if it holds no student.
    """
    card, (request, _) = read_card(path), StudentFolder(path).read_request()
    teacher, folder = load_teacher(request.teacher, device, False), load_teacher(str(path), device, False)
    student, guided = load_student(path, folder), guided_by(teacher, card.guidance_scale)
    features, network = features_for(teacher)

    def by_teacher(condition: Condition, rng: torch.Generator) -> Tensor:
        noise = torch.randn(len(condition), *teacher.shape, generator=rng).to(device)
        grid = even_times(torch.ones(len(condition)), torch.zeros(len(condition)), TEACHER_STEPS)
        return solve(guided, noise, grid, condition)

    drawers = {
        "student": Drawer(folder, lambda condition, rng: sample(student, card, folder.shape, condition, rng)),
        "teacher": Drawer(guided, by_teacher),
    }
    texts = request.prompts or default_prompts(request.teacher, teacher)
    reference = real_reference(request.teacher)
    if reference is None:
        asked = [texts[i * len(texts) // images % len(texts)] for i in range(images)]
        drawn = features(drawers["teacher"].images(asked, None, seed=1))
        reference = Reference(drawn, asked, None, network, f"the teacher's, {TEACHER_STEPS} steps, other noise")
    reference = reference.first(images)
    measured = {name: quality(drawer, reference, features) for name, drawer in drawers.items()}
    evaluations = TEACHER_STEPS * (1 if card.guidance_scale == 1 else 2) / len(card.times)
    return {
        **measured,
        "beside teacher": beside(measured["student"], measured["teacher"], evaluations),
        "measured by": {
            "features": reference.network,
            "reference": reference.images,
            "images": len(reference),
            "teacher": f"{TEACHER_STEPS} steps of DDIM, guidance scale {card.guidance_scale:g}",
            "speed": f"{TIMED} images of one prompt and view at once; ratios are of processor time",
        },
    }


def quality(drawer: Drawer, reference: Reference, features: Features) -> dict[str, Any]:
    """Fidelity, diversity and speed of one who draws."""
    prompts = list(reference.prompts)
    comparison = compare(reference.features, features(drawer.images(prompts, reference.view, seed=2)))
    alike = None if reference.view is None else reference.view.part(torch.zeros(OF_ONE_PROMPT, dtype=torch.long))
    of_one = features(drawer.images([prompts[0]] * OF_ONE_PROMPT, alike, seed=3))
    timing = drawer.seconds(prompts[0], TIMED)
    return {
        "frechet_distance": comparison.frechet,
        "kernel_distance": comparison.kernel,
        "precision": comparison.precision,
        "recall": comparison.recall,
        "distinctness": distinctness(of_one),
        "images_per_second": TIMED / timing.clock,
        "computing_ms_per_image": 1000 * timing.computing / TIMED,
    }


def beside(student: dict[str, Any], teacher: dict[str, Any], evaluations: float) -> dict[str, Any]:
    """The student's numbers as shares of its teacher's; ``evaluations`` is by how many fewer it needs."""
    faster = teacher["computing_ms_per_image"] / student["computing_ms_per_image"]
    return {
        "frechet_distance": student["frechet_distance"] / max(teacher["frechet_distance"], 1e-12),
        "recall": student["recall"] / max(teacher["recall"], 1e-12),
        "distinctness": student["distinctness"] / max(teacher["distinctness"], 1e-12),
        "speed": faster,
        "ideal_speed": evaluations,
        "share_of_ideal": faster / evaluations,
    }


def guided_by(teacher: NeuralTeacher, guidance_scale: float) -> NeuralTeacher | GuidedTeacher:
    """The guided teacher; itself where guidance changes nothing, which saves half of the evaluations."""
    return teacher if guidance_scale == 1 else GuidedTeacher(teacher, guidance_scale)


def real_reference(teacher: str) -> Reference | None:
    """The reference in the teacher's folder, if it holds one."""
    folder = small_teacher_folder(teacher) or Path(teacher)
    return load_reference(folder / REFERENCE) if (folder / REFERENCE).is_file() else None


def features_for(teacher: NeuralTeacher) -> tuple[Features, str]:
    """Features of images, and what they are: the classifier's if it knows the things, else colours."""
    if isinstance(teacher, SmallTeacher):
        return recogniser_features(Recogniser.load()), RECOGNISER_FEATURES
    return lambda images: F.adaptive_avg_pool2d(images, 4).flatten(1), "colours of 4 x 4 parts"


RECOGNISER_FEATURES = "mean over the last maps of the classifier that is shipped with the embedded teacher"


def recogniser_features(recogniser: Recogniser) -> Features:
    """The means of the last feature maps of a classifier, one number for each map."""

    @torch.no_grad()
    def features(images: Tensor) -> Tensor:
        side = (recogniser.side, recogniser.side)
        parts = [F.interpolate(part, side, mode="bilinear", antialias=True) for part in images.split(256)]
        return torch.cat([recogniser.features(part * 2 - 1).mean((2, 3)) for part in parts])

    return features
