"""What the page of a distilled student shows: its samples, its curves, and how it was trained."""

from __future__ import annotations

import math
from pathlib import Path

from cli.errors import UserError, unless_damaged
from cli.files import is_ordinary, read_ordinary, read_record
from cli.pictures import LARGEST_PICTURE
from cli.scenes.curves import LARGEST_VALUE
from cli.scenes.records import StudentRecord
from cli.scenes.run_folder import read_json
from cli.trainings.log import lines_of
from cli.trainings.student_folder import StudentFolder
from cli.viewer.charts import Curve, chart
from cli.viewer.markup import Markup, element, joined
from cli.viewer.page import Page, data_address, folded, page_footer, page_header, section

MOST_SIGNALS = 64
"""Numbers of a line of the log that are drawn."""

MOST_SHEETS = 12
"""Earlier sheets of samples on the page."""


def student_page(folder: StudentFolder) -> Page:
    """The page of a student, whatever of it is there yet.

    Raises:
        UserError: if the folder holds no student, or its run.json is damaged.
    """
    folder.require_own()
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
    earlier = [
        element("figure", element("img", src=address, alt=caption, class_="sheet"), element("figcaption", caption))
        for caption, address in earlier_sheets(folder)
    ]
    drawn = section("What it draws", "One column for each of a few prompts, three images each.", *sheet)
    body = joined(
        page_header(folder.path.name or method, f"{sentence} Distilled by {method}."),
        element(
            "main",
            drawn if sheet else "",
            curves_of_training(folder.log),
            section("How it came about", "", element("details", element("summary", "Earlier sheets"), *earlier))
            if earlier
            else "",
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


def earlier_sheets(folder: StudentFolder) -> list[tuple[str, str]]:
    """(caption, address) of the last `MOST_SHEETS` sheets that were kept during the training."""
    paths = sorted(path for path in folder.sheets.glob("*.png") if path.stem.isascii() and path.stem.isdigit())
    ordinary = [path for path in paths if is_ordinary(path)][-MOST_SHEETS:]
    return [
        (f"After {int(path.stem)} steps", data_address(read_ordinary(path, LARGEST_PICTURE), "image/png"))
        for path in ordinary
    ]


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
        rows = lines_of(log)
    except (FileNotFoundError, UserError):
        return {}
    signals: dict[str, dict[float, float]] = {}
    for row in rows:
        step = float(row.pop("step"))
        for name, cell in list(row.items())[:MOST_SIGNALS]:
            if type(cell) in (int, float) and math.isfinite(cell) and abs(cell) <= LARGEST_VALUE:
                signals.setdefault(name, {})[step] = float(cell)
    return {name: (sorted(points), [points[step] for step in sorted(points)]) for name, points in signals.items()}
