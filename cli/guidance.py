"""How guidance acts: the options that scenes, samplers and students share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from cli import numbers

if TYPE_CHECKING:  # loads torch
    from sds.guidance import Guidance


def add_guidance_options(how: argparse._ArgumentGroup) -> None:
    """The options of how guidance acts, which scenes, samplers and students share."""
    how.add_argument(
        "--guidance-interval",
        type=interval,
        metavar="LOW,HIGH",
        help="follow the prompt only at these noise levels in [0, 1] (default: 0,1)",
    )
    how.add_argument(
        "--guidance-parallel",
        type=numbers.number(0, 1),
        metavar="SHARE",
        help="of guidance along the prediction that is kept: 0 is APG, which saturates less (default: 1)",
    )
    how.add_argument(
        "--guidance-rescale",
        type=numbers.number(0, 1),
        metavar="SHARE",
        help="of the contrast added by guidance that is taken back, as Lin et al. do (default: the recipe's)",
    )


def changed_guidance(
    guidance: Guidance, interval: tuple[float, float] | None, parallel: float | None, rescale: float | None
) -> Guidance:
    """``guidance`` with what was asked for; None leaves a value as it is. Raises ValueError for impossible values."""
    if interval is not None:
        guidance = replace(guidance, interval=interval)
    if parallel is not None:
        guidance = replace(guidance, parallel=parallel)
    return guidance if rescale is None else replace(guidance, rescale=rescale)


def interval(text: str) -> tuple[float, float]:
    """A type for argparse: two rising numbers in [0, 1], with a comma between."""
    parse: Callable[[str], float] = numbers.number(0, 1)
    parts = text.split(",")
    if len(parts) != 2 or not parse(parts[0]) <= parse(parts[1]):
        raise argparse.ArgumentTypeError(f"{numbers.shortened(text)} is not LOW,HIGH with 0 <= LOW <= HIGH <= 1")
    return parse(parts[0]), parse(parts[1])
