"""The curves of a run: a CSV file with a line for each step, which a resumed run continues without gap or double."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, fields
from pathlib import Path

from cli.files import LARGEST_TEXT, read_ordinary
from sds.checkpoint import written_whole


@dataclass(frozen=True)
class CurvePoint:
    """What is noted of one step.

    Attributes:
        step: counted from 1, over all stages.
        stage: the name of the stage that it belongs to.
        gradient_size: root mean square of the score gradient.
        distance: root mean square of what the teacher would like to see minus what there is, in the teacher's x.
        learning_rate: factor on the representation's own learning rates.
        critic_loss: of the critic's last update, where the method trains one.
        recognition: probability of the noun in [0, 1], at the steps where it was looked at.
    """

    step: int
    stage: str
    gradient_size: float
    distance: float
    learning_rate: float
    critic_loss: float | None = None
    recognition: float | None = None


COLUMNS = tuple(field.name for field in fields(CurvePoint))


class CurveLog:
    """Appends to a file of curves.

    Every line is in the file before the checkpoint of its step can be, so a run that continues from a checkpoint finds
    the lines of all steps before it; those after it are dropped, since those steps are taken again.

    Args:
        path: of the CSV file.
        done: steps, over all stages, that the run begins after.
    """

    def __init__(self, path: Path, done: int) -> None:
        self.path = path
        kept = [point for point in read_curves(path) if point.step <= done] if done else []
        with written_whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(map(written, kept))

    def add(self, point: CurvePoint) -> None:
        """Append one line, which is in the file when this returns."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(written(point))


def written(point: CurvePoint) -> list[str]:
    """The cells of a point. Numbers have six significant digits, which reading and writing again does not change."""
    cells = (getattr(point, name) for name in COLUMNS)
    return [f"{cell:.6g}" if isinstance(cell, float) else "" if cell is None else str(cell) for cell in cells]


def read_curves(path: Path) -> list[CurvePoint]:
    """The points of a file, as far as its lines are whole and its numbers finite; none if there is no file.

    Lines that a full disk or a killed process left half written are skipped, and so is whatever else cannot be read:
    steps that do not follow one another, numbers that no run has.

    Raises:
        UserError: if the file is a link, no ordinary file, or too large.
    """
    try:
        text = read_ordinary(path, LARGEST_TEXT).decode("utf-8", "replace")
        points = [point_of(row) for row in csv.DictReader(io.StringIO(text, newline=""))]
    except (FileNotFoundError, csv.Error):
        return []
    ascending: list[CurvePoint] = []
    for point in points:
        if point is not None and (not ascending or point.step > ascending[-1].step):
            ascending.append(point)
    return ascending


LARGEST_STEP, LARGEST_VALUE, LONGEST_STAGE = 10**9, 1e30, 40


def point_of(row: dict[str, str]) -> CurvePoint | None:
    """One line as a point; None if it is not one."""
    try:
        point = CurvePoint(
            int(row["step"]),
            row["stage"],
            float(row["gradient_size"]),
            float(row["distance"]),
            float(row["learning_rate"]),
            float(row["critic_loss"]) if row["critic_loss"] else None,
            float(row["recognition"]) if row["recognition"] else None,
        )
    except (KeyError, TypeError, ValueError):
        return None
    numbers = (point.gradient_size, point.distance, point.learning_rate, point.critic_loss, point.recognition)
    sound = all(number is None or (math.isfinite(number) and abs(number) <= LARGEST_VALUE) for number in numbers)
    share = point.recognition is None or 0 <= point.recognition <= 1
    named = 0 < len(point.stage) <= LONGEST_STAGE
    return point if sound and share and named and 0 < point.step <= LARGEST_STEP else None
