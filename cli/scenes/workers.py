"""A batch shared by several processes of this machine: one teacher and one thread each.

The work is handed out one object at a time through a pipe, so that a process that dies (out of memory, killed) takes
nothing with it but the object it was at: another takes its place, and continues that object from its checkpoint.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from cli.errors import is_expected, one_line
from cli.output import bar
from cli.scenes.batch import TRIES, Job, Outcome
from sds.teachers.options import AS_IT_IS, TeacherOptions

if TYPE_CHECKING:  # loads torch
    from cli.scenes.generation import Watcher
    from sds.denoiser import NeuralTeacher

TOLD_EVERY = 0.5
"""Seconds between two reports of a process on where it is."""


@dataclass(frozen=True)
class Workplace:
    """What all processes of a batch are told.

    Attributes:
        teacher: the name of the teacher.
        device: "cpu" or "cuda".
        overwrite: whether other runs may be replaced.
        options: of a big teacher.
    """

    teacher: str
    device: str
    overwrite: bool
    options: TeacherOptions = AS_IT_IS


@dataclass
class Worker:
    """A process, and what it is at.

    Attributes:
        process: that works.
        pipe: our end of the connection.
        job: the number of its object, None while it has none.
        share: how much of that object is done, in [0, 1].
    """

    process: BaseProcess
    pipe: Connection
    job: int | None = None
    share: float = 0.0


@dataclass
class Crew:
    """The processes of a batch, and what is left to do.

    Attributes:
        jobs: all objects.
        workplace: of all processes.
        main: what a process runs, with its end of the pipe and the workplace.
        waiting: numbers of the objects that nobody is at.
        tries: how often each object was begun.
        outcomes: of the objects that are finished, or have failed for good.
    """

    jobs: Sequence[Job]
    workplace: Workplace
    main: Callable[[Connection, Workplace], None]
    waiting: list[int]
    workers: list[Worker] = field(default_factory=list)
    tries: dict[int, int] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def hire(self) -> None:
        """Start one more process, and give it an object."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=self.main, args=(theirs, self.workplace), daemon=True)
        process.start()
        theirs.close()
        worker = Worker(process, ours)
        self.workers.append(worker)
        self.hand_out(worker)

    def hand_out(self, worker: Worker) -> None:
        """Give a process the next object, or let it go if there is none."""
        worker.share = 0.0
        worker.job = self.waiting.pop(0) if self.waiting else None
        with suppress(OSError):  # it has died: its end of the pipe says so next
            worker.pipe.send(None if worker.job is None else self.jobs[worker.job])
        if worker.job is not None:
            self.tries[worker.job] = self.tries.get(worker.job, 0) + 1

    def hear(self, worker: Worker) -> str:
        """Take in what a process says, or that it is gone; returns a line for the user, or ""."""
        try:
            said = worker.pipe.recv()
        except (EOFError, OSError):
            return self.bury(worker)
        if isinstance(said, float):
            worker.share = said
            return ""
        line = "" if worker.job is None else self.settle(worker.job, str(said))
        self.hand_out(worker)  # last, so that what goes back is taken up even if all others have left
        return line

    def bury(self, worker: Worker) -> str:
        """A process has ended: if it was at an object, that goes back, and another process takes its place."""
        self.workers.remove(worker)
        worker.process.join()
        if worker.job is None:
            return ""
        line = self.settle(worker.job, f"its process ended with exit code {worker.process.exitcode}")
        if self.waiting:
            self.hire()
        return line

    def settle(self, number: int, error: str) -> str:
        """Note what became of an object, and put it back if it may be tried again; returns a line for the user."""
        job = self.jobs[number]
        if error and self.tries[number] < TRIES:
            self.waiting.append(number)
            return f"{job.path}: {error}; it will be tried once more"
        self.outcomes[number] = Outcome(job.request.prompt, job.path, error)
        return f"{job.path}: {error}" if error else str(job.path)

    def dismiss(self) -> None:
        """End all processes."""
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join(10)


