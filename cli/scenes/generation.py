"""The course of one run in its folder: begin or continue, with a progress bar and checkpoints, write the results."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import Any, Protocol

import torch

from cli.configuration import toml_of
from cli.errors import UserError
from cli.scenes.curves import CurveLog, CurvePoint
from cli.scenes.making import Making
from cli.scenes.progress import ProgressBar
from cli.scenes.request import Request
from cli.scenes.results import delivered, write_results
from cli.scenes.run_folder import RunFolder, write_text
from cli.scenes.scene import Scene, build_scene
from cli.scenes.stage import stages_of
from cli.scenes.told import release_text_encoders
from cli.teachers import load_teacher
from representations.assets.asset import Asset
from sds.checkpoint import CheckpointError, save_checkpoint
from sds.denoiser import NeuralTeacher

CHECKPOINT_SECONDS = 15.0
"""A run that is killed loses at most about this much work."""

SHARE_OF_WRITING = 20
"""Of a run at most a twentieth is spent on writing checkpoints, however large a texture is."""

PACKAGES = ("scoresmith", "torch", "diffusers", "numpy", "numba")


class Watcher(Protocol):
    """Is shown a run while it goes on, such as `cli.scenes.live.LiveView`."""

    def begin(self, prompt: str, folder: RunFolder, steps: int, deliver: Callable[[Asset], Asset]) -> None:
        """A run of so many steps begins; ``deliver`` puts an asset of it on the floor in metres."""
        ...

    def look(self, scene: Scene, point: CurvePoint) -> None:
        """A step was taken."""
        ...

    def finish(self) -> None:
        """The report of the run is written."""
        ...


def generate(
    request: Request,
    folder: RunFolder,
    teacher: NeuralTeacher,
    device: torch.device,
    overwrite: bool = False,
    live: Watcher | None = None,
) -> None:
    """Make what was asked for, from the beginning; ``live`` shows it to browsers meanwhile.

    The folder is only made, and an old run in it only removed, when the new run is ready to take its first step.

    Raises UserError if another process works in the folder, or what `RunFolder.require_free` raises.
    """
    folder.require_free(overwrite)
    scene = build_scene(request, stages_of(request, teacher)[0], device)
    with folder.occupied():
        folder.begin(describe(request, device), overwrite)
        write_text(folder.options, toml_of(request))
        finish(request, folder, teacher, device, checkpoint=None, live=live, begun=scene)


def resume(
    folder: RunFolder, device: torch.device, live: Watcher | None = None, teacher: NeuralTeacher | None = None
) -> None:
    """Continue a run from its last checkpoint, or from the beginning if it has none; finish what is missing.

    Nothing is downloaded: a name on the hub is only looked up among what this machine has already. Whoever has loaded
    the run's ``teacher`` already may give it.

    Raises UserError if the folder holds no run, or one of another version of the software, or if another process works
    there.
    """
    request = folder.read_request()
    with folder.occupied():
        threads = folder.read_configuration().get("threads", torch.get_num_threads())
        torch.set_num_threads(threads)  # sums over threads round by their number
        checkpoint = folder.read_checkpoint()
        if checkpoint is not None and checkpoint.get("stage") not in request.stages:
            raise UserError(
                f"{folder.checkpoint} does not belong to the run that run.json describes: of no stage of it"
            )
        if checkpoint is None and (request.init or request.begun_from):
            again = "--init" if request.init else "--from"
            raise UserError(f"{folder.path} has not made its first step; begin it again, with {again} and --overwrite")
        if teacher is None:
            teacher = load_teacher(request.teacher, device, False, request.teacher_options)
            release_text_encoders(teacher, [request])
        finish(request, folder, teacher, device, checkpoint, live)


def finish(
    request: Request,
    folder: RunFolder,
    teacher: NeuralTeacher,
    device: torch.device,
    checkpoint: dict[str, Any] | None,
    live: Watcher | None = None,
    begun: Scene | None = None,
) -> None:
    """Do what is left of a run: all stages from that of the checkpoint on, then the results.

    Args:
        request: what the user asked for.
        folder: of the run.
        teacher: judges all stages.
        device: where to work.
        checkpoint: what to continue with, or None.
        live: shows it to browsers meanwhile.
        begun: the first stage, if it has been put together already.

    Raises UserError if the checkpoint is of another run.
    """
    try:
        making = Making(request, teacher, device, checkpoint, begun)
    except CheckpointError as error:
        raise UserError(f"{folder.checkpoint} does not belong to the run that run.json describes: {error}") from None
    if live is not None:
        live.begin(request.prompt, folder, making.steps, partial(delivered, request=request, judge=making.judge))
    take_steps(making, folder, live)
    write_results(making.scene, request, folder, making.judge)
    if live is not None:
        live.finish()


def take_steps(making: Making, folder: RunFolder, live: Watcher | None = None) -> None:
    """Run the loop to its end, with a bar, curves and checkpoints in the folder; ``live`` is shown every step."""
    curves, saving, bar = CurveLog(folder.curves, making.done), Saving(making, folder), ProgressBar()
    if (making.request.init or making.request.begun_from) and not making.done:
        saving.save()  # a run that is resumed never has to look for the user's mesh again
    try:
        for moment in making:
            curves.add(moment.point)
            bar(moment)
            if live is not None:
                live.look(moment.scene, moment.point)
            if moment.ends_a_stage or saving.is_due:
                saving.save()
    finally:
        bar.close()


class Saving:
    """When a run is written into its folder, and how long it took so far.

    Args:
        making: the run.
        folder: of the run; what run.json says of its time is counted on.
    """

    def __init__(self, making: Making, folder: RunFolder) -> None:
        self._making, self._folder = making, folder
        self._before = float(folder.read_configuration().get("seconds", {}).get("optimisation", 0.0))
        self._started = self._saved = time.monotonic()
        self._cost = 0.0

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is old enough, seen from what it takes to write one."""
        return time.monotonic() - self._saved > max(CHECKPOINT_SECONDS, SHARE_OF_WRITING * self._cost)

    def save(self) -> None:
        """Write a checkpoint, and into run.json the seconds so far."""
        begun = time.monotonic()
        save_checkpoint(self._folder.checkpoint, self._making.state_dict())
        self._folder.note_seconds("optimisation", self._before + time.monotonic() - self._started)
        self._saved = time.monotonic()
        self._cost = self._saved - begun


def describe(request: Request, device: torch.device) -> dict[str, Any]:
    """What run.json says when a run begins."""
    return {
        "prompt": request.prompt,
        "request": asdict(request),
        "recipe": {stage: asdict(request.recipe(stage)) for stage in request.stages},
        "device": str(device),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "seconds": {"optimisation": 0.0},
    }
