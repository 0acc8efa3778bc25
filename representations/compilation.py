"""How the CPU kernels are compiled: by numba, once for each machine, kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import numpy.typing as npt
from numba import njit
from numba.core.caching import FunctionCache

Array = npt.NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])

# Everything of "fast" except the assumption that there is no NaN: a NaN must survive, so that somebody notices it.
_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"nsz", "arcp", "contract", "reassoc"}}


class ForgivingCache(FunctionCache):
    """Compiled code on disk that is only ever a saving: what cannot be read is compiled, what cannot be kept is not.

    numba's own raises when a file of it was cut off by a full disk, or its folder has become read-only meanwhile.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The kept code for a signature, or None."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # pickle alone has a dozen ways to fail
            with suppress(Exception):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the code for a signature, if that can be."""
        with suppress(Exception):
            super().save_overload(sig, data)


def compiled(function: Function) -> Function:
    """A kernel that releases the interpreter lock; compiled for each process where nothing can be kept on disk."""
    return _kept(njit(**_OPTIONS)(function), function)


def compiled_exactly(function: Function) -> Function:
    """The same for kernels whose results depend on the order in which numbers are added."""
    return _kept(njit(nogil=True)(function), function)


def inlined(function: Function) -> Function:
    """A piece of a kernel."""
    return njit(inline="always", **_OPTIONS)(function)


def kernel_folder(kernel: Any) -> str | None:
    """Where the code of a compiled kernel is kept; None if it is compiled anew for each process."""
    cache = kernel._cache
    return cache.cache_path if isinstance(cache, ForgivingCache) else None


def _kept(dispatcher: Any, function: Callable[..., Any]) -> Any:
    with suppress(RuntimeError, OSError):  # numba found no folder that it may write to
        dispatcher._cache = ForgivingCache(function)  # as its own `enable_caching` does
    return dispatcher
