"""The folder of one run: which files it holds, and how they are written without ever leaving half of one."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.errors import UserError
from cli.files import LARGEST_TEXT, is_ordinary, parsed, read_ordinary, read_record, validator
from cli.occupied import require_free, working_in
from cli.scenes.records import MetricsRecord, RunRecord
from sds.checkpoint import load_checkpoint, written_whole

if TYPE_CHECKING:  # loads torch and diffusers, which nobody needs who only looks at a run
    from cli.scenes.request import Request

SMALLEST_FREE_SPACE = 100 * 2**20
"""Bytes that must be free before a run begins: several times what its files and one checkpoint in the making take."""


@dataclass(frozen=True)
class RunFolder:
    """The files of a run.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def configuration(self) -> Path:
        """What was asked for, by which versions, and how long it took."""
        return self.path / "run.json"

    @property
    def options(self) -> Path:
        """What was asked for, as `--config` reads it."""
        return self.path / "run.toml"

    @property
    def metrics(self) -> Path:
        """What was measured."""
        return self.path / "metrics.json"

    @property
    def checkpoint(self) -> Path:
        """The state of the run, from which `--resume` continues."""
        return self.path / "checkpoint.pt"

    @property
    def curves(self) -> Path:
        """What happened step by step."""
        return self.path / "curves.csv"

    @property
    def report(self) -> Path:
        """The page of the run, with everything inside."""
        return self.path / "report.html"

    @property
    def mesh(self) -> Path:
        """The result."""
        return self.path / "mesh.glb"

    @property
    def vectors(self) -> Path:
        """The result of a run that draws shapes."""
        return self.path / "picture.svg"

    def gaussians(self, suffix: str) -> Path:
        """The result of a run of 3D Gaussians, as ".ply", ".splat" or ".spz"."""
        return self.path / f"gaussians{suffix}"

    @property
    def preview(self) -> Path:
        """Several views beside what the teacher would draw."""
        return self.path / "preview.png"

    @property
    def particles(self) -> Path:
        """Several objects of one run side by side, a row each."""
        return self.path / "particles.png"

    def of_particle(self, number: int) -> RunFolder:
        """Where the results of one of several objects lie: of the first (0) here, of the others in a folder each."""
        return self if number == 0 else RunFolder(self.path / f"particle-{number + 1}")

    def turntable(self, suffix: str) -> Path:
        """The object turning once, as ".mp4" or ".gif"."""
        return self.path / f"turntable{suffix}"

    def require_free(self, overwrite: bool) -> None:
        """Make sure that a new run may be written here, before any work is done.

        Raises:
            UserError: if the folder holds another run (and ``overwrite`` is false) or something else, if it is a file,
                or if the disk is nearly full.
        """
        exists = self.configuration.exists()
        if exists:
            self.read_configuration()  # a file of that name that another program wrote: its neighbours are not ours
        require_free(self.path, "run", exists, overwrite)
        existing = next(parent for parent in (self.path.absolute(), *self.path.absolute().parents) if parent.exists())
        free = shutil.disk_usage(existing).free
        if free < SMALLEST_FREE_SPACE:
            raise UserError(
                f"only {free / 2**20:.0f} MB are free where {self.path} would be written; "
                f"a run needs {SMALLEST_FREE_SPACE / 2**20:.0f} MB"
            )

    def begin(self, configuration: dict[str, Any], overwrite: bool) -> None:
        """Make the folder ready for a new run: `require_free`, then remove an old run and write run.json."""
        self.require_free(overwrite)
        for other in self.path.glob("particle-*"):
            if other.is_dir() and not other.is_symlink():
                shutil.rmtree(other)
        pictures = (self.preview, self.particles, self.turntable(".mp4"), self.turntable(".gif"))
        results = (
            self.mesh,
            self.vectors,
            self.gaussians(".ply"),
            self.gaussians(".splat"),
            self.gaussians(".spz"),
            self.metrics,
            self.report,
            *pictures,
        )
        for old in (self.checkpoint, self.curves, *results):
            old.unlink(missing_ok=True)
        write_json(self.configuration, configuration)

    @contextmanager
    def occupied(self) -> Iterator[None]:
        """Nobody else writes the run during the block, see `cli.occupied.working_in`."""
        with working_in(self.path):
            yield

    def read_configuration(self) -> RunRecord:
        """What run.json says. Raises UserError if the folder holds no run, or what it says was not written by us."""
        try:
            return read_record(self.configuration, RunRecord)
        except FileNotFoundError:
            raise UserError(f"{self.path} holds no run of scoresmith (there is no {self.configuration.name})") from None

    def read_metrics(self) -> MetricsRecord:
        """What was measured; nothing if that has not come yet. Raises UserError if the file says something else."""
        try:
            return read_record(self.metrics, MetricsRecord)
        except FileNotFoundError:
            return {}

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write what was measured, as `read_metrics` will read it.

        Raises pydantic.ValidationError, with nothing written, for what it would not.
        """
        write_json(self.metrics, dict(validator(MetricsRecord).validate_python(metrics)))

    def read_request(self) -> Request:
        """What the user asked for. Raises UserError if the folder holds no run of this version of the software."""
        from cli.scenes.request import Request

        content = self.read_configuration()["request"]
        return parsed(json.dumps(content).encode(), Request, f"{self.configuration}: request")

    def read_checkpoint(self) -> dict[str, Any] | None:
        """The state of the run, None if it has none yet. Raises UserError or CheckpointError if it cannot be read."""
        return state_in(self.checkpoint)

    def note_seconds(self, stage: str, seconds: float) -> None:
        """Write into run.json how long a stage has taken."""
        configuration = self.read_configuration()
        configuration.setdefault("seconds", {})[stage] = round(seconds, 2)
        write_json(self.configuration, dict(configuration))


def state_in(checkpoint: Path) -> dict[str, Any] | None:
    """What a checkpoint holds, None if there is none. Raises UserError or CheckpointError if it cannot be read."""
    if is_ordinary(checkpoint):
        return load_checkpoint(checkpoint)
    if checkpoint.is_symlink() or checkpoint.exists():
        raise UserError(f"{checkpoint} is no ordinary file")
    return None


def read_json(path: Path) -> dict[str, Any]:
    """What a JSON file says; nothing if there is no such file. Raises UserError if it is no JSON object of ours."""
    try:
        return parsed(read_ordinary(path, LARGEST_TEXT), dict[str, Any], str(path))
    except FileNotFoundError:
        return {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` for people and programs to read."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text as it is, on every system: UTF-8, with the line ends that it has."""
    with written_whole(path) as temporary:
        temporary.write_bytes(text.encode())


def folder_name(prompt: str) -> str:
    """A short folder name for a prompt: "A red  armchair!" becomes "a-red-armchair", letters of all scripts stay.

    A prompt without a letter or digit is named by a number of its own.
    """
    name = "-".join(re.findall(r"[^\W_]+", prompt.casefold()))[:60].strip("-")
    while len(name.encode()) > 200:  # file systems count bytes
        name = name[:-1]
    return name or f"prompt-{fingerprint(prompt)}"


def fingerprint(text: str) -> str:
    """Eight digits that differ where texts differ."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]
