"""How many threads to use, and how work is split between them. Importing this does not load torch.

The compiled kernels share their work between as many threads as torch has (`torch.get_num_threads()`), so one
setting, the user's `OMP_NUM_THREADS`, rules both. The split depends on nothing but that number: results never depend
on timing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

_SMALLEST_PART = 512
"""Work items (rays, points) below which another thread costs more than it saves."""


THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def most_threads() -> int:
    """More than so many threads are a mistake: eight a core."""
    return 8 * (os.cpu_count() or 1)


def split(count: int, smallest_part: int = _SMALLEST_PART) -> list[slice]:
    """Cuts `count` work items into equal consecutive parts, one a thread; at least one part, possibly empty."""
    import torch

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
    """Gives torch, and with it the compiled kernels, the threads that the user asked for, else one a core.

    OpenMP threads wait for each other many times a millisecond, spinning. When another program holds one of their
    cores,
    all stand still: two threads on two busy cores took 50 times as long as one. Threads that sleep while they wait
    take no harm, but OpenMP must be told before torch is loaded. So call this first of all; if torch was loaded
    before, busy cores (by the load average) are left alone instead.

    Returns:
        The number of threads.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        for name in THREAD_VARIABLES:  # what OpenMP cannot read it complains about, what it cannot do crashes it
            wanted = os.environ.get(name, "")
            if (wanted and not wanted.isascii()) or (wanted.isdecimal() and not 1 <= int(wanted[:9]) <= most_threads()):
                os.environ[name] = str(min(most_threads(), max(1, int(wanted[:9]))) if wanted.isascii() else 1)
    import torch

    count = wanted_threads(may_spin="OMP_WAIT_POLICY" not in os.environ)
    torch.set_num_threads(count)
    return count


def wanted_threads(may_spin: bool) -> int:
    """What the user's environment asks for, else the number of cores, less the busy ones if threads may spin."""
    for name in THREAD_VARIABLES:
        wanted = os.environ.get(name, "")
        if wanted.isascii() and wanted.isdecimal():
            return min(max(1, int(wanted[:9])), most_threads())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = round(os.getloadavg()[0]) if may_spin and hasattr(os, "getloadavg") else 0
    return max(1, cores - busy)
