"""Checkpoints that are either whole or not there, and that hold data only."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged or holds something other than data."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends without an error.

    At any moment ``path`` is the old file or the new one, never half of one; an error leaves the old one.
    The temporary name keeps the suffix, by which many writers choose their format.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state``, nested containers of tensors and plain values. Raises OSError if the disk is full."""
    buffer = io.BytesIO()  # torch.save into a file would report a full disk as an internal error
    torch.save(state, buffer)
    with written_whole(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote; nothing in the file is ever executed.

    Raises CheckpointError if it is missing, damaged, or would need code to be read.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint at {path}") from None
    except Exception as error:
        # torch reports a damaged or unsafe file by half a dozen exception types.
        raise CheckpointError(f"{path} is not a checkpoint of scoresmith, or it is damaged: {error}") from error
