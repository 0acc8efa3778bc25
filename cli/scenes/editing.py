"""What a run that changes another one's object by a new prompt has in common with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.errors import UserError
from cli.scenes.beginning import last_state
from cli.scenes.run_folder import RunFolder

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
    last_state(path, request.representation)
    return {name: getattr(request, name) for name in KEPT} | {"stages": request.stages[-1:]}
