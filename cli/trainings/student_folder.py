"""The folder of a student and of its training: which files it holds, and what each begins or continues with."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import torch

from cli import numbers
from cli.errors import UserError
from cli.files import parsed, read_record
from cli.guidance import changed_guidance
from cli.occupied import is_left_over, require_free
from cli.scenes.records import StudentRecord
from cli.scenes.run_folder import state_in, write_json
from sds.guidance import Guidance
from sds.teachers.options import AS_IT_IS, TeacherOptions
from students.folder import CARD
from students.inputs import INPUTS
from students.recipes.catalogue import RECIPES

PACKAGES = ("scoresmith", "torch", "diffusers", "numpy")


LIMITS = (
    ("steps", 1, numbers.MOST_STEPS),
    ("student_steps", 1, 1000),
    ("start", 1e-9, 1),
    ("guidance_scale", 0, numbers.LARGEST_GUIDANCE),
    ("path_steps", 1, 10_000),
    ("critic_steps", 0, 1000),
    ("lora", 1, 1024),
    ("micro_batch", 0, 10**9),
    ("look_every", 0, numbers.MOST_STEPS),
    ("look_images", 0, 10**6),
    ("pairs", 1, 10**9),
    ("batch_size", 1, 10**9),
    ("learning_rate", 0, 10),
    ("seed", 0, numbers.LARGEST_SEED),
)
"""The smallest and the largest value of each number of a request."""


@dataclass(frozen=True)
class DistillRequest:
    """What the user asked for: with the versions of the software, it determines a run completely.

    The attributes are those of `students.recipes.order.Order`; ``images`` is a folder of pictures, or empty;
    ``features`` and ``distance`` are names of `cli.trainings.looks`; ``teacher_options`` change a big teacher.
    Every ``look_every`` steps (0: ten times in a run) a sheet is kept and ``look_images`` images are measured;
    ``track`` names trackers of accelerate's. A ``guidance_scale`` of 0 stands for the teacher's usual one, no
    ``prompts`` for what the pictures show, or else for all that the teacher knows.
    """

    teacher: str
    prompts: list[str]
    method: str
    steps: int
    student_steps: int
    start: float | None
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
    lora: int | None = None
    guidance_interval: tuple[float, float] | None = None
    guidance_parallel: float | None = None
    guidance_rescale: float | None = None
    look_every: int = 0
    look_images: int = 256
    track: list[str] = field(default_factory=list)
    shard: bool = False
    checkpointing: bool = False
    micro_batch: int = 0
    teacher_options: TeacherOptions = AS_IT_IS
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be trained, whoever asks for it: the command line or a file."""
        for prompt in self.prompts:
            numbers.require_prompt(prompt)
        changed_guidance(Guidance(1.0), self.guidance_interval, self.guidance_parallel, self.guidance_rescale)
        if self.method not in RECIPES:
            raise ValueError(f"method must be one of {', '.join(RECIPES)}, not {self.method!r}")
        for name, lowest, highest in LIMITS:
            value = getattr(self, name)  # None leaves it to the recipe, where the type allows it
            if value is not None and not lowest <= value <= highest:
                raise ValueError(f"{name} must lie between {lowest:g} and {highest:g}, not {value}")


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
        """The signals of every tenth step, and what was measured now and then."""
        return self.training / "log.jsonl"

    @property
    def sheet(self) -> Path:
        """What the student draws."""
        return self.training / "samples.png"

    @property
    def sheets(self) -> Path:
        """What it drew before."""
        return self.training / "samples"

    def sheet_after(self, step: int) -> Path:
        """What it drew after a number of steps."""
        return self.sheets / f"{step:08}.png"

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
        exists = self.request.exists()
        if exists:
            self.read_record()
        require_free(self.path, "student", exists, overwrite, self._holds_pairs_only)

    def _holds_pairs_only(self, folder: Path) -> bool:
        """Whether there is nothing but what a run leaves that ended before its first step: the teacher's pairs."""
        files = {path for path in folder.rglob("*") if not path.is_dir() and not is_left_over(path)}
        return files <= {self.pairs}

    def require_own(self) -> None:
        """Raises UserError if what belongs to the training lies elsewhere, where a link leads."""
        for folder in (self.training, self.sheets):
            if folder.is_symlink():
                raise UserError(f"{folder} is a link and was not followed: put the folder itself there")

    def read_record(self) -> StudentRecord:
        """What training/run.json says. Raises UserError if there is none, or it is not ours."""
        self.require_own()
        try:
            return read_record(self.request, StudentRecord)
        except FileNotFoundError:
            raise UserError(
                f"{self.path} holds no run of `scoresmith distill` (there is no training/run.json)"
            ) from None

    def begin(self, request: DistillRequest) -> None:
        """Make the folder ready for a new run. The teacher's pairs stay: whoever reads them checks whose they are."""
        for old in (self.checkpoint, self.log, self.sheet, self.metrics, self.path / CARD, self.path / INPUTS):
            old.unlink(missing_ok=True)
        for old in self.sheets.glob("*.png"):
            old.unlink()
        threads = torch.get_num_threads()
        versions = {name: version(name) for name in PACKAGES}
        write_json(self.request, {"request": asdict(request), "threads": threads, "versions": versions})

    def read_request(self) -> tuple[DistillRequest, int]:
        """What was asked for, and with how many threads. Raises UserError if there is no run of this version."""
        content = self.read_record()
        request = parsed(json.dumps(content["request"]).encode(), DistillRequest, f"{self.request}: request")
        return request, content.get("threads", torch.get_num_threads())

    def read_checkpoint(self) -> dict[str, Any] | None:
        """The state of the run, None if it has none yet. Raises UserError or CheckpointError if it cannot be read."""
        return state_in(self.checkpoint)
