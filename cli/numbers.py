"""Numbers and texts on the command line, checked while it is read: before anything is loaded or made."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from cli.errors import UserError

LARGEST_SEED = 2**63 - 1
LARGEST_GUIDANCE = 1000.0
MOST_STEPS = 10**7
LONGEST_PROMPT = 300
MOST_PARTICLES = 64
MOST_SHAPES = 4096


def whole(lowest: int, highest: int) -> Callable[[str], int]:
    """A type for argparse: a whole number from ``lowest`` to ``highest``."""

    def convert(text: str) -> int:
        digits = text.strip().removeprefix("+").removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):
            raise argparse.ArgumentTypeError(f"{shortened(text)} is no whole number")
        if len(digits) > 25 or not lowest <= int(text) <= highest:
            raise argparse.ArgumentTypeError(f"must be a whole number from {lowest} to {highest}: {shortened(text)}")
        return int(text)

    return convert


def number(lowest: float, highest: float, without_lowest: bool = False) -> Callable[[str], float]:
    """A type for argparse: a finite number from ``lowest`` (or above it) to ``highest``."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{shortened(text)} is no number") from None
        if not (lowest < value if without_lowest else lowest <= value) or not value <= highest or math.isnan(value):
            bounds = f"above {lowest:g}, at most {highest:g}" if without_lowest else f"from {lowest:g} to {highest:g}"
            raise argparse.ArgumentTypeError(f"must be a number {bounds}, not {shortened(text)}")
        return value

    return convert


seed = whole(0, LARGEST_SEED)
guidance_scale = number(0.0, LARGEST_GUIDANCE)
steps = whole(1, MOST_STEPS)


def shortened(text: str) -> str:
    """What the user wrote, as far as a message has room for it."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def checked_prompt(prompt: str) -> str:
    """The prompt without needless spaces. Raises UserError if it is empty, absurdly long or not printable.

    Bytes that are no text in the encoding of the user's terminal are read as Windows and Latin-1 terminals write them.
    """
    try:
        prompt.encode()
    except UnicodeEncodeError:
        prompt = prompt.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
    prompt = " ".join(prompt.split())
    require_prompt(prompt)
    return prompt


def require_prompt(prompt: str) -> None:
    """Raises UserError (which is a ValueError) for a prompt that is empty, absurdly long or not printable."""
    if not prompt.strip():
        raise UserError('the prompt is empty; say what to make, for example "a red armchair"')
    if len(prompt) > LONGEST_PROMPT:
        raise UserError(f"the prompt has {len(prompt)} characters; teachers read at most about {LONGEST_PROMPT}")
    if not prompt.isprintable():
        raise UserError("the prompt holds characters that cannot be printed")


def require_memory(needed: float, what: str) -> None:
    """Raises UserError if ``needed`` bytes for ``what`` are more than this machine has free."""
    free = available_memory()
    if free is not None and needed > free:
        raise UserError(
            f"{what} would need about {needed / 2**30:,.1f} GB of memory; {free / 2**30:.1f} GB are free here"
        )


def available_memory() -> int | None:
    """Bytes of memory that can still be had; None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
