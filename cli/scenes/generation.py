"""The course of one run: begin or continue, optimise with a progress bar and checkpoints, write the results."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import Any, Protocol

import torch
from tqdm import tqdm

from cli.configuration import toml_of
from cli.errors import UserError
from cli.scenes.curves import CurveLog, CurvePoint
from cli.scenes.judging import Judge, judge_for
from cli.scenes.results import delivered, write_results
from cli.scenes.run_folder import RunFolder, write_text
from cli.scenes.scene import Request, Scene, build_scene, release_text_encoders, stages_of
from cli.teachers import load_teacher
from representations.assets.asset import Asset
from sds.checkpoint import CheckpointError, save_checkpoint
from sds.denoiser import NeuralTeacher
from sds.engine import Step, image_of

CHECKPOINT_SECONDS = 15.0
"""A run that is killed loses at most about this much work."""

SHARE_OF_WRITING = 20
"""Of a run at most a twentieth is spent on writing checkpoints, however large a texture is."""

JUDGED_EVERY = 10
"""Steps between two looks at how well the object is recognised."""

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
        if checkpoint is None and request.init:
            raise UserError(f"{folder.path} has not made its first step; begin it again, with --init and --overwrite")
        if teacher is None:
            teacher = load_teacher(request.teacher, device, allow_download=False)
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
    """
    judge = judge_for(request)
    stages = stages_of(request, teacher)
    first = request.stages.index(checkpoint["stage"]) if checkpoint is not None else 0
    if live is not None:
        steps = sum(stage.recipe.steps for stage in stages)
        live.begin(request.prompt, folder, steps, partial(delivered, request=request, judge=judge))
    scene: Scene | None = None
    for number, stage in enumerate(stages[first:], start=first):
        continued = checkpoint if number == first else None
        if begun is not None and number == 0:
            scene = begun
        else:
            scene = build_scene(request, stage, device, scene, restored=continued is not None)
        if continued is not None:
            restore(scene, continued, folder)
        optimise(scene, request, folder, judge, sum(stage.recipe.steps for stage in stages[:number]), live)
    assert scene is not None
    write_results(scene, request, folder, judge)
    if live is not None:
        live.finish()


def restore(scene: Scene, checkpoint: dict[str, Any], folder: RunFolder) -> None:
    """Continue a stage from a checkpoint. Raises UserError if it is of another run."""
    try:
        scene.distillation.load_state_dict(checkpoint)
    except (CheckpointError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder.checkpoint} does not belong to the run that run.json describes: {error}") from None


def optimise(
    scene: Scene,
    request: Request,
    folder: RunFolder,
    judge: Judge | None,
    steps_before: int = 0,
    live: Watcher | None = None,
) -> None:
    """Run the loop of a stage to its end, with checkpoints; the bar shows how well the object is recognised.

    Args:
        scene: the stage.
        request: what the user asked for.
        folder: of the run.
        judge: knows the object by name.
        steps_before: of the stages before this one.
        live: is shown every step, and looks when it is time.
    """
    distillation = scene.distillation
    started, saved = time.monotonic(), time.monotonic()
    before = float(folder.read_configuration().get("seconds", {}).get("optimisation", 0.0))
    curves = CurveLog(folder.curves, steps_before + distillation.done)
    bar = tqdm(
        total=scene.recipe.steps,
        initial=distillation.done,
        desc=f"{request.prompt[:40]} ({scene.stage})",
        unit="step",
        dynamic_ncols=True,
        mininterval=0.5,
    )

    def save() -> None:
        save_checkpoint(folder.checkpoint, distillation.state_dict() | {"stage": scene.stage})
        folder.note_seconds("optimisation", before + time.monotonic() - started)

    writing = 0.0
    if request.init and not distillation.done:
        save()  # a run that is resumed never has to look for the user's mesh again
    with bar:
        while distillation.done < scene.recipe.steps:
            step = scene.step()
            bar.update()
            point = curve_point(scene, judge, step, steps_before)
            curves.add(point)
            if live is not None:
                live.look(scene, point)
            if distillation.done % JUDGED_EVERY == 0:
                bar.set_postfix_str(progress_note(point))
            if time.monotonic() - saved > max(CHECKPOINT_SECONDS, SHARE_OF_WRITING * writing):
                begun = time.monotonic()
                save()
                saved = time.monotonic()
                writing = saved - begun
    save()


def curve_point(scene: Scene, judge: Judge | None, step: Step, steps_before: int) -> CurvePoint:
    """What is noted of a step; every `JUDGED_EVERY` steps also how surely the noun is recognised."""
    done = scene.distillation.done
    judged = judge if done % JUDGED_EVERY == 0 else None
    return CurvePoint(
        step=steps_before + done,
        stage=scene.stage,
        gradient_size=step.gradient_size,
        distance=step.distance,
        learning_rate=step.learning_rate,
        critic_loss=step.critic_loss,
        recognition=judged.recognition(image_of(step.rendering).detach()) if judged else None,
    )


def progress_note(point: CurvePoint) -> str:
    """A number that means something: how well the noun is recognised, or how near the picture is to the teacher's."""
    if point.recognition is not None:
        return f"recognised {100 * point.recognition:.0f}%"
    return f"differs from the teacher's wish by {point.distance:.3f}"


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
