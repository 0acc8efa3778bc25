"""What a prompt means to a teacher, said before anything is spent on it."""

from __future__ import annotations

from collections.abc import Sequence

from cli.errors import UserError
from cli.output import LOG
from cli.scenes.batch import Job, Outcome
from sds.denoiser import NeuralTeacher
from sds.teachers.embedded_words import Understanding

MOST_SUGGESTIONS = 3


def understood(prompt: str, teacher: NeuralTeacher) -> Understanding | None:
    """What a teacher of few words makes of a prompt; None for a teacher that reads whatever it is told."""
    understand = getattr(teacher, "understand", None)
    found = understand(prompt) if understand is not None else None
    return found if isinstance(found, Understanding) else None


def means_nothing(understanding: Understanding | None) -> bool:
    """Whether a prompt names nothing that the teacher knows."""
    return understanding is not None and not understanding.things


def refusal(prompt: str, understanding: Understanding, teacher: NeuralTeacher) -> str:
    """Why a prompt is not begun, and what is near in meaning to its words."""
    lexicon = getattr(teacher, "lexicon", None)
    near: dict[str, None] = {}
    for word in reversed(understanding.ignored):  # English names the thing last
        near |= dict.fromkeys(lexicon.suggest(word, MOST_SUGGESTIONS) if lexicon is not None else ())
    shown = list(near)[:MOST_SUGGESTIONS]
    hint = f"near in meaning: {', '.join(shown)}; " if shown else ""
    notes = "".join(f"{note}; " for note in understanding.notes)
    return (
        f"the teacher knows nothing that '{prompt}' names: {notes}{hint}"
        "`scoresmith doctor --words` lists what it knows, --anyway goes on"
    )


def require_understood(prompt: str, teacher: NeuralTeacher, anyway: bool = False) -> str:
    """What a teacher of few words makes of a prompt, as one sentence; "" for a teacher that reads whatever it is told.

    Raises UserError if the prompt names nothing that it knows, unless the user goes on ``anyway``.
    """
    understanding = understood(prompt, teacher)
    if understanding is None:
        return ""
    if means_nothing(understanding) and not anyway:
        raise UserError(refusal(prompt, understanding, teacher))
    return str(understanding.sentence())


def refused_among(jobs: Sequence[Job], teacher: NeuralTeacher, anyway: bool) -> tuple[list[Outcome], list[Job]]:
    """Says what each prompt means; parts those that name nothing known from those that can be begun.

    Raises:
        UserError: there is one prompt only, and it names nothing that the teacher knows.
    """
    refused: list[Outcome] = []
    begun: list[Job] = []
    for job in jobs:
        understanding = understood(job.request.prompt, teacher)
        if understanding is not None and means_nothing(understanding) and not anyway:
            refused.append(Outcome(job.request.prompt, job.path, refusal(job.request.prompt, understanding, teacher)))
            continue
        begun.append(job)
        if understanding is not None:
            LOG.info("%s", understanding.sentence())
    if refused and len(jobs) == 1:
        raise UserError(refused[0].error)
    return refused, begun
