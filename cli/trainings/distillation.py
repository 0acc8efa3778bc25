"""The course of one distillation: begin or continue, train with a log and sheets of samples, write the student."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import ModelMixin
from torch import Tensor, nn

from cli.errors import UserError
from cli.guidance import changed_guidance
from cli.numbers import require_memory
from cli.occupied import working_in
from cli.output import bar
from cli.pictures import write_sheet
from cli.teachers import EMBEDDED, load_teacher, require_one_picture_from_words
from cli.trainings.log import TrainingLog, require_tracker
from cli.trainings.looks import distance_named, features_named
from cli.trainings.real_images import load_real_images
from cli.trainings.student_folder import DistillRequest, StudentFolder
from cli.trainings.watching import Watch, WithNetwork, watch_for
from representations.cameras import CameraSampler
from sds.checkpoint import CheckpointError, save_checkpoint, written_whole
from sds.copies import Copies
from sds.denoiser import NeuralTeacher
from sds.guidance import Guidance
from sds.precision import computing_type
from sds.processes import first_process_says, is_first_process, process_count, rows_at_once
from sds.recognition import Recogniser
from sds.sharding import gathered
from sds.teachers.changed_folder import parts_of
from sds.teachers.embedded import EMBEDDED_FOLDER
from sds.teachers.folder import open_teacher_folder
from students.corrections import save_corrections
from students.folder import CARD, network_name, sample, save_student
from students.inputs import inputs_of, save_inputs
from students.measures.health import NoiseWatch
from students.recipes.catalogue import RECIPES
from students.recipes.order import Order, StudentRun
from students.teachers import TeacherInShares, WithCopies, can_be_guided

CHECKPOINT_SECONDS = 60.0
"""A run that is killed loses at most about this much work."""

LOGGED_EVERY = 10
"""Steps between two lines of the log."""

GUIDANCE = ("guidance_interval", "guidance_parallel", "guidance_rescale")

LOOKS = 10
"""How often in a run a sheet of samples is kept and the student is measured, unless its user says otherwise."""

READ_HERE = (
    *("teacher", "prompts", "images", "features", "distance", "bfloat16", "look_every", "look_images", "track"),
    *GUIDANCE,
    *("shard", "checkpointing", "micro_batch", "teacher_options"),
)
"""Parts of a request that stand for something bigger than they are."""

WATCHED = 4
"""Images that are looked at with each line of the log, so that a student that has gone to noise is stopped."""

SHEET = 8
"""Prompts on the sheet of samples, in columns; three images of each."""

USUAL_GUIDANCE = 2.0
"""What a student learns of a teacher that can be guided."""

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")


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
                network = run.network()  # of a sharded student all processes must ask
                if log is not None:
                    signals |= look(run, network, order, folder, watch, done)
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


def look(
    run: StudentRun, network: nn.Module, order: Order, folder: StudentFolder, watch: Watch | None, done: int
) -> dict[str, float]:
    """Draw the sheet of samples as the student is after ``done`` steps, keep a copy of it, and measure the student."""
    write_sheet(folder.sheet, sample_rows(run, network, order))
    with written_whole(folder.sheet_after(done)) as temporary:
        temporary.write_bytes(folder.sheet.read_bytes())
    return {} if watch is None else watch(network)


def told_to_trackers(request: DistillRequest) -> dict[str, bool | int | float | str]:
    """The request as plain values."""
    return {
        name: value if isinstance(value, bool | int | float) else str(value) for name, value in asdict(request).items()
    }


@torch.no_grad()
def drawn_now(run: StudentRun, order: Order) -> Tensor:
    """A few images x of the student as it is, always of the same noise."""
    rng = torch.Generator().manual_seed(0)
    texts = [order.texts[i % len(order.texts)] for i in range(WATCHED)]
    view = None if order.views is None else order.views(WATCHED, rng)
    return sample(run.student, run.card, order.teacher.shape, order.teacher.condition(texts, view), rng)


def pairs_bar() -> Callable[[int, int], None]:
    """Shows how the teacher's pairs become more, for `students.recipes.order.Order.report`."""
    begun: list[Any] = []

    def report(done: int, count: int) -> None:
        if not begun:  # pairs that are read need no bar
            begun.append(bar(desc="the teacher draws", unit="picture", disable=not is_first_process(), delay=1))
        shown = begun[0]
        shown.total = count
        shown.update(done - shown.n)
        if done == count:
            shown.close()

    return report


