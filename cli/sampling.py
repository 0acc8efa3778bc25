"""Pictures by a student in its few steps, or by a teacher in many: what `scoresmith sample` draws, for programs."""

from __future__ import annotations

import math
from dataclasses import replace
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from cli import numbers
from cli.errors import UserError
from cli.guidance import changed_guidance
from cli.last_teacher import last_teacher
from cli.teachers import EMBEDDED, choose_device
from sds.denoiser import Condition, Denoiser, NeuralTeacher
from sds.guidance import Guidance
from sds.samplers import SAMPLERS, sample_with
from sds.sampling import Guided
from sds.teachers.options import AS_IT_IS, TeacherOptions
from students import shipped
from students.folder import StudentCard, read_card, sample
from students.guided_teacher import GuidedTeacher
from students.inputs import load_student
from students.prompts import StoredView
from students.student import Student
from students.teachers import can_be_guided


def sample_student(
    prompt: str,
    student: str | PathLike[str] | None = None,
    *,
    count: int = 4,
    seed: int = 0,
    azimuth: float | None = None,
    elevation: float = 15.0,
    steps: int | None = None,
    guidance_scale: float | None = None,
    device: str = "auto",
    changes: TeacherOptions = AS_IT_IS,
) -> Tensor:
    """Draw (count, 3, H, W) pictures in [0, 1] with a student.

    Args:
        prompt: what to draw; "" for students that cannot be asked for anything.
        student: a folder that `scoresmith distill` wrote; by default the student that is shipped.
        count: of pictures.
        seed: of the noise.
        azimuth, elevation: of the camera in degrees, for students that know views; without an azimuth from anywhere.
        steps: evaluations for a picture, for students that leave it open.
        guidance_scale: for students that are told it.
        device: "cpu", "cuda", or "auto": a card if there is one.
        changes: LoRA files, learned words and the like, see `sds.teachers.options.TeacherOptions`.

    Raises:
        ValueError: if the student cannot do what is asked for, or the folder holds none.
    """
    folder = Path(student) if student is not None else shipped.SHIPPED_STUDENT
    _require_some(count)
    card = read_card(folder)
    card = card if steps is None else card.with_steps(steps)
    teacher = last_teacher(str(folder), choose_device(device), changes)
    network = load_student(folder, teacher)
    if guidance_scale is not None:
        card = with_guidance_scale(card, network, guidance_scale)
    condition = told(teacher, prompt, count, azimuth, elevation)
    x = sample(network, card, teacher.shape, condition, torch.Generator().manual_seed(seed))
    return pictures(teacher, x)


def sample_teacher(
    prompt: str,
    teacher: str | PathLike[str] = EMBEDDED,
    *,
    sampler: str = "dpm-solver++",
    steps: int = 25,
    count: int = 4,
    seed: int = 0,
    azimuth: float | None = None,
    elevation: float = 15.0,
    guidance_scale: float = 1.0,
    guidance_interval: tuple[float, float] | None = None,
    guidance_parallel: float | None = None,
    guidance_rescale: float | None = None,
    device: str = "auto",
    changes: TeacherOptions = AS_IT_IS,
) -> Tensor:
    """Draw (count, 3, H, W) pictures in [0, 1] with a teacher.

    Args:
        prompt: what to draw; "" for teachers that cannot be asked for anything.
        teacher: "embedded", a diffusers folder, a file of weights, or ORG/NAME on the hub, which is downloaded.
        sampler: a key of `sds.samplers.SAMPLERS`.
        steps: of the sampler.
        count: of pictures.
        seed: of the noise.
        azimuth, elevation: of the camera in degrees, for teachers that know views; without an azimuth from anywhere.
        guidance_scale: how strongly to follow the prompt; 1 evaluates the network once a step, not twice. Of the
            sampler "cfg++" it lies in [0, 1].
        guidance_interval, guidance_parallel, guidance_rescale: see `sds.guidance.Guidance`.
        device: "cpu", "cuda", or "auto": a card if there is one.
        changes: LoRA files, learned words and the like, see `sds.teachers.options.TeacherOptions`.

    Raises:
        ValueError: if the teacher cannot do what is asked for, or there is none.
    """
    _require_some(count)
    if sampler not in SAMPLERS:
        raise UserError(f"sampler must be one of {', '.join(SAMPLERS)}, not {sampler!r}")
    network = last_teacher(str(teacher), choose_device(device), changes)
    condition = told(network, prompt, count, azimuth, elevation)
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, *network.shape, generator=rng).to(next(iter(condition.tensors.values())).device)
    denoiser: Denoiser = network
    guidance = changed_guidance(Guidance(guidance_scale), guidance_interval, guidance_parallel, guidance_rescale)
    if guidance_scale != 1 or sampler == "cfg++":
        null = told(network, "" if can_be_guided(network) else prompt, count, azimuth, elevation)
        denoiser, condition = Guided(network, guidance), Condition.concatenate([condition, null])
    try:
        x = sample_with(SAMPLERS[sampler], denoiser, noise, condition, steps, rng=rng)
    except ValueError as error:
        raise UserError(f"sampler {sampler}, {steps} steps: {error}") from None
    return pictures(network, x)


def pictures(teacher: NeuralTeacher | GuidedTeacher, x: Tensor) -> Tensor:
    """What was drawn, as pictures (count, 3, H, W) in [0, 1]. Raises UserError if it is none, of damaged weights."""
    drawn = teacher.decode(x)
    if not bool(torch.isfinite(drawn).all()):
        raise UserError("what was drawn holds no numbers: the weights are damaged, or too large for their precision")
    return drawn.clamp(0, 1)


def told(teacher: NeuralTeacher, prompt: str, count: int, azimuth: float | None, elevation: float) -> Condition:
    """``count`` rows of one prompt and view. What depends on these alone is computed once.

    Raises UserError if the teacher knows no views but shall draw one, or so many pictures do not fit into memory.
    """
    if azimuth is not None and not teacher.knows_views:
        raise UserError("azimuth: this teacher or student knows no views; say the view in the prompt")
    numbers.require_memory(count * (40 * math.prod(teacher.shape) + 2**15), f"drawing {count} pictures at once")
    return teacher.condition([prompt], view_from(azimuth, elevation))[torch.zeros(count, dtype=torch.long)]


def with_guidance_scale(card: StudentCard, student: Student | Denoiser, guidance_scale: float) -> StudentCard:
    """The card with another guidance scale. Raises UserError if the student is not told one."""
    if not isinstance(student, Student) or not student.told_guidance:
        raise UserError(
            f"guidance scale: this student has learned the scale {card.guidance_scale:g} and no other; "
            "distil by guidance or lcm for a student that is told it"
        )
    if not 0 < guidance_scale < math.inf:
        raise UserError(f"the guidance scale must be positive, not {guidance_scale}")
    return replace(card, guidance_scale=guidance_scale)


def view_from(azimuth: float | None, elevation: float) -> StoredView | None:
    """One view over white, from degrees; None without an azimuth."""
    if azimuth is None:
        return None
    angles = torch.tensor([[azimuth, elevation]]) * (math.pi / 180)
    return StoredView(angles[:, 0], angles[:, 1], torch.ones(1, 3))


def _require_some(count: int) -> None:
    if count < 1:
        raise UserError(f"count must be positive, not {count}")
