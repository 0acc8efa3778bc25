"""The log of a training: a line of JSON for each tenth step, and whatever tracker the user likes beside it.

``training/log.jsonl`` is always written. TensorBoard's files lie beside it where TensorBoard is installed; all others
that accelerate knows (wandb, mlflow, aim ...) are asked for by name, since most of them send what they log elsewhere.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import imageio.v3 as imageio

from cli.errors import UserError
from cli.files import LARGEST_TEXT, read_ordinary
from cli.scenes.run_folder import write_text

TENSORBOARD = "tensorboard"
PROJECT = "scoresmith"


class TrainingLog:
    """Where one process of a run, the first, writes its numbers and pictures.

    Args:
        path: of the file of lines.
        done: the step at which the run begins or continues: later lines are of steps that are taken again.
        trackers: names that accelerate knows, beside TensorBoard, which is there wherever it is installed.
        about: what the run is, as numbers and texts.

    Raises:
        UserError: for a tracker that accelerate does not know, or whose package is missing.
    """

    def __init__(self, path: Path, done: int, trackers: Sequence[str] = (), about: Mapping[str, Any] | None = None):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        forget_later_lines(path, done)
        here = (TENSORBOARD,) if find_spec("tensorboard") else ()
        self.trackers = [started(name, path.parent, about or {}) for name in dict.fromkeys((*here, *trackers))]

    def numbers(self, step: int, row: Mapping[str, float]) -> None:
        """Write a line; what is not finite is written as null, since JSON has no other word for it."""
        finite = {name: value if math.isfinite(value) else None for name, value in row.items()}
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(json.dumps({"step": step, **finite}) + "\n")
        for tracker in self.trackers:
            tracker.log(dict(row), step=step)

    def picture(self, step: int, path: Path) -> None:
        """Hand a sheet of samples, a PNG file, to the trackers that take pictures."""
        for tracker in self.trackers:
            if hasattr(tracker, "log_images"):
                tracker.log_images({"samples": imageio.imread(path)[None]}, step=step, **pictures_as(tracker.name))

    def close(self) -> None:
        """End the trackers."""
        for tracker in self.trackers:
            tracker.finish()


def pictures_as(tracker: str) -> dict[str, str]:
    """How a tracker is told that a batch of pictures has its channels last."""
    return {"dataformats": "NHWC"} if tracker == TENSORBOARD else {}


def started(name: str, folder: Path, about: Mapping[str, Any]) -> Any:
    """A tracker of accelerate's that has begun to write. Raises UserError if there is none of that name."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    require_tracker(name)
    tracker = LOGGER_TYPE_TO_CLASS[name]
    # TensorBoard takes a folder and puts a folder of the run's name into it; the others take the project's name.
    begun = tracker(TENSORBOARD, folder) if name == TENSORBOARD else tracker(PROJECT)
    begun.start()
    if name != TENSORBOARD:  # there it would be a run of its own, with nothing in it
        begun.store_init_configuration(dict(about))
    return begun


def require_tracker(name: str) -> None:
    """Raises UserError if accelerate has no tracker of this name, or its package is missing."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    if name not in LOGGER_TYPE_TO_CLASS:
        raise UserError(f"--track {name}: no such tracker; there are {', '.join(sorted(LOGGER_TYPE_TO_CLASS))}")
    if name not in {kind.value for kind in get_available_trackers()}:
        raise UserError(f"--track {name}: its package is not installed; pip install {name}")


def forget_later_lines(path: Path, step: int) -> None:
    """Drop the log's lines after a step, which is where the run continues: those steps are taken again."""
    if not path.exists():
        return
    kept = [line for line in lines_of(path) if line["step"] <= step]
    write_text(path, "".join(json.dumps(line) + "\n" for line in kept))


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a log that say of which step they are; a line that a killed process left half written is none."""
    return [line for text in text_of(path).splitlines() if (line := as_line(text)) is not None]


def text_of(path: Path) -> str:
    """The whole file. Raises UserError if it is no ordinary one, or too large."""
    return read_ordinary(path, LARGEST_TEXT).decode("utf-8", "replace")


def as_line(text: str) -> dict[str, Any] | None:
    """A line of a log, if it is one."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    step = line.get("step") if isinstance(line, dict) else None
    return line if type(step) is int and 0 <= step < 10**19 else None
