"""How good is a student? Its images and its teacher's, beside the same reference: fidelity, diversity, speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cli.sampling import pictures
from cli.teachers import load_teacher
from cli.trainings.orders import default_prompts
from cli.trainings.real_images import load_real_images
from cli.trainings.reference import CLASSIFIER, Features, features_called, of_pictures, shipped_reference
from cli.trainings.student_folder import StudentFolder
from sds.denoiser import Condition, NeuralTeacher, View
from sds.solvers import even_times, solve
from students.folder import read_card, sample
from students.guided_teacher import GuidedTeacher
from students.inputs import load_student
from students.measures.evaluation import compare, distinctness, kernel_spread, nearest_neighbours
from students.measures.reference import Reference
from students.prompts import StoredView
from students.teachers import vocabulary_of

TEACHER_STEPS = 50
"""Of DDIM: what a student is measured against."""

OF_ONE_PROMPT = 16
"""Images of the first prompt that are looked at for distinctness."""

TIMED = 64
"""Images of one prompt and view that are drawn at once to see how fast."""

ROUNDS = 3
"""How often the time is taken; the shortest counts, since everything else that a computer does only adds to it."""

AT_ONCE = 32

ENOUGH = 10_000
"""Images below which a Frechet distance is mostly its own bias; published ones are of 50,000."""


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
    def images(self, prompts: Sequence[str], view: StoredView | None, seed: int) -> Tensor:
        """An image (count, 3, H, W) in [0, 1] for each prompt."""
        rng, parts = torch.Generator().manual_seed(seed), []
        for rows in torch.arange(len(prompts)).split(AT_ONCE):
            seen = None if view is None else view.part(rows)
            x = self.draw(self.teacher.condition([prompts[i] for i in rows], seen), rng)
            parts.append(pictures(self.teacher, x).cpu())
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


def measure_student(
    path: Path, device: torch.device, images: int = 512, features: str = CLASSIFIER, held_out: Path | None = None
) -> dict[str, dict[str, Any]]:
    """Sections of measurements of the student in the folder ``path`` and of its teacher, from ``images`` of each.

    Both are asked for what the reference images show, from the same views. These are ``held_out``, real pictures that
    nobody has learned from; else real images whose features the teacher's folder holds (`students.measures.reference`);
    else what the teacher draws with other noise.

    Args:
        path: the student's folder.
        device: where it draws.
        images: how many of each.
        features: a name of `cli.trainings.reference.features_called`.
        held_out: real pictures, as `distill --images` takes them.

    Raises:
        UserError: if the folder's run cannot be read, or pictures or features are missing.
        StudentFolderError: if it holds no student.
    """
    card, (request, _) = read_card(path), StudentFolder(path).read_request()
    looks, network = features_called(features, device)
    teacher = load_teacher(request.teacher, device, False, request.teacher_options)
    folder = load_teacher(str(path), device, False)
    student, guided = load_student(path, folder), guided_by(teacher, card.guidance_scale)

    drawers = {
        "student": Drawer(folder, lambda condition, rng: sample(student, card, folder.shape, condition, rng)),
        "teacher": Drawer(guided, lambda condition, rng: along_its_paths(guided, device, condition, rng)),
    }
    if held_out is not None:
        pictures = load_real_images(held_out, teacher, card.guidance_scale, "--reference")
        reference = of_pictures(pictures, images, looks, network, f"the pictures in {held_out}")
    elif (shipped := shipped_reference(request.teacher, network)) is not None:
        reference = shipped.first(images)
    else:
        texts = request.prompts or default_prompts(request.teacher, vocabulary_of(teacher))
        asked = [texts[i * len(texts) // images % len(texts)] for i in range(images)]
        drawn = looks(drawers["teacher"].images(asked, None, seed=1))
        reference = Reference(drawn, asked, None, network, f"the teacher's, {TEACHER_STEPS} steps, other noise")
    seen = {name: looks(drawer.images(reference.prompts, reference.view, seed=2)) for name, drawer in drawers.items()}
    measured = {name: quality(drawer, seen[name], reference, looks) for name, drawer in drawers.items()}
    evaluations = TEACHER_STEPS * (1 if card.guidance_scale == 1 else 2) / len(card.times)
    copies = {}
    if held_out is not None and request.images:
        learned = load_real_images(Path(request.images), teacher, card.guidance_scale)
        count = min(len(reference), len(learned))
        of_training = of_pictures(learned, count, looks, network, request.images)
        copies = {"copies": copying(seen["student"], of_training.features, reference.features[:count])}
    return {
        **measured,
        "beside teacher": beside(measured["student"], measured["teacher"], evaluations),
        **copies,
        "measured by": measured_by(reference, card.guidance_scale),
    }


def along_its_paths(
    teacher: NeuralTeacher | GuidedTeacher, device: torch.device, condition: Condition, rng: torch.Generator
) -> Tensor:
    """Where a teacher leads noise to, in `TEACHER_STEPS` steps of DDIM: (batch, channels, height, width) of x."""
    noise = torch.randn(len(condition), *teacher.shape, generator=rng).to(device)
    grid = even_times(torch.ones(len(condition)), torch.zeros(len(condition)), TEACHER_STEPS)
    return solve(teacher, noise, grid, condition)


def measured_by(reference: Reference, guidance_scale: float) -> dict[str, Any]:
    """How the numbers came about, in words."""
    return {
        "features": reference.network,
        "reference": reference.images,
        "images": len(reference),
        "asked for": "what each reference image shows",
        "teacher": f"{TEACHER_STEPS} steps of DDIM, guidance scale {guidance_scale:g}",
        "speed": f"{TIMED} images of one prompt and view at once; ratios are of processor time",
        **few_images(len(reference)),
    }


def few_images(count: int) -> dict[str, str]:
    """A warning where a Frechet distance is of few images."""
    if count >= ENOUGH:
        return {}
    said = f"{count} images are fewer than {ENOUGH}: Frechet distances are too large, and comparable only with others"
    return {"warning": f"{said} of as many images; the kernel distance is not biased"}


def copying(drawn: Tensor, training: Tensor, held_out: Tensor) -> dict[str, float]:
    """How near drawn images are to what was learned from, beside as many pictures that were not, by their features.

    By chance alone the two are alike, and half of the images are nearer to the training pictures.
    """
    to_training, to_held_out = nearest_neighbours(drawn, training), nearest_neighbours(drawn, held_out)
    return {
        "nearest_training": float(to_training.median()),
        "nearest_held_out": float(to_held_out.median()),
        "nearer_to_training": float((to_training < to_held_out).double().mean()),
    }


def quality(drawer: Drawer, seen: Tensor, reference: Reference, features: Features) -> dict[str, Any]:
    """Fidelity, diversity and speed of one who draws, ``seen`` with ``features`` where the reference's prompts are."""
    comparison = compare(reference.features, seen)
    alike = None if reference.view is None else reference.view.part(torch.zeros(OF_ONE_PROMPT, dtype=torch.long))
    of_one = features(drawer.images([reference.prompts[0]] * OF_ONE_PROMPT, alike, seed=3))
    timing = drawer.seconds(reference.prompts[0], TIMED)
    return {
        "frechet_distance": comparison.frechet,
        "kernel_distance": comparison.kernel,
        "kernel_distance_spread": kernel_spread(reference.features, seen, torch.Generator().manual_seed(0)),
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
