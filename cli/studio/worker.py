"""The process of a studio: it loads the teacher once, makes what it is given, and tells what that looks like."""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from cli.scenes.batch import Job
from cli.scenes.workers import Workplace, make_what_comes

if TYPE_CHECKING:  # loads torch
    from sds.denoiser import NeuralTeacher

UNDERSTOOD = "understood.txt"
"""What the teacher makes of a prompt, told beside the state, picture and surface of the run."""


def work(pipe: Connection, workplace: Workplace) -> None:
    """Make what comes, and send back (name, bytes) of whatever is new, and in the end an error or ""."""
    from representations.threads import choose_threads

    choose_threads()  # before anything loads torch

    from cli.scenes.live import Snapshots
    from cli.scenes.understanding import require_understood

    def understand(job: Job, teacher: NeuralTeacher) -> None:
        pipe.send((UNDERSTOOD, require_understood(job.request.prompt, teacher).encode()))

    make_what_comes(pipe, workplace, Snapshots(lambda name, content: pipe.send((name, content))), understand)
