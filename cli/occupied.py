"""One process a folder: who works in it says so, and whoever comes later is told, before anything changes."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from cli.errors import UserError
from cli.files import read_ordinary
from sds.checkpoint import forget_partial_files, is_partial

LOCK, WHO = ".scoresmith.lock", ".scoresmith.who"


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Nobody else works in the folder during the block. It is made if it is not there, and left out again if empty.

    The system lets go of the lock when its holder ends, however it ends. What a killed holder left half written is
    deleted.

    Raises:
        UserError: if another process works there; the message says which.
        OSError: if the folder cannot be made or written.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{folder} is being written by another process{who(folder)}; wait for it or stop it") from None
    except NotImplementedError:  # a file system without locks
        yield
        return
    try:
        with suppress(OSError):
            forget_partial_files(folder)
            began = time.strftime("%Y-%m-%d %H:%M:%S")
            (folder / WHO).write_text(f"process {os.getpid()} on {socket.gethostname()}, since {began}", "utf-8")
        yield
    finally:
        with suppress(OSError):
            (folder / WHO).unlink()
        with suppress(OSError):
            (folder / LOCK).unlink()  # while it is held: who waits for it then sees that it is gone
        lock.release()
        for path in new:  # a refusal leaves nothing behind
            with suppress(OSError):
                path.rmdir()


def who(folder: Path) -> str:
    """Which process works there, as far as it has said."""
    try:
        text = read_ordinary(folder / WHO, 1000).decode("utf-8", "replace")
    except (OSError, UserError):
        return ""
    return f" ({text})" if text.isprintable() else ""


def require_free(
    folder: Path, what: str, exists: bool, overwrite: bool, is_bare: Callable[[Path], bool] | None = None
) -> None:
    """Make sure that something new may be written to a folder, before any work is done.

    Args:
        folder: which.
        what: "run" or "student".
        exists: whether there is one already.
        overwrite: whether it may be replaced.
        is_bare: whether a folder without one holds nothing of anybody's; `is_empty` by default.

    Raises UserError if the folder holds another one that may not be replaced, or something else, or if it is a file or
    within one.
    """
    existing = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    if existing.exists() and not existing.is_dir():
        raise UserError(f"{existing} is a file; give a folder to --out")
    if exists and not overwrite:
        raise UserError(
            f"{folder} holds another {what}; continue it with --resume {folder}, choose another --out, "
            "or replace it with --overwrite"
        )
    if folder.is_dir() and not exists and not (is_bare or is_empty)(folder):
        raise UserError(f"{folder} is not empty and holds no {what} of scoresmith; choose another --out")


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but who works in it, or was killed there before anything was whole."""
    return all(is_left_over(path) for path in folder.iterdir())


def is_left_over(path: Path) -> bool:
    """Whether a file says who works in its folder, or is one that was never finished: `working_in` deletes these."""
    return path.name in (LOCK, WHO) or is_partial(path)
