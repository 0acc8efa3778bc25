"""What a training shows of its student while it runs, and what it writes at the end."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from diffusers import ModelMixin
from torch import Tensor

from cli.pictures import write_sheet
from cli.teachers import EMBEDDED
from cli.trainings.student_folder import StudentFolder
from cli.trainings.watching import Watch, WithNetwork
from sds.checkpoint import written_whole
from sds.denoiser import NeuralTeacher
from sds.precision import computing_type
from sds.processes import is_first_process
from sds.teachers.changed_folder import parts_of
from sds.teachers.embedded import EMBEDDED_FOLDER
from sds.teachers.folder import open_teacher_folder
from students.corrections import save_corrections
from students.folder import StudentCard, network_name, sample, save_student
from students.inputs import inputs_of, save_inputs, with_inputs
from students.recipes.order import Order, StudentRun
from students.student import Student

WATCHED = 4
"""Images that are looked at with each line of the log, so that a student that has gone to noise is stopped."""

SHEET = 8
"""Prompts on the sheet of samples, in columns; three images of each."""


def look(
    run: StudentRun,
    student: Student | NeuralTeacher,
    order: Order,
    folder: StudentFolder,
    watch: Watch | None,
    done: int,
) -> dict[str, float]:
    """Draw the sheet of samples as the student is after ``done`` steps, keep a copy of it, and measure the student."""
    write_sheet(folder.sheet, sample_rows(student, run.card, order))
    with written_whole(folder.sheet_after(done)) as temporary:
        temporary.write_bytes(folder.sheet.read_bytes())
    return {} if watch is None else watch(student)


@torch.no_grad()
def drawn_now(run: StudentRun, order: Order) -> Tensor:
    """A few images x of the student as it is, always of the same noise."""
    rng = torch.Generator().manual_seed(0)
    texts = [order.texts[i % len(order.texts)] for i in range(WATCHED)]
    view = None if order.views is None else order.views(WATCHED, rng)
    return sample(run.student, run.card, order.teacher.shape, order.teacher.condition(texts, view), rng)


def write_student(run: StudentRun, order: Order, folder: StudentFolder) -> None:
    """Write the student's folder and the sheet of samples, in the first process; the others help to gather weights."""
    student, (request, _) = run.finished_student(), folder.read_request()
    network = student.plain_network(guidance_scale=run.card.guidance_scale)
    told_more = inputs_of(student)
    if not is_first_process():
        return
    assert isinstance(network, ModelMixin)  # teachers that `load_teacher` finds are made of them
    dtype = computing_type(order.teacher.network)
    parts = (
        nullcontext(EMBEDDED_FOLDER)
        if request.teacher == EMBEDDED
        else parts_of(request.teacher, request.teacher_options, dtype)
    )
    with parts as source:
        save_student(source, network, run.card, folder.path)
        save_corrections(student, network_name(open_teacher_folder(source)), folder.path)
    save_inputs(told_more, folder.path)
    drawing = with_inputs(told_more, WithNetwork(order.teacher, network))
    write_sheet(folder.sheet, sample_rows(drawing, run.card, order))


def sample_rows(student: Student | NeuralTeacher, card: StudentCard, order: Order) -> list[Tensor]:
    """Three images of each of a few prompts, always from the same noise and views; rows of (prompts, 3, H, W)."""
    rng = torch.Generator().manual_seed(0)
    spread = range(0, len(order.texts), max(1, len(order.texts) // SHEET))
    texts = [order.texts[i] for i in spread][:SHEET]
    view = None if order.views is None else order.views(len(texts), rng)
    condition = order.teacher.condition(texts, view)
    return [
        order.teacher.decode(sample(student, card, order.teacher.shape, condition, rng)).clamp(0, 1) for _ in range(3)
    ]
