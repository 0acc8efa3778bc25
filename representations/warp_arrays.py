"""NVIDIA Warp: kernels for CUDA cards that nobody has to build. Importing this needs the package `warp` (`[cuda]`).

A kernel is Python that Warp compiles at its first use, for the card or for the CPU, by the compiler in its own wheel,
and keeps on disk. Here numba's kernels do the work of the CPU; there Warp's are compared with them in the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import warp as wp
from torch import Tensor

wp.config.log_level = wp.LOG_WARNING  # no banner
wp.init()


def launch(kernel: Any, threads: int | Sequence[int], *operands: Any) -> None:
    """Runs a kernel where its operands are, after all that torch has queued there.

    Args:
        kernel: made by `warp.kernel`.
        threads: how many, along each axis; with none nothing is done.
        operands: numbers, and what `array`, `points` and `vectors` return.
    """
    if threads == 0 or (not isinstance(threads, int) and 0 in threads):
        return
    where = next(operand.device for operand in operands if isinstance(operand, wp.array))
    stream = wp.stream_from_torch(torch.cuda.current_stream(where.ordinal)) if where.is_cuda else None
    wp.launch(kernel, threads, inputs=operands, device=where, stream=stream)


def array(tensor: Tensor, dtype: Any = None) -> Any:
    """The numbers of a tensor as Warp sees them, not copied; its gradient is our own affair."""
    return wp.from_torch(tensor.detach(), dtype, requires_grad=False)


def points(tensor: Tensor) -> Any:
    """A contiguous tensor (..., 3) of float32 as an array of points."""
    return array(tensor, wp.vec3)


def vectors(tensor: Tensor) -> Any:
    """A contiguous tensor (..., C) of float32 as an array of vectors."""
    return array(tensor, wp.types.vector(tensor.shape[-1], wp.float32))


def indices(tensor: Tensor) -> Any:
    """A contiguous tensor (..., 3) of int32 as an array of triples."""
    return array(tensor, wp.vec3i)
