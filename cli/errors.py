"""Errors that are the user's to mend: one line on standard error and exit code 2, never a traceback."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class UserError(ValueError):
    """Something about the command line or the files it names is wrong; the message says what to do."""


def expected() -> tuple[type[BaseException], ...]:
    """What is reported in one line. Anything else is a defect of scoresmith and keeps its traceback.

    A function, because most of these live beside things that take seconds to load and that many commands do not need.
    """
    return (*_of_files(), *_of_meshes(), *_of_networks())


def is_expected(error: BaseException) -> bool:
    """Whether ``error`` is one of `expected`; what needs diffusers is loaded last, so that others are told at once."""
    return any(isinstance(error, kinds()) for kinds in (_of_files, _of_meshes, _of_networks))


def _of_files() -> tuple[type[BaseException], ...]:
    return (UserError, OSError)


def _of_meshes() -> tuple[type[BaseException], ...]:
    from representations.assets.formats.usd_writing import UsdUnavailableError
    from representations.assets.quad_remeshing import RemeshingUnavailableError
    from representations.assets.unwrapping import UnwrappingUnavailableError
    from representations.geometry.isosurface import EmptySurfaceError
    from representations.geometry.mesh import MeshError

    return (EmptySurfaceError, MeshError, RemeshingUnavailableError, UnwrappingUnavailableError, UsdUnavailableError)


def _of_networks() -> tuple[type[BaseException], ...]:
    from torch import OutOfMemoryError

    from sds.checkpoint import CheckpointError
    from sds.score import NonFiniteGradientError
    from sds.teachers.conditioning import PromptError
    from sds.teachers.folder import TeacherFolderError
    from sds.teachers.remote.client import RemoteTeacherError
    from students.folder import StudentFolderError
    from students.measures.health import GoneToNoiseError
    from students.measures.reference import ReferenceFileError

    return (
        TeacherFolderError,
        RemoteTeacherError,
        PromptError,
        CheckpointError,
        NonFiniteGradientError,
        OutOfMemoryError,
        StudentFolderError,
        GoneToNoiseError,
        ReferenceFileError,
    )


RESUMABLE = ("generate", "distill")
"""The commands that have --resume."""


def one_line(error: BaseException, command: str = "") -> str:
    """The message of an error on one line, with advice where the system's own words give none."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        advice = "continue with --resume" if command in RESUMABLE else "try again"
        return f"the disk is full; free some space and {advice} ({text})"
    if type(error).__name__ == "OutOfMemoryError":
        advice = "; what the last checkpoint holds is kept, --resume goes on from it" if command in RESUMABLE else ""
        return (
            "the card's memory is full: close what else uses it, lower --batch-size where there is one, take a smaller "
            f"teacher or --device cpu{advice} ({text[:120]})"
        )
    return text


def unless_damaged(read: Callable[[], Result], nothing: Result) -> Result:
    """What ``read`` finds, or ``nothing`` where the file is damaged or none of ours: the page shows the others."""
    try:
        return read()
    except UserError:
        return nothing