def order_for(request: DistillRequest, teacher: NeuralTeacher, folder: StudentFolder) -> Order:
    """The request in terms of the library. Raises UserError if there is nothing to draw, or for unfit pictures."""
    known = {name: value for name, value in asdict(request).items() if name not in READ_HERE}
    device = next(teacher.network.parameters()).device
    views = CameraSampler(size=1) if teacher.knows_views else None
    vocabulary = vocabulary_of(teacher)
    copies = Copies(sharded=request.shard, checkpointed=request.checkpointing)
    if process_count() > 1:
        teacher = TeacherInShares(teacher)
    teacher = WithCopies(teacher, copies)
    real = load_real_images(Path(request.images), teacher, request.guidance_scale) if request.images else None
    shown = sorted(set(real.captions)) if real is not None else []
    texts = request.prompts or shown or default_prompts(request.teacher, vocabulary)
    if vocabulary is not None:
        teacher.condition(texts, None)  # raises PromptError for what it does not know, before anything begins
    together = real.ask if real is not None and not request.prompts else None
    return Order(
        teacher,
        texts,
        views,
        pairs_file=folder.pairs,
        images=real,
        guidance=changed_guidance(Guidance(1.0), *(getattr(request, name) for name in GUIDANCE)),
        together=together,
        report=pairs_bar(),
        features=features_named(request.features, device),
        distance=distance_named(request.distance, teacher, device),
        **known,
    )


def guidance_scale_for(request: DistillRequest, teacher: NeuralTeacher) -> float:
    """The guidance scale that is learned: what was asked for, or else 2, and 1 for teachers without a null prompt.

    Raises UserError if such a teacher is asked for another.
    """
    guided = can_be_guided(teacher)
    if not guided and request.guidance_scale not in (0.0, 1.0):
        raise UserError(
            f"--guidance-scale {request.guidance_scale:g}: {request.teacher} has no null prompt to guide away from; "
            "leave it out, or give 1"
        )
    return request.guidance_scale or (USUAL_GUIDANCE if guided else 1.0)


def vocabulary_of(teacher: NeuralTeacher) -> Sequence[str] | None:
    """All that a teacher can be asked for, if it is a list: class names, or the empty prompt of one that knows none."""
    return getattr(teacher, "vocabulary", None)


def default_prompts(name: str, known: Sequence[str] | None) -> list[str]:
    """All that a teacher knows: its `vocabulary_of` if it has one, else the embedded teacher's nouns.

    Raises UserError for teachers that take any text.
    """
    if known is not None:
        return list(known)
    if name != EMBEDDED:
        raise UserError("say what the student shall draw: --prompt or --prompts-file")
    nouns = Recogniser.load().nouns
    return [f"a {noun}" for noun in nouns] + [f"a {colour} {noun}" for noun in nouns for colour in COLOURS]


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
    write_sheet(folder.sheet, sample_rows(run, network, order))


def sample_rows(run: StudentRun, network: nn.Module, order: Order) -> list[Tensor]:
    """Three images of each of a few prompts, always from the same noise and views; rows of (prompts, 3, H, W)."""
    rng = torch.Generator().manual_seed(0)
    spread = range(0, len(order.texts), max(1, len(order.texts) // SHEET))
    texts = [order.texts[i] for i in spread][:SHEET]
    view = None if order.views is None else order.views(len(texts), rng)
    condition = order.teacher.condition(texts, view)
    student = WithNetwork(order.teacher, network)
    return [
        order.teacher.decode(sample(student, run.card, order.teacher.shape, condition, rng)).clamp(0, 1)
        for _ in range(3)
    ]
