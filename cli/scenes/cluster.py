"""Many objects on many machines: a task of Ray for each, and the results where fsspec can put them.

Tasks give their files back, and only the process that has handed them out writes the results: nothing is written twice,
machines need no access to the place of the results, and what a machine takes with it when it dies is only its own
objects, which others make again. On one machine, and wherever home is shared, they go on from their checkpoints.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.errors import UserError, expected, one_line
from cli.output import LOG, bar
from cli.scenes.batch import TRIES, Job, Outcome, make
from cli.scenes.run_folder import fingerprint
from cli.scenes.store import Store
from cli.scenes.workers import Workplace

if TYPE_CHECKING:
    from sds.denoiser import NeuralTeacher

SCRATCH = "SCORESMITH_SCRATCH"
"""The variable that says where tasks work on their machines; else in the cache of the user's home."""

TASKS_FOR_A_SLOT = 2
"""Tasks that wait or run for each processor or card of the cluster: enough that none is idle, few enough that results
do not pile up before they are written."""

LEFT_BEHIND = ("checkpoint.pt",)
"""Files of a run that stay on its machine until it is finished, and are not worth their size then."""


@dataclass(frozen=True)
class Made:
    """What a task gives back.

    Attributes:
        files: of the finished run, by name.
        error: why there are none, in one line.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    error: str = ""


def make_on_cluster(
    jobs: Sequence[Job], workplace: Workplace, address: str, store: Store, anyway: bool = False
) -> list[Outcome]:
    """Make all objects on a cluster, and put each where it belongs as soon as it is there.

    Args:
        jobs: what to make; those that are finished should be left out.
        workplace: of all tasks: with "cuda" each has a card, with "cpu" a processor.
        address: of the cluster; "auto" looks for one that this machine belongs to, "local" begins one here.
        store: where results go.
        anyway: whether to go on with prompts that name nothing which the teacher knows.

    Returns:
        What became of each, in the order of ``jobs``.

    Raises UserError if Ray is not installed, or there is no such cluster.
    """
    ray = connected(address)
    try:
        resources = {"num_cpus": 1, "num_gpus": 1 if workplace.device == "cuda" else 0}
        task = ray.remote(max_retries=0, **resources)(make_in_scratch)

        def submit(job: Job) -> Any:
            return task.remote(job, workplace, anyway)

        return Crowd(ray, jobs, submit, store, "GPU" if workplace.device == "cuda" else "CPU").make_all()
    finally:
        ray.shutdown()


def connected(address: str) -> Any:
    """Ray, connected. Raises UserError if it is not installed, or nothing answers."""
    try:
        import ray
    except ImportError:
        raise UserError("--cluster needs Ray: pip install ray pyarrow") from None
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a task without cards sees none, as it should
    own = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, **own)
    except Exception as error:  # Ray raises Exception itself where a machine is too slow for it
        raise UserError(f"--cluster {address}: {one_line(error)[:300]}") from None
    return ray


@dataclass
class Crowd:
    """The tasks of a cluster, and what is left to do.

    Attributes:
        ray: the package, connected.
        jobs: all objects.
        submit: begins a task, and returns what Ray calls it.
        store: where results go.
        slot: the resource that each task takes one of.
    """

    ray: Any
    jobs: Sequence[Job]
    submit: Callable[[Job], Any]
    store: Store
    slot: str
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)

    def make_all(self) -> list[Outcome]:
        """Keep the cluster busy until every object is made or has failed for good."""
        waiting, running = list(range(len(self.jobs))), dict[Any, int]()
        with bar(total=len(self.jobs), unit="object") as shown:
            while waiting or running:
                while waiting and len(running) < self.most():
                    number = waiting.pop(0)
                    self.tries[number] = self.tries.get(number, 0) + 1
                    running[self.submit(self.jobs[number])] = number
                ready, _ = self.ray.wait(list(running), timeout=5.0)
                for task in ready:
                    number = running.pop(task)
                    error = self.take_in(task, self.jobs[number])
                    again = bool(error) and self.tries[number] < TRIES
                    if again:
                        waiting.append(number)
                    else:
                        job = self.jobs[number]
                        self.outcomes[number] = Outcome(job.request.prompt, job.path, error)
                    if error:
                        name = self.jobs[number].path.name
                        LOG.warning("%s: %s%s", name, error, "; it will be tried once more" if again else "")
                shown.update(len(self.outcomes) - shown.n)
        return [self.outcomes[number] for number in range(len(self.jobs))]

    def most(self) -> int:
        """Tasks at the same time; machines come and go."""
        return TASKS_FOR_A_SLOT * max(1, int(self.ray.cluster_resources().get(self.slot, 1)))

    def take_in(self, task: Any, job: Job) -> str:
        """Write what a task has made; returns why there is nothing, or ""."""
        try:
            made: Made = self.ray.get(task)
        except self.ray.exceptions.RayError as error:  # the process or the machine is gone
            return f"its task ended: {type(error).__name__}"
        if not made.error:
            self.store.put(job.path.name, made.files)
        return made.error


def make_in_scratch(job: Job, workplace: Workplace, anyway: bool) -> Made:
    """What a task does, on any machine: make an object in a folder there, and give its files back."""
    import torch

    from cli.scenes.understanding import require_understood

    torch.set_num_threads(1)
    device = torch.device(workplace.device)
    here = replace(job, path=scratch_of(job))
    try:
        teacher = loaded(workplace)
        require_understood(job.request.prompt, teacher, anyway)
        make(here, teacher, device)
        files = {
            file.name: file.read_bytes()
            for file in sorted(here.path.iterdir())
            if file.is_file() and not file.name.startswith(".") and file.name not in LEFT_BEHIND
        }
    except expected() as error:
        return Made(error=one_line(error, "generate"))
    shutil.rmtree(here.path, ignore_errors=True)
    return Made(files)


def scratch_of(job: Job) -> Path:
    """Where a job is made on its machine: always in the same folder, so that a second try goes on from the first."""
    root = os.environ.get(SCRATCH) or Path.home() / ".cache" / "scoresmith" / "cluster"
    return Path(root) / f"{job.path.name[:60]}-{fingerprint(repr(job.request))}"


@lru_cache(maxsize=1)
def loaded(workplace: Workplace) -> NeuralTeacher:
    """The teacher, which a process of the cluster keeps from task to task."""
    import torch

    from cli.teachers import load_teacher

    return load_teacher(workplace.teacher, torch.device(workplace.device), options=workplace.options)
