"""What a run tells its teacher: the prompt, a photo, and which of the things that a word may mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from cli.errors import UserError
from cli.scenes.photo import NOT_SHOWN, Photo, read_photo
from cli.scenes.request import Request
from sds.denoiser import NeuralTeacher, Teacher
from sds.prompts import NEGATIVES, Directions, PerpNeg, PromptSet
from sds.teachers.diffusers import DiffusersTeacher
from sds.teachers.folder_teacher import FolderTeacher
from sds.teachers.shape_teacher import ShapeTeacher

NEGATIVES_FOR_EMBEDDED = {"nfsd": "", "bridge": "{prompt}"}
"""The embedded teacher knows no words for a bad image: NFSD compares with its null prompt. A bridge leads from what
there is; of all that this teacher can be told, that is the prompt, so that in the end nothing is pulled any more."""


def shown_photo(request: Request, teacher: Teacher) -> Photo | None:
    """The user's picture, which the teacher has now been shown; None if there is none.

    Raises UserError if the teacher is not told pictures, or is told nothing else.
    """
    sees = isinstance(teacher, DiffusersTeacher) and teacher.sees_pictures
    if not request.image:
        if sees:
            raise UserError("this teacher is told a picture, and draws other views of it: generate --image FILE")
        return None
    if not isinstance(teacher, DiffusersTeacher) or not sees:
        raise UserError(NOT_SHOWN)
    photo = read_photo(Path(request.image), Path(request.image_mask) if request.image_mask else None)
    teacher.show(photo.image, math.radians(request.image_elevation))
    return photo


def prompts_of(request: Request, teacher: Teacher) -> PromptSet:
    """All that a run says to its teacher."""
    negatives = NEGATIVES_FOR_EMBEDDED if isinstance(teacher, ShapeTeacher) else NEGATIVES
    negative = negatives[request.method].replace("{prompt}", request.prompt) if request.method in negatives else None
    return PromptSet(
        request.prompt,
        # "chair, side view" is no class: a teacher of classes is not told views in words
        directions=Directions() if getattr(teacher, "takes_sentences", True) else None,
        unconditional=request.negative,
        perp_neg=PerpNeg() if request.perp_neg else None,
        negative=negative,
    )


def release_text_encoders(teacher: Teacher, requests: Sequence[Request]) -> None:
    """Let a big teacher's text encoders go, often its largest part, after all that the runs will say is encoded."""
    if isinstance(teacher, FolderTeacher):
        teacher.release_text_encoders([text for request in requests for text in prompts_of(request, teacher).texts()])


def with_mind_made_up(teacher: NeuralTeacher, request: Request) -> NeuralTeacher:
    """A small teacher thinking of one object only, another for another seed; any other teacher as it is."""
    return minds_of(teacher, request)[0]


def minds_of(teacher: NeuralTeacher, request: Request) -> tuple[NeuralTeacher, ...]:
    """Who judges each particle: a small teacher thinking of what the next seed is for each; any other one as it is."""
    if not isinstance(teacher, ShapeTeacher):
        return (teacher,) * request.particles
    numbers = range(request.seed, request.seed + request.particles)
    return tuple(teacher.with_one_object(request.prompt, number) for number in numbers)
