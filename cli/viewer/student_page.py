"""What the page of a distilled student shows: its samples, its curves, and how it was trained."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from cli.errors import UserError
from cli.files import LARGEST_TEXT, is_ordinary, read_ordinary, read_record
from cli.pictures import LARGEST_PICTURE
from cli.scenes.curves import LARGEST_VALUE
from cli.scenes.records import StudentRecord
from cli.scenes.run_folder import read_json
from cli.trainings.student_folder import StudentFolder
from cli.viewer.charts import Curve, chart
from cli.viewer.markup import Markup, element, joined
from cli.viewer.page import Page, data_address, folded, page_footer, page_header, section
from cli.viewer.run_page import unless_damaged

MOST_SIGNALS = 64
"""Columns of a log that are drawn."""


def student_page(folder: StudentFolder) -> Page:
    """The page of a student, whatever of it is there yet.

    Raises:
        UserError: if the folder holds no student, or its run.json is damaged.
    """
    try:
        configuration = read_record(folder.request, StudentRecord)
    except FileNotFoundError:
        raise UserError(f"{folder.path} holds no student of scoresmith (there is no training/run.json)") from None
    request = configuration["request"]
    method, steps = str(request.get("method", "")), request.get("student_steps", 1)
    sentence = f"A student of {request.get('teacher')} that draws in {'one step' if steps == 1 else f'{steps} steps'}."
    sheet = []
    if is_ordinary(folder.sheet):
        address = data_address(read_ordinary(folder.sheet, LARGEST_PICTURE), "image/png")
        sheet = [element("img", src=address, alt="Images drawn by the student", class_="sheet")]
    drawn = section("What it draws", "One column for each of a few prompts, three images each.", *sheet)
    body = joined(
        page_header(folder.path.name or method, f"{sentence} Distilled by {method}."),
        element(
            "main",
            drawn if sheet else "",
            curves_of_training(folder.log),
            section(
                "How it was trained",
                "",
                folded("Measured", unless_damaged(lambda: read_json(folder.metrics), {})),
                folded("Request", request),
                folded("Versions", dict(configuration["versions"])),
            ),
        ),
        page_footer(configuration["versions"]),
    )
    return Page(f"{folder.path.name} · scoresmith", body)


def curves_of_training(log: Path) -> Markup:
    """Every signal that the log holds, as a chart; nothing if there is no log."""
    signals = read_signals(log)
    charts = [
        chart(Curve(name.replace("_", " ").capitalize(), "", steps, values))
        for name, (steps, values) in signals.items()
        if steps
    ]
    return section("Curves", "", element("div", *charts, class_="charts")) if charts else Markup("")


def read_signals(log: Path) -> dict[str, tuple[list[float], list[float]]]:
    """The columns of a training's log: steps and values of each signal, as far as they are finite numbers.

    A step that is there twice, because the training was resumed from before it, counts as it was taken last.
    """
    try:
        text = read_ordinary(log, LARGEST_TEXT).decode("utf-8", "replace")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except (FileNotFoundError, UserError, csv.Error):
        return {}
    signals: dict[str, dict[float, float]] = {}
    for row in rows:
        step = number(row.pop("step", None))
        for name, cell in list(row.items())[:MOST_SIGNALS]:
            value = number(cell) if isinstance(name, str) and isinstance(cell, str) else None
            if step is not None and value is not None:
                signals.setdefault(name, {})[step] = value
    return {name: (sorted(points), [points[step] for step in sorted(points)]) for name, points in signals.items()}


def number(cell: str | None) -> float | None:
    """A cell as a finite number; None if it is not one."""
    try:
        value = float(cell or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) <= LARGEST_VALUE else None
