"""A finished student on the disk: a folder in the diffusers layout, with its teacher's parts and its own network.

Every program that can load the teacher can load the student; beside ``model_index.json`` a small ``student.json`` says
how it wants to be sampled. The scheduler says the teacher's noise levels and prediction type: DDIM with "trailing"
times, which begin at pure noise, or Euler's steps for flows. It is right for one step and for students that follow one
path, and `sample` here is right for all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, ModelMixin, SchedulerMixin
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from sds.checkpoint import written_whole
from sds.denoiser import Condition, Denoiser
from sds.schedule import Prediction
from sds.teachers.folder import TeacherFolder, TeacherFolderError, link_boundary, open_teacher_folder
from sds.teachers.schedules import load_schedule
from students.answerable import answerable_time
from students.flow_map import DenoiserAsFlowMap, sample_again, sample_along, sample_path
from students.methods.denoising_diffusion_gan import sample_steps
from students.sampling import sample_renewing
from students.student import GUIDANCE_SCALE, Student

NETWORKS = ("unet", "transformer")
"""What the denoising network of a diffusers folder is called."""

CARD = "student.json"
WORDS = "words"
"""What a small teacher reads prompts with; no component of diffusers."""

MOST_STEPS, LARGEST_GUIDANCE = 10_000, 1000.0
"""More than these say that a card is damaged: each step holds a picture of noise."""


class StudentFolderError(ValueError):
    """A folder holds no student, or cannot take one. The message says what to do."""


@dataclass(frozen=True)
class StudentCard:
    """How a student was made, and how it wants to be sampled.

    Attributes:
        method: the recipe's name.
        times: of its steps, falling from at most 1. The first input is standard normal noise at any of them, and not
            sigma times it: students that begin below 1 are trained on it, and in variance-preserving levels what they
            look for in it has deviation 1.
        same_path: whether it follows one path (DDIM), or adds new noise between its steps.
        guidance_scale: that the student has learned; nobody needs to apply it again.
        fixed_steps: whether it knows the way from these times only, and not from any other.
        gamma: of a student that follows one path, the share of its noise that it renews between two steps after all;
            see `students.sampling`.
    """

    method: str
    times: Sequence[float]
    same_path: bool
    guidance_scale: float
    fixed_steps: bool = False
    gamma: float = 0.0

    def with_steps(self, steps: int) -> StudentCard:
        """The card of the same student with another number of steps, even from its start to the image.

        Raises StudentFolderError if the student cannot, ValueError for less than one.
        """
        if steps == len(self.times):
            return self
        if steps < 1:
            raise ValueError(f"a student draws in one step or more, not in {steps}")
        if self.fixed_steps:
            raise StudentFolderError(
                f"this student was made by {self.method} for {len(self.times)} steps and knows no others; for a free "
                "choice distil by consistency, lcm, ctm, shortcut or mean-flow"
            )
        return replace(self, times=[self.times[0] * (1 - i / steps) for i in range(steps)])


def save_student(source: Path, network: ModelMixin, card: StudentCard, out: Path) -> None:
    """Write a student's folder.

    Args:
        source: the teacher's folder, whose other components are copied. Of a teacher that predicts noise the student's
            times are those of `students.answerable.answerable`, as they are in an `Order`.
        network: the student's, in the architecture of the teacher's.
        card: see `StudentCard`.
        out: an existing student's folder is replaced, file by file.

    Raises:
        StudentFolderError: if the source has no network, ``out`` is the source, or what was written does not say what
            the student has learned.
        TeacherFolderError: if the source is broken.
    """
    teacher = open_teacher_folder(source)
    component, scheduler = network_name(teacher), student_scheduler(teacher)
    if out.resolve() == teacher.path.resolve():
        raise StudentFolderError(f"{out} is the teacher's own folder: a student needs another one")
    out.mkdir(parents=True, exist_ok=True)
    for name in teacher.index:
        if teacher.has(name) and name not in (component, "scheduler"):
            shutil.copytree(teacher.path / name, out / name, dirs_exist_ok=True)
    if (teacher.path / WORDS).is_dir():
        (out / WORDS).mkdir(exist_ok=True)
        for path in sorted((teacher.path / WORDS).iterdir()):
            shutil.copyfile(teacher.file(WORDS, path.name), out / WORDS / path.name)
    network.save_pretrained(out / component, safe_serialization=True)
    scheduler.save_pretrained(out / "scheduler")
    index = {**teacher.index, "scheduler": ["diffusers", type(scheduler).__name__]}
    _write_json(out / CARD, asdict(card))
    _write_json(out / "model_index.json", index)
    _compare(out, component, network, teacher)


def student_scheduler(teacher: TeacherFolder) -> SchedulerMixin:
    """The scheduler of a teacher's students: its noise levels and prediction type, and steps that begin at pure noise.

    Of a teacher that predicts noise only the levels that students learn (`students.answerable.answerable`), so that one
    step begins at the highest of them. Raises TeacherFolderError if the teacher has no scheduler that can be used.
    """
    schedule, prediction = load_schedule(teacher)
    config = teacher.read_json("scheduler", "scheduler_config.json")
    if prediction is Prediction.FLOW:
        return FlowMatchEulerDiscreteScheduler.from_config(config)
    levels = round(answerable_time(schedule, prediction) * float(schedule.timestep(_time(1.0)))) + 1
    plain: dict[str, Any] = {"timestep_spacing": "trailing", "set_alpha_to_one": True, "thresholding": False}
    if teacher.has("vae") or "clip_sample" not in config:
        plain["clip_sample"] = False  # DDIM's default is True, which is right for pixels alone
    scheduler = DDIMScheduler.from_config(config, prediction_type=prediction.value, **plain)
    if levels == len(scheduler.alphas_cumprod):
        return scheduler
    table = scheduler.alphas_cumprod[:levels].double()
    betas = 1 - table / torch.cat([torch.ones(1).double(), table[:-1]])
    cut = {"num_train_timesteps": levels, "trained_betas": betas.tolist(), "rescale_betas_zero_snr": False}
    return DDIMScheduler.from_config({**scheduler.config, **cut})


def _compare(out: Path, component: str, network: nn.Module, teacher: TeacherFolder) -> None:
    """Load what was written and make sure that it says what was learned: the weights, the levels, the prediction type.

    Raises StudentFolderError if it does not.
    """
    written = type(network).from_pretrained(out / component, use_safetensors=True)  # type: ignore[attr-defined]
    for name, tensor in network.state_dict().items():
        if not torch.equal(written.state_dict()[name].to(tensor), tensor):
            raise StudentFolderError(
                f"{out / component}: '{name}' could not be read as it was written; try another disk"
            )
    (schedule, prediction), (own, own_prediction) = load_schedule(open_teacher_folder(out)), load_schedule(teacher)
    t, top = torch.linspace(0, 1, 33, dtype=torch.float64), answerable_time(own, own_prediction)
    same = all(torch.allclose(a, b, atol=1e-4) for a, b in zip(schedule(t), own(t * top), strict=True))
    told_alike = torch.allclose(schedule.timestep(t), own.timestep(t * top), atol=1e-3)
    if prediction is not own_prediction or not same or not told_alike:
        raise StudentFolderError(
            f"{out / 'scheduler'} does not say the noise levels of the teacher's {teacher.index['scheduler']}: what "
            "the student learned cannot be used from this folder; give the teacher a DDIM or flow-matching scheduler"
        )


def _time(t: float) -> Tensor:
    return torch.tensor([t], dtype=torch.float64)


def read_card(folder: Path) -> StudentCard:
    """What `save_student` wrote about a student. Raises StudentFolderError if the folder holds none."""
    if not (folder / CARD).is_file():
        raise StudentFolderError(f"{folder} holds no student (there is no {CARD}); make one with `scoresmith distill`")
    try:
        content = TeacherFolder(folder, link_boundary(folder), {}).read_json(CARD)
        StudentCard(**content)  # knows what is missing, and what it does not know
        card = TypeAdapter(StudentCard).validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise StudentFolderError(f"{folder / CARD} is damaged: {reason}") from None
    except (TypeError, TeacherFolderError) as error:
        raise StudentFolderError(f"{folder / CARD} is damaged: {error}") from None
    times = list(card.times)
    if not 0 <= card.gamma <= 1:
        raise StudentFolderError(f"{folder / CARD} is damaged: gamma is {card.gamma}, not a share in [0, 1]")
    if not 0 <= card.guidance_scale <= LARGEST_GUIDANCE:
        raise StudentFolderError(f"{folder / CARD} is damaged: guidance_scale is {card.guidance_scale}")
    if not times or times != sorted(set(times), reverse=True) or not 0 < times[-1] <= times[0] <= 1:
        raise StudentFolderError(f"{folder / CARD} is damaged: its times {times[:9]} do not fall within (0, 1]")
    if len(times) > MOST_STEPS:
        raise StudentFolderError(
            f"{folder / CARD} is damaged: it has {len(times):,} steps; {MOST_STEPS:,} are the most"
        )
    return replace(card, times=times)


@torch.no_grad()
def sample(
    student: Student | Denoiser,
    card: StudentCard,
    shape: tuple[int, ...],
    condition: Condition,
    rng: torch.Generator,
) -> Tensor:
    """Draw x0 of shape (rows of ``condition``, *shape), one evaluation for each of the student's times.

    ``student`` is what `students.inputs.load_student` returns, or the folder loaded as a teacher: a student is a
    teacher whose network knows a shorter way.
    """
    device = next(iter(condition.tensors.values())).device
    noise = [torch.randn(len(condition), *shape, generator=rng).to(device) for _ in card.times]
    scales = torch.full((len(condition),), float(card.guidance_scale), device=device)
    told = Condition({GUIDANCE_SCALE: scales, **condition.tensors})  # whoever is not told the scale does not look
    if isinstance(student, Student) and student.latent:
        return sample_steps(student, noise[0], card.times, told, student.latent, rng)
    if isinstance(student, Student) and student.states is not None:
        return sample_path(student, noise[0], student.states.ends, told)[:, -1]
    flow_map = student if isinstance(student, Student) else DenoiserAsFlowMap(student)
    if card.same_path and card.gamma:
        return sample_renewing(flow_map, noise, card.times, told, card.gamma)
    if card.same_path:
        return sample_along(flow_map, noise[0], card.times, told)
    return sample_again(flow_map, noise, card.times, told)


def network_name(teacher: TeacherFolder) -> str:
    """Which component is the denoising network. Raises StudentFolderError if there is none."""
    for name in NETWORKS:
        if teacher.has(name):
            return name
    raise StudentFolderError(f"{teacher.path} has no {' or '.join(NETWORKS)} for a student to replace")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
