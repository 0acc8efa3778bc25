"""The course of one distillation: begin or continue, train with a log and sheets of samples, write the student."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import torch

from cli.errors import UserError
from cli.numbers import require_memory
from cli.occupied import working_in
from cli.output import bar
from cli.teachers import load_teacher, require_one_picture_from_words
from cli.trainings.log import TrainingLog, require_tracker
from cli.trainings.orders import guidance_scale_for, order_for
from cli.trainings.results import drawn_now, look, write_student
from cli.trainings.student_folder import DistillRequest, StudentFolder
from cli.trainings.watching import finished, watch_for
from sds.checkpoint import CheckpointError, save_checkpoint
from sds.denoiser import NeuralTeacher
from sds.processes import first_process_says, is_first_process, process_count, rows_at_once
from sds.sharding import gathered
from students.folder import CARD
from students.measures.health import NoiseWatch
from students.recipes.catalogue import RECIPES
from students.recipes.order import Order, StudentRun

CHECKPOINT_SECONDS = 60.0
"""A run that is killed loses at most about this much work."""

LOGGED_EVERY = 10
"""Steps between two lines of the log."""

LOOKS = 10
"""How often in a run a sheet of samples is kept and the student is measured, unless its user says otherwise."""


def distill(request: DistillRequest, folder: StudentFolder, device: torch.device, overwrite: bool = False) -> None:
    """Train what was asked for, from the beginning; an old student is only removed when the new run is ready."""
    folder.require_free(overwrite)
    for name in request.track:
        require_tracker(name)
    if (Path(request.teacher) / CARD).is_file():
        raise UserError(
            f"{request.teacher} is a student itself: of its teacher's paths it only knows the end; name that teacher"
        )
    teacher = load_teacher(request.teacher, device, options=request.teacher_options)
    require_one_picture_from_words(teacher, "distill")
    request = replace(request, guidance_scale=guidance_scale_for(request, teacher))
    require_room(request, teacher)
    first_process_says(True)  # all have looked at the folder before one writes
    with alone_in(folder), precision(request, device):
        order = order_for(request, teacher, folder)
        run = build(order)
        if is_first_process():
            folder.begin(request)
        train(run, order, folder, request, done=0)


def alone_in(folder: StudentFolder) -> AbstractContextManager[None]:
    """Nobody but the processes of this run writes the folder during the block."""
    return working_in(folder.path) if is_first_process() else nullcontext()


def require_room(request: DistillRequest, teacher: NeuralTeacher) -> None:
    """Raises UserError if a batch, or the teacher's pairs, cannot fit into this machine's memory."""
    values = math.prod(teacher.shape)
    # a batch is kept at every layer for the gradient; pairs are noise and image, and twice while they are written
    require_memory(request.batch_size * values * 4 * 30 / process_count(), f"--batch-size {request.batch_size}")
    require_memory(request.pairs * values * 4 * 4, f"--pairs {request.pairs}")


def resume(folder: StudentFolder, device: torch.device) -> None:
    """Continue a run from its last checkpoint, or from the beginning if it has none."""
    request, threads = folder.read_request()
    torch.set_num_threads(threads)  # sums over threads round by their number
    teacher = load_teacher(request.teacher, device, False, request.teacher_options)
    require_room(request, teacher)
    with alone_in(folder), precision(request, device):
        order = order_for(request, teacher, folder)
        run, done = build(order), 0
        if first_process_says(folder.checkpoint.exists()):
            done = restore(run, folder, request.steps)
        train(run, order, folder, request, done)


def restore(run: StudentRun, folder: StudentFolder, steps: int) -> int:
    """Continue a run from its checkpoint; returns how many steps it has taken. Raises UserError if it is of another."""
    state = folder.read_checkpoint() or {}
    try:
        done = state["steps"]
        if type(done) is not int or not 0 <= done <= steps:
            raise CheckpointError(f"it is of step {done!r}, and this run has {steps}")
        run.trainer.load_state_dict(state["trainer"])
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(f"{folder.checkpoint} does not belong to the run of {folder.request}: {error}") from None
    return done


def precision(request: DistillRequest, device: torch.device) -> torch.autocast:
    """The context in which the run computes: bfloat16 where it was asked for; weights are float32 in any case.

    Without a cache: it would keep the weights in half precision as they were at the beginning, while they learn.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=request.bfloat16, cache_enabled=False)


def build(order: Order) -> StudentRun:
    """Put the run together. Raises UserError for what the method cannot do, and for pairs of another teacher."""
    try:
        return RECIPES[order.method](order)
    except ValueError as error:
        raise UserError(str(error)) from None


def train(run: StudentRun, order: Order, folder: StudentFolder, request: DistillRequest, done: int) -> None:
    """Take the steps that are left and write the student."""
    clock = time.monotonic
    saved, writes, noise = clock(), is_first_process(), NoiseWatch()
    log = TrainingLog(folder.log, done, request.track, told_to_trackers(request)) if writes else None
    watch = watch_for(run, order, request.teacher, request.look_images) if writes else None
    every = request.look_every or max(1, request.steps // LOOKS)
    with bar(total=order.steps, initial=done, desc=order.method, unit="step", disable=not writes) as shown:
        while done < order.steps:
            with rows_at_once(request.micro_batch):
                step = run.trainer.step()
            done += 1
            shown.update()
            signals = run.signals(step) if done % LOGGED_EVERY == 0 else {}
            if signals:
                noise.look(drawn_now(run, order))
                shown.set_postfix({name: f"{value:.3g}" for name, value in signals.items()})
            if done % every == 0:
                student = finished(run, order.teacher)  # all processes must ask
                if log is not None:
                    signals |= look(run, student, order, folder, watch, done)
                    log.picture(done, folder.sheet)
            if log is not None and signals:
                log.numbers(done, signals)
            if asked_alike(done) and done < order.steps and first_process_says(clock() - saved > CHECKPOINT_SECONDS):
                keep(run, folder, done)
                saved = clock()
    keep(run, folder, done)
    write_student(run, order, folder)
    if log is not None:
        log.close()
        print(folder.path)
    first_process_says(True)  # nobody leaves while another may still wait for an answer


def asked_alike(done: int) -> bool:
    """Whether the processes speak with each other about the checkpoint after ``done`` steps: alone at each step."""
    return process_count() == 1 or done % LOGGED_EVERY == 0


def keep(run: StudentRun, folder: StudentFolder, done: int) -> None:
    """Write the checkpoint, with whole tensors, so that any number of processes can continue from it."""
    state = gathered({"trainer": run.trainer.state_dict(), "steps": done})
    if is_first_process():
        save_checkpoint(folder.checkpoint, state)


def told_to_trackers(request: DistillRequest) -> dict[str, bool | int | float | str]:
    """The request as plain values."""
    return {
        name: value if isinstance(value, bool | int | float) else str(value) for name, value in asdict(request).items()
    }
