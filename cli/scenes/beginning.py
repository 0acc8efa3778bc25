"""A stage that begins with what another run has made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from cli.errors import UserError
from cli.files import is_ordinary
from sds.checkpoint import CheckpointError, load_checkpoint, restore_module


def last_state(path: Path, stage: str) -> dict[str, Any]:
    """The checkpoint of the run in a folder, which has come to its last ``stage``. Raises UserError if it has not."""
    checkpoint = path / "checkpoint.pt"
    state = load_checkpoint(checkpoint) if is_ordinary(checkpoint) else None
    if state is None or state.get("stage") != stage:
        raise UserError(f"--from {path}: this run is not finished; complete it with --resume {path}")
    return state


def begin_with_run(generator: nn.Module, path: Path, stage: str) -> None:
    """Become what a run has made in its last ``stage``. Raises UserError if it has made something else."""
    state = last_state(path, stage)
    try:
        restore_module(generator, state["generator"], "its checkpoint's object")
    except (CheckpointError, KeyError) as error:
        raise UserError(f"--from {path}: {error}") from None
