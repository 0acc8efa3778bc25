"""Measuring times and memory for the benchmarks."""

import resource
import sys
import time
from collections.abc import Callable


def cpu_seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """The least processor time, over all threads, that `work` took in several runs after a first, unmeasured one.

    Processor time, because it changes little when other programs run beside the benchmark.
    """
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def peak_memory() -> float:
    """The most memory this process has used so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
