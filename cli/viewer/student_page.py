"""What the page of a distilled student shows: its samples, its curves, and how it was trained."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from cli.errors import UserError
from cli.scenes.run_folder import read_json
from cli.trainings.student_folder import StudentFolder
from cli.viewer.charts import Curve, chart
from cli.viewer.markup import Markup, element, joined
from cli.viewer.page import Page, data_address, folded, page_footer, page_header, section


def student_page(folder: StudentFolder) -> Page:
    """The page of a student, whatever of it is there yet.

    Raises:
        UserError: if the folder holds no student, or its run.json is damaged.
    """
    configuration = read_json(folder.request)
    request = configuration.get("request")
    if not isinstance(request, dict):
        raise UserError(f"{folder.request} is damaged, or of another version of scoresmith")
    method, steps = str(request.get("method", "")), int(request.get("student_steps", 1))
    sentence = f"A student of {request.get('teacher')} that draws in {'one step' if steps == 1 else f'{steps} steps'}."
    sheet = []
    if folder.sheet.is_file():
        address = data_address(folder.sheet.read_bytes(), "image/png")
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
                folded("Measured", read_json(folder.metrics)),
                folded("Request", request),
                folded("Versions", configuration.get("versions", {})),
            ),
        ),
        page_footer(configuration),
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
        with log.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = list(csv.DictReader(file))
    except (FileNotFoundError, csv.Error):
        return {}
    signals: dict[str, dict[float, float]] = {}
    for row in rows:
        step = number(row.pop("step", None))
        for name, cell in row.items():
            value = number(cell)
            if step is not None and value is not None:
                signals.setdefault(name, {})[step] = value
    return {name: (sorted(points), [points[step] for step in sorted(points)]) for name, points in signals.items()}


def number(cell: str | None) -> float | None:
    """A cell as a finite number; None if it is not one."""
    try:
        value = float(cell or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
