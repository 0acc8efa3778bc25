"""Objects an hour of `generate --prompts-file --workers`, one process against several, with the embedded teacher.

    python -m tests.benchmarks.workers [WORKERS] [PROMPTS]

The machine should do nothing else, and have as many free cores as workers.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

NOUNS = ("chair", "cup", "car", "horse", "lamp", "cactus", "house", "mug")


def objects_an_hour(workers: int, count: int, root: Path) -> float:
    """Make ``count`` objects from nothing; what the processes take to begin is a part of it."""
    prompts = root / "prompts.txt"
    prompts.write_text("".join(f"a red {NOUNS[number % len(NOUNS)]}\n" for number in range(count)))
    out = root / f"workers-{workers}"
    command = [sys.executable, "-m", "cli.main", "generate", "--prompts-file", str(prompts), "--out", str(out)]
    began = time.monotonic()
    subprocess.run([*command, "--workers", str(workers)], check=True, stdout=subprocess.DEVNULL)
    return 3600 * count / (time.monotonic() - began)


def main(workers: int = 2, count: int = 8) -> None:
    """Print both rates and their ratio."""
    if count > len(NOUNS):
        raise SystemExit(f"at most {len(NOUNS)} prompts: folders are named by them")
    with tempfile.TemporaryDirectory() as scratch:
        one, many = (objects_an_hour(number, count, Path(scratch)) for number in (1, workers))
    print(f"{count} objects: {one:.0f} an hour with one process, {many:.0f} with {workers}: {many / one:.2f} times")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
