"""Runs again with another seed if the object is not recognised, and keeps the best."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from cli.errors import expected, one_line
from cli.output import LOG
from cli.scenes.batch import Job
from cli.scenes.run_folder import read_json


@dataclass(frozen=True)
class Try:
    """A finished run.

    Attributes:
        job: what was asked for, the seed included, and where it lies.
        recognition: what its metrics.json says of recognition; empty if nobody could judge.
    """

    job: Job
    recognition: dict[str, Any]

    @property
    def good_enough(self) -> bool:
        """Whether it is recognised in most views, the front or not, or there is nobody to say so.

        The front of some things says little: that of a mug is a handle that points at the camera.
        """
        return not self.recognition or by_most_views(self.recognition)

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Larger is better: recognised, then in more views, then more surely."""
        told = self.recognition
        return bool(told["recognised"]), float(told["views_recognised"]), float(told["probability"])


def by_most_views(recognition: dict[str, Any]) -> bool:
    """Whether an object is recognised in more than half of its views."""
    return float(recognition["views_recognised"]) > 0.5


def verdict_line(recognition: dict[str, Any]) -> str:
    """``"looks like a horse: 87 % of the views"``, and what else it looks like if that is not enough."""
    noun = str(recognition["noun"])
    article = "" if noun.endswith("s") and not noun.endswith("ss") else "an " if noun[0] in "aeiou" else "a "
    share = f"{100 * float(recognition['views_recognised']):.0f} % of the views"
    if recognition["recognised"]:
        return f"looks like {article}{noun}: {share}"
    if by_most_views(recognition):
        return f"looks like {article}{noun}: {share}, but not from the front"
    others = [name for name in recognition["looks_most_like"] if name != noun]
    return f"does not look enough like {article}{noun}: {share}; it is rather taken for: {', '.join(others[:2])}"


def best_of(job: Job, make: Callable[[Job], None]) -> Try:
    """Make what was asked for, again with the next seed while it is not recognised; the best ends in the job's folder.

    Args:
        job: what was asked for; its seed is that of the first try.
        make: one run.

    Returns:
        The one that was kept.

    Raises:
        Exception: what `make` raises in the first try; what later ones raise is told, and the best so far is kept.
    """
    best: Try | None = None
    for number, one in enumerate(_seeds(job), start=1):
        try:
            make(one)
        except expected() as error:
            if best is None:
                raise
            LOG.warning("seed %d: %s", one.request.seed, one_line(error))
            shutil.rmtree(one.path, ignore_errors=True)
            continue
        tried = Try(one, read_json(one.folder.metrics).get("recognition") or {})
        if tried.recognition:
            is_one_of_some = job.tries > 1 and not (number == 1 and tried.good_enough)
            counted = f"try {number} of {job.tries}, seed {one.request.seed}: " if is_one_of_some else ""
            LOG.info("%s%s", counted, verdict_line(tried.recognition))
        best = _better(best, tried, job)
        if tried.good_enough:
            break
    assert best is not None
    if best.job.request.seed != job.request.seed:
        LOG.info("kept seed %d in %s", best.job.request.seed, job.path)
    return best


def _seeds(job: Job) -> Iterator[Job]:
    yield job
    for number in range(1, job.tries):
        beside = job.path.with_name(f"{job.path.name}.try-{number + 1}")
        yield Job(replace(job.request, seed=job.request.seed + number), beside)


def _better(best: Try | None, tried: Try, job: Job) -> Try:
    """The better of two, in the job's folder; the other one is removed."""
    if best is None:
        return tried
    if not tried.recognition or tried.rank <= best.rank:
        shutil.rmtree(tried.job.path)
        return best
    shutil.rmtree(job.path)
    tried.job.path.rename(job.path)
    return replace(tried, job=replace(tried.job, path=job.path))
