"""How the CPU kernels are compiled: by numba, once for each machine, kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])

# Everything of "fast" except the assumption that there is no NaN: a NaN must survive, so that somebody notices it.
_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"nsz", "arcp", "contract", "reassoc"}}


def compiled(function: Function) -> Function:
    """A kernel that releases the interpreter lock; compiled for each process where nothing can be kept on disk."""
    try:
        return njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # numba found no folder that it may write to
        return njit(**_OPTIONS)(function)


def inlined(function: Function) -> Function:
    """A piece of a kernel."""
    return njit(inline="always", **_OPTIONS)(function)