def make_with_workers(
    jobs: Sequence[Job],
    workplace: Workplace,
    count: int,
    main: Callable[[Connection, Workplace], None] | None = None,
) -> list[Outcome]:
    """Make all objects with ``count`` processes, one thread each, and show how far each is.

    Args:
        jobs: what to make; those that are finished should be left out.
        workplace: of all processes.
        count: of the processes, at most one for each object.
        main: what a process runs; `work`, but for tests.

    Returns:
        What became of each, in the order of ``jobs``.
    """
    crew = Crew(jobs, workplace, main or work, list(range(len(jobs))))
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # inherited by the processes, before they load torch
    try:
        with bar(total=len(jobs), unit="object") as shown:
            for _ in range(min(count, len(jobs))):
                crew.hire()
            while crew.workers:
                ready = wait([worker.pipe for worker in crew.workers], timeout=5.0)
                for worker in [worker for worker in crew.workers if worker.pipe in ready]:
                    line = crew.hear(worker)
                    if line:
                        shown.write(line, file=sys.stdout if not line.count(": ") else sys.stderr)
                shown.update(len(crew.outcomes) - shown.n)
                shown.set_postfix_str(shares(crew))
    finally:
        crew.dismiss()
        os.environ.pop("OMP_NUM_THREADS") if before is None else os.environ.update(OMP_NUM_THREADS=before)
    return [crew.outcomes[number] for number in range(len(jobs))]


def shares(crew: Crew) -> str:
    """How far each process is."""
    at_work = [worker for worker in crew.workers if worker.job is not None]
    return ", ".join(f"{crew.jobs[w.job or 0].path.name[:20]} {100 * w.share:.0f}%" for w in at_work)


def work(pipe: Connection, workplace: Workplace) -> None:
    """What a process of a batch does."""
    import torch

    torch.set_num_threads(1)
    make_what_comes(pipe, workplace, Reporter(pipe))


def make_what_comes(
    pipe: Connection,
    workplace: Workplace,
    watcher: Watcher,
    before: Callable[[Job, NeuralTeacher], None] | None = None,
) -> None:
    """Load the teacher once, make the objects that come through a pipe until None does, say how each went.

    Args:
        pipe: gives jobs, and takes for each the error that it ended with, or "".
        workplace: of the process.
        watcher: is shown every run.
        before: looks at an object before it is begun; what it raises is that object's error.
    """
    import torch

    from cli.scenes.batch import make
    from cli.teachers import load_teacher

    with open(os.devnull, "w") as nowhere:  # bars and paths of several processes would run into each other
        sys.stdout = sys.stderr = nowhere
        teacher, device = None, torch.device(workplace.device)
        while (job := pipe.recv()) is not None:
            error = ""
            try:
                if teacher is None:
                    teacher = load_teacher(workplace.teacher, device, options=workplace.options)
                if before is not None:
                    before(job, teacher)
                make(job, teacher, device, workplace.overwrite, watcher)
            except Exception as raised:
                kind = "" if is_expected(raised) else f"{type(raised).__name__}: "
                error = f"{kind}{one_line(raised, 'generate')}"
            pipe.send(error)


class Reporter:
    """Tells the parent how far a run is; stands where a page that shows it would."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._steps, self._told = pipe, 1, 0.0

    def begin(self, prompt: str, folder: Any, steps: int, deliver: Any) -> None:
        """A run begins."""
        del prompt, folder, deliver
        self._steps = max(1, steps)

    def look(self, scene: Any, point: Any) -> None:
        """A step was taken."""
        del scene
        if time.monotonic() - self._told > TOLD_EVERY:
            self._told = time.monotonic()
            self._pipe.send(min(1.0, point.step / self._steps))

    def finish(self) -> None:
        """A run is finished, which the end of its object says."""
