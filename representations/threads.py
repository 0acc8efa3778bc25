"""How many threads to use, and how work is split between them.

The compiled kernels share their work between as many threads as torch has (`torch.get_num_threads()`), so one
setting, the user's `OMP_NUM_THREADS`, rules both. The split depends on nothing but that number: results never depend
on timing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch

_SMALLEST_PART = 512
"""Work items (rays, points) below which another thread costs more than it saves."""


def split(count: int, smallest_part: int = _SMALLEST_PART) -> list[slice]:
    """Cuts `count` work items into equal consecutive parts, one a thread; at least one part, possibly empty."""
    parts = max(1, min(torch.get_num_threads(), count // smallest_part))
    edges = [count * part // parts for part in range(parts + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def run_parts(work: Callable[[int, slice], None], parts: list[slice]) -> None:
    """Calls `work(number, part)` for every part, each in its own thread; an exception in one of them is raised here."""
    if len(parts) == 1:
        work(0, parts[0])
        return
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(work, range(len(parts)), parts))


def choose_threads() -> int:
    """Gives torch, and with it the compiled kernels, what `free_threads` says; returns it."""
    count = free_threads()
    torch.set_num_threads(count)
    return count


def free_threads() -> int:
    """What the user asked for, else the number of cores that nobody else is using, at least 1.

    OpenMP threads wait for each other many times a millisecond. When another program holds one of their cores they all
    stand still, and two threads become many times slower than one; so busy cores (by the load average) are left alone.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        if os.environ.get(name, "").isdigit():
            return max(1, int(os.environ[name]))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0
    return max(1, cores - busy)
