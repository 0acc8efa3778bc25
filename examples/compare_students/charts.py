"""The page of a comparison: fidelity against diversity, and the way there against what was spent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import matplotlib

matplotlib.use("Agg")  # a file, no window
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.transforms import Bbox

FAMILIES: dict[str, tuple[str, Sequence[str]]] = {
    "reference": ("#111111", ("real digits", "real clothes", "teacher, 50 steps", "teacher, 1 step")),
    "matches distributions": ("#c8442c", ("diff-instruct", "dmd", "dmd2", "f-distill", "sid", "density")),
    "adversarial": ("#e09a1f", ("add", "ladd", "asm", "ufogen", "ddgan")),
    "learns the teacher's paths": (
        "#2b6cb0",
        ("one-pass", "progressive", "guidance", "reflow", "instaflow", "dsno", "genie"),
    ),
    "agrees with itself": ("#2f8f5b", ()),
}
"""Colours and members of the families of methods; who is in none of them belongs to the last."""

DISTANCES = (10, 18, 28, 40, 54, 70)
"""Of a label from its point, in points of typography, tried in this order."""


class Judged(Protocol):
    """What is drawn of one result."""

    name: str
    frechet: float
    precision: float
    recall: float
    curve: list[list[float]]


def draw_page(results: Sequence[Judged], single: Sequence[Judged], path: Path) -> None:
    """Write a PNG of three charts: the plane, and how the Frechet distance fell with what was spent.

    In the plane precision goes to the right and recall upwards, and a point is the larger the smaller its distance.
    ``results`` are means over seeds, ``single`` what they are the means of.
    """
    figure = plt.figure(figsize=(15, 10), dpi=110)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.5, 1))
    plane = figure.add_subplot(grid[:, 0])
    draw_seeds(single, plane)
    draw_plane(results, plane)
    draw_curves(results, figure.add_subplot(grid[0, 1]), 2, "seconds of processor time")
    draw_curves(results, figure.add_subplot(grid[1, 1]), 1, "evaluations of the teacher")
    figure.tight_layout()
    place_labels(plane, plane_points(results), [result.name for result in results])
    figure.savefig(path)
    plt.close(figure)


def draw_curves(results: Sequence[Judged], axes: Axes, column: int, spent: str) -> None:
    """The Frechet distance of each method on the way, over the ``column`` of its curve that says what was spent."""
    for (_, (colour, _)), members in zip(FAMILIES.items(), members_of(results), strict=True):
        for result in (results[i] for i in members):
            if result.curve:
                points = np.array(result.curve)
                axes.plot(np.maximum(points[:, column], 1), points[:, 3], color=colour, alpha=0.7, marker=".")
    lines = {result.name: result.frechet for result in results if not result.curve and "1 step" not in result.name}
    for name, frechet in lines.items():
        axes.axhline(frechet, color="#111111", linewidth=0.8, linestyle=":")
        axes.annotate(name, (0.01, frechet), xycoords=("axes fraction", "data"), fontsize=8, va="bottom")
    axes.set_xscale("log" if column == 1 else "linear")
    axes.set_yscale("log")
    axes.set_xlabel(spent)
    axes.set_ylabel("Frechet distance")
    axes.grid(alpha=0.25)


def plane_points(results: Sequence[Judged]) -> np.ndarray:
    """Where each lies in the plane, (results, 2)."""
    return np.array([[result.precision, result.recall] for result in results])


def draw_seeds(results: Sequence[Judged], axes: Axes) -> None:
    """A small pale point for each training."""
    points = plane_points(results)
    for (_, (colour, _)), members in zip(FAMILIES.items(), members_of(results), strict=True):
        axes.scatter(*points[members].T, s=6, c=colour, alpha=0.5, linewidths=0)


def draw_plane(results: Sequence[Judged], axes: Axes) -> None:
    """The points of all results, without their names."""
    points = plane_points(results)
    smallest = min(result.frechet for result in results)
    for (family, (colour, _)), members in zip(FAMILIES.items(), members_of(results), strict=True):
        sizes = [30 + 150 * (smallest / max(results[i].frechet, 1e-9)) ** 0.5 for i in members]
        marker = "*" if family == "reference" else "o"
        axes.scatter(*points[members].T, s=sizes, c=colour, marker=marker, label=family, alpha=0.85, linewidths=0)
    axes.set_xlabel("fidelity: precision")
    axes.set_ylabel("diversity: recall")
    axes.set_xlim(max(-0.05, points[:, 0].min() - 0.08), 1.08)
    axes.set_ylim(-0.05, 1.03)
    axes.grid(alpha=0.25)
    axes.legend(loc="best", frameon=False)


def members_of(results: Sequence[Judged]) -> list[list[int]]:
    """The indices of the results of each family."""
    named = [names for _, names in FAMILIES.values()]
    known = {name for names in named for name in names}
    kinds = [result.name if result.name in known else result.name.split(",")[0] for result in results]
    groups = [[i for i, kind in enumerate(kinds) if kind in names] for names in named]
    groups[-1] += [i for i, kind in enumerate(kinds) if kind not in known]
    return groups


def place_labels(axes: Axes, points: np.ndarray, names: Sequence[str]) -> None:
    """Writes each name beside its point, joined to it by a line, where it covers no point and no other name."""
    figure: Any = axes.figure
    renderer = figure.canvas.get_renderer()
    pixels = axes.transData.transform(points)
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in pixels]
    for name, point in zip(names, points, strict=True):
        for offset in offsets():
            label = axes.annotate(
                name,
                point,
                offset,
                textcoords="offset points",
                fontsize=9,
                ha="left" if offset[0] > 0 else "right",
                va="center",
                arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3},
            )
            label.update_positions(renderer)
            box = Text.get_window_extent(label, renderer).padded(1)  # of the words alone, not of the line
            inside = axes.bbox.fully_contains(*box.min) and axes.bbox.fully_contains(*box.max)
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            label.remove()
        else:
            axes.annotate(name, point, (8, 0), textcoords="offset points", fontsize=9)


def offsets() -> list[tuple[float, float]]:
    """Where a label may be, seen from its point: nearest first, right before left."""
    angles = np.radians([0, 180, 30, 150, -30, 210, 60, 120, -60, 240, 80, 100, -80, 260])
    return [(float(r * np.cos(a)), float(r * np.sin(a))) for r in DISTANCES for a in angles]
