"""Curves as inline SVG: sharp at any size, readable without scripts; charts.js adds the values under the pointer."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cli.viewer.markup import Markup, element, joined
from cli.viewer.words import plain

WIDTH, HEIGHT = 360, 150
"""Units of the drawing, which is stretched to the width of its column."""

LEFT, RIGHT, TOP, BOTTOM = 40, 8, 8, 22
"""Margins around the plot, for the numbers on its axes."""

MOST_POINTS = 120
"""A curve of more points is drawn as the mean of so many groups of neighbours, over the range of each."""

TICKS = 3


@dataclass(frozen=True)
class Curve:
    """One quantity over a run.

    Attributes:
        name: as a heading.
        explanation: one sentence on how to read it.
        steps: (N,) ascending, where it was measured.
        values: (N,) finite.
        written: how a value is written.
        marks: places on the axis of steps that deserve a line, with their names: where stages begin.
    """

    name: str
    explanation: str
    steps: Sequence[float]
    values: Sequence[float]
    written: Callable[[float], str] = plain
    marks: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True)
class Groups:
    """Neighbouring points together: mean step, and mean, smallest and largest value, each (G,)."""

    steps: np.ndarray
    means: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray


def grouped(steps: Sequence[float], values: Sequence[float], most: int = MOST_POINTS) -> Groups:
    """At most ``most`` groups of equally many neighbours (up to one)."""
    count = min(most, len(steps))
    parts = [np.asarray(part) for part in np.array_split(np.column_stack([steps, values]), count)]
    return Groups(
        np.array([part[:, 0].mean() for part in parts]),
        np.array([part[:, 1].mean() for part in parts]),
        np.array([part[:, 1].min() for part in parts]),
        np.array([part[:, 1].max() for part in parts]),
    )


def round_ticks(low: float, high: float, count: int = TICKS) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, at least two of them, whose ends enclose [low, high]."""
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5 * max(abs(low), 1e-3), high + 0.5 * max(abs(high), 1e-3)
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, max(last, first + 1) + 1)]


def chart(curve: Curve) -> Markup:
    """A figure of one curve. Raises ValueError if it has no point or one that is not finite."""
    if not len(curve.steps) or not np.isfinite([*curve.steps, *curve.values]).all():
        raise ValueError(f"the curve '{curve.name}' needs finite points to be drawn")
    groups = grouped(curve.steps, curve.values)
    ticks = round_ticks(min(0.0, groups.lowest.min()), groups.highest.max())
    end = max(curve.steps[-1], 1)

    def across(step: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * step / end, 1)

    def up(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - ticks[0]) / (ticks[-1] - ticks[0]), 1)

    path = [(across(x), up(y)) for x, y in zip(groups.steps, groups.means, strict=True)]
    points = [
        [x, y, f"{curve.written(float(mean))} at step {step:.0f}"]
        for (x, y), mean, step in zip(path, groups.means, groups.steps, strict=True)
    ]
    band = [(across(x), up(y)) for x, y in zip(groups.steps, groups.highest, strict=True)]
    band += [(across(x), up(y)) for x, y in zip(groups.steps[::-1], groups.lowest[::-1], strict=True)]
    drawing = joined(
        *(horizontal(up(tick), curve.written(tick)) for tick in ticks),
        *(vertical(across(step), name) for step, name in curve.marks),
        element("text", "0", x=LEFT, y=HEIGHT - 6),
        element("text", f"{end:,.0f} steps", x=WIDTH - RIGHT, y=HEIGHT - 6, text_anchor="end"),
        element("polygon", points=coordinates(band), class_="band"),
        element("polyline", points=coordinates(path), class_="line"),
        element("circle", cx=path[-1][0], cy=path[-1][1], r=3, class_="last"),
        cursor(),
    )
    first, last = curve.written(float(groups.means[0])), curve.written(float(groups.means[-1]))
    described = f"{curve.name}: from {first} to {last} over {end:,.0f} steps"
    return element(
        "figure",
        element("figcaption", element("span", curve.name), element("output", last)),
        element("svg", drawing, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=described),
        element("p", curve.explanation) if curve.explanation else Markup(""),
        class_="chart",
        tabindex=0,
        data_points=json.dumps(points, separators=(",", ":")),
        data_width=WIDTH,
        data_last=last,
    )


def horizontal(y: float, label: str) -> Markup:
    """A line of the grid and its number."""
    return joined(
        element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"),
        element("text", label, x=LEFT - 6, y=y + 3.5, text_anchor="end"),
    )


def vertical(x: float, label: str) -> Markup:
    """A mark at a step and its name."""
    return joined(
        element("line", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM, class_="mark"),
        element("text", label, x=x + 4, y=TOP + 9),
    )


def cursor() -> Markup:
    """The line and the point that follow the pointer."""
    return element(
        "g",
        element("line", x1=0, x2=0, y1=TOP, y2=HEIGHT - BOTTOM),
        element("circle", cx=0, cy=0, r=3.5),
        class_="cursor",
    )


def coordinates(points: Sequence[tuple[float, float]]) -> str:
    """Points as SVG writes them."""
    return " ".join(f"{x:g},{y:g}" for x, y in points)
