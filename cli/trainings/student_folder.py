"""The folder of a student and of its training: which files it holds, and what each begins or continues with."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from cli.errors import UserError
from cli.scenes.run_folder import write_json
from sds.checkpoint import written_whole
from sds.teachers.folder import checked_json
from students.folder import CARD
from students.inputs import INPUTS

PACKAGES = ("scoresmith", "torch", "diffusers", "numpy")


@dataclass(frozen=True)
class DistillRequest:
    """What the user asked for: with the versions of the software, it determines a run completely.

    The attributes are those of `students.recipes.order.Order`; ``images`` is a folder of pictures, or empty;
    ``features`` and ``distance`` are names of `cli.trainings.looks`.
    A ``guidance_scale`` of 0 stands for the teacher's usual one, no ``prompts`` for what the pictures show, or else for
    all that the teacher knows.
    """

    teacher: str
    prompts: list[str]
    method: str
    steps: int
    student_steps: int
    start: float
    guidance_scale: float
    path_steps: int
    critic_steps: int
    pairs: int
    images: str
    features: str
    distance: str
    bfloat16: bool
    batch_size: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class StudentFolder:
    """The files of a student and of its training.

    Attributes:
        path: the folder, in the diffusers layout.
    """

    path: Path

    @property
    def training(self) -> Path:
        """Everything that is no part of the student."""
        return self.path / "training"

    @property
    def request(self) -> Path:
        """What was asked for."""
        return self.training / "run.json"

    @property
    def checkpoint(self) -> Path:
        """The state of the run."""
        return self.training / "checkpoint.pt"

    @property
    def log(self) -> Path:
        """The signals of every tenth step."""
        return self.training / "log.csv"

    @property
    def sheet(self) -> Path:
        """What the student draws."""
        return self.training / "samples.png"

    @property
    def metrics(self) -> Path:
        """What `scoresmith evaluate` has measured."""
        return self.training / "metrics.json"

    @property
    def pairs(self) -> Path:
        """The teacher's pairs."""
        return self.training / "pairs.safetensors"

    def require_free(self, overwrite: bool) -> None:
        """Make sure that a student may be written here. Raises UserError if the folder holds something already."""
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file; give a folder to --out")
        if self.request.exists() and not overwrite:
            raise UserError(
                f"{self.path} holds another student; continue it with --resume {self.path}, choose another --out, or "
                "replace it with --overwrite"
            )
        if self.path.is_dir() and not self.request.exists() and any(self.path.iterdir()):
            raise UserError(f"{self.path} is not empty and holds no student of scoresmith; choose another --out")

    def begin(self, request: DistillRequest) -> None:
        """Make the folder ready for a new run. The teacher's pairs stay: whoever reads them checks whose they are."""
        for old in (self.checkpoint, self.log, self.sheet, self.metrics, self.path / CARD, self.path / INPUTS):
            old.unlink(missing_ok=True)
        threads = torch.get_num_threads()
        versions = {name: version(name) for name in PACKAGES}
        write_json(self.request, {"request": asdict(request), "threads": threads, "versions": versions})

    def read_request(self) -> tuple[DistillRequest, int]:
        """What was asked for, and with how many threads. Raises UserError if there is no run of this version."""
        if not self.request.is_file():
            raise UserError(f"{self.path} holds no run of `scoresmith distill` (there is no training/run.json)")
        try:
            content = checked_json(self.request)
            return DistillRequest(**content["request"]), int(content["threads"])
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{self.request} is damaged, or of another version of scoresmith") from None


def log(path: Path, row: dict[str, float]) -> None:
    """Append a line; the first one is preceded by the names of the columns."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row.keys())
        if new:
            writer.writeheader()
        writer.writerow(row)


def forget_later_lines(path: Path, step: int) -> None:
    """Drop the log's lines after a step, which is where the run continues: those steps are taken again."""
    if not path.exists():
        return
    header, *lines = path.read_text().splitlines(keepends=True) or [""]
    # A line that a killed process left half written has no end.
    kept = [line for line in lines if line.endswith("\n") and int(line.split(",")[0]) <= step]
    with written_whole(path) as temporary:
        temporary.write_text("".join([header, *kept]))
