"""The plane of fidelity and diversity: a point for each method, with a label that covers no other."""

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
    "reference": ("#111111", ("real digits", "teacher, 50 steps", "teacher, 1 step")),
    "matches distributions": ("#c8442c", ("diff-instruct", "dmd", "dmd2", "f-distill", "sid")),
    "adversarial": ("#e09a1f", ("add", "asm", "ufogen", "ddgan")),
    "learns the teacher's paths": (
        "#2b6cb0",
        ("one-pass", "progressive", "guidance", "reflow", "instaflow", "dsno"),
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


def draw_plane(results: Sequence[Judged], path: Path) -> None:
    """Write a PNG: precision to the right, recall upwards, the larger a point the smaller its Frechet distance."""
    figure, axes = plt.subplots(figsize=(10, 7.5), dpi=130)
    points = np.array([[result.precision, result.recall] for result in results])
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
    axes.legend(loc="upper left", frameon=False)
    figure.tight_layout()
    place_labels(axes, points, [result.name for result in results])
    figure.savefig(path)
    plt.close(figure)


def members_of(results: Sequence[Judged]) -> list[list[int]]:
    """The indices of the results of each family."""
    named = [names for _, names in FAMILIES.values()]
    known = {name for names in named for name in names}
    groups = [[i for i, result in enumerate(results) if result.name in names] for names in named]
    groups[-1] += [i for i, result in enumerate(results) if result.name not in known]
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
