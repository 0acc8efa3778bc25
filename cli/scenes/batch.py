"""Many objects: what is finished is left alone, what was begun goes on, what fails is tried once more, all of it told.

A batch has no state but the folders of its runs, so the same command completes it after any crash.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.errors import UserError, is_expected, one_line
from cli.files import is_ordinary
from cli.scenes.run_folder import RunFolder, write_text

if TYPE_CHECKING:
    import torch

    from cli.scenes.generation import Watcher
    from cli.scenes.request import Request
    from sds.denoiser import NeuralTeacher

TRIES = 2
"""A run that fails is tried once more; the processes and machines of a large batch fail now and then."""

MANIFEST = "manifest.jsonl"
"""In the folder of a batch: a line of JSON for each of its objects."""


@dataclass(frozen=True)
class Job:
    """One object of a batch.

    Attributes:
        request: what to make.
        path: the folder of its run.
        tries: seeds that may be tried, from that of the request on, until it is recognised.
    """

    request: Request
    path: Path
    tries: int = 1

    @property
    def folder(self) -> RunFolder:
        """The folder of its run."""
        return RunFolder(self.path)


@dataclass(frozen=True)
class Outcome:
    """What became of an object.

    Attributes:
        prompt: what was asked for.
        folder: of its run.
        error: why it failed, in one line; empty if it is finished.
    """

    prompt: str
    folder: Path
    error: str = ""


def is_begun(job: Job) -> bool:
    """Whether the folder holds a run of the same request, finished or not.

    Raises UserError if it holds another run, or anything else.
    """
    folder = job.folder
    if not folder.configuration.exists():
        folder.require_free(overwrite=False)
        return False
    held = folder.read_request()
    asked = replace(job.request, seed=held.seed)
    if held != asked or not 0 <= held.seed - job.request.seed < job.tries:
        folder.require_free(overwrite=False)  # says what can be done
    return True


def is_finished(job: Job) -> bool:
    """Whether a run of the same request is finished: the report is the last file that it writes."""
    return is_ordinary(job.folder.report) and is_ordinary(job.folder.configuration) and is_begun(job)


def make(
    job: Job, teacher: NeuralTeacher, device: torch.device, overwrite: bool = False, live: Watcher | None = None
) -> None:
    """Begin or continue an object. Raises whatever its run does."""
    from cli.scenes.generation import generate, resume

    if not overwrite and is_begun(job):
        resume(job.folder, device, live, teacher)
    else:
        generate(job.request, job.folder, teacher, device, overwrite, live)


def make_one_after_the_other(
    jobs: Sequence[Job], make_one: Callable[[Job], None], told: Callable[[str], None]
) -> list[Outcome]:
    """Make all of them in this process; one that fails does not keep the others from being made.

    Only what is the user's to mend counts as a failure: anything else is a defect, and raised.
    """
    outcomes: list[Outcome] = []
    for job in jobs:
        error = ""
        try:
            make_one(job)
        except Exception as raised:
            if not is_expected(raised):
                raise
            error = one_line(raised, "generate")
            told(f"{job.path}: {error}")
        outcomes.append(Outcome(job.request.prompt, job.path, error))
    return outcomes


def write_manifest(root: Path, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> Path:
    """Write a line for each object: prompt, folder, what became of it, and what was measured. Returns the file."""
    failed = {outcome.folder: outcome.error for outcome in outcomes if outcome.error}
    lines = [json.dumps(entry(job, root, failed.get(job.path, "")), ensure_ascii=False) for job in jobs]
    write_text(root / MANIFEST, "".join(f"{line}\n" for line in lines))
    return root / MANIFEST


def entry(job: Job, root: Path = Path(), error: str = "") -> dict[str, Any]:
    """What the manifest says about an object, its folder as seen from ``root``."""
    place = job.path.relative_to(root) if job.path.is_relative_to(root) else job.path
    try:
        metrics = dict(job.folder.read_metrics()) if not error else {}
    except UserError:
        metrics = {}
    return described(job, place.as_posix(), error, metrics)


def described(job: Job, place: str, error: str, metrics: dict[str, Any]) -> dict[str, Any]:
    """An object of a batch for scripts: what was asked for, the place of its run, what became of it."""
    state = "failed" if error else "finished"
    request = {name: value for name, value in asdict(job.request).items() if name != "prompt"}
    return {
        "prompt": job.request.prompt,
        "folder": place,
        "state": state,
        "error": error,
        "request": request,
        "metrics": metrics,
    }
