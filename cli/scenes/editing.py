"""A run that begins with what another run has made: the same object, changed by another prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.errors import UserError
from cli.scenes.run_folder import RunFolder
from sds.checkpoint import CheckpointError, restore_module

if TYPE_CHECKING:
    from torch import nn

    from cli.scenes.scene import Request

KEPT = (
    *("stages", "encoding", "preset", "shapes", "retexture", "placement"),
    *("teacher", "teacher_config", "teacher_lora", "teacher_word", "tiny_autoencoder", "compile", "offload"),
)
"""What an edited object has in common with the original: otherwise its parameters would mean something else."""


def kept_of(path: Path) -> dict[str, Any]:
    """Of the request of a finished run, what an edit of it keeps; of its stages the last one.

    Raises UserError if the folder holds no run, or one that has not come to its last stage.
    """
    request = RunFolder(path).read_request()
    if request.particles > 1:
        raise UserError(f"--from {path}: a run of several objects cannot be edited")
    last_state(path, request)
    return {name: getattr(request, name) for name in KEPT} | {"stages": request.stages[-1:]}


def last_state(path: Path, request: Request) -> dict[str, Any]:
    """The checkpoint of a run that has come to its last stage. Raises UserError if it has not."""
    state = RunFolder(path).read_checkpoint()
    if state is None or state.get("stage") != request.representation:
        raise UserError(f"--from {path}: this run is not finished; complete it with --resume {path}")
    return state


def begin_with_run(generator: nn.Module, path: Path, stage: str) -> None:
    """Become what a run has made. Raises UserError if it has made something else."""
    state = last_state(path, RunFolder(path).read_request())
    try:
        if state["stage"] != stage:
            raise CheckpointError(f"it is of the stage {state['stage']}")
        restore_module(generator, state["generator"], "its checkpoint's object")
    except (CheckpointError, KeyError) as error:
        raise UserError(f"--from {path}: {error}") from None
