"""What a request for a student means in terms of the library: the order that `students.recipes` carries out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cli.errors import UserError
from cli.guidance import changed_guidance
from cli.output import bar
from cli.teachers import EMBEDDED
from cli.trainings.looks import distance_named, features_named
from cli.trainings.real_images import load_real_images
from cli.trainings.student_folder import DistillRequest, StudentFolder
from representations.cameras import CameraSampler
from sds.copies import Copies
from sds.denoiser import NeuralTeacher
from sds.guidance import Guidance
from sds.processes import is_first_process, process_count
from sds.recognition import Recogniser
from students.recipes.order import Order
from students.teachers import TeacherInShares, WithCopies, can_be_guided, vocabulary_of

GUIDANCE = ("guidance_interval", "guidance_parallel", "guidance_rescale")

READ_HERE = (
    *("teacher", "prompts", "images", "features", "distance", "bfloat16", "look_every", "look_images", "track"),
    *GUIDANCE,
    *("shard", "checkpointing", "micro_batch", "teacher_options"),
)
"""Parts of a request that stand for something bigger than they are."""

USUAL_GUIDANCE = 2.0
"""What a student learns of a teacher that can be guided."""

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")


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
