"""The folder of one run: which files it holds, and how they are written without ever leaving half of one."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.errors import UserError
from sds.checkpoint import written_whole

if TYPE_CHECKING:  # loads torch and diffusers, which nobody needs who only looks at a run
    from cli.scenes.scene import Request

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
    def preview(self) -> Path:
        """Several views beside what the teacher would draw."""
        return self.path / "preview.png"

    def turntable(self, suffix: str) -> Path:
        """The object turning once, as ".mp4" or ".gif"."""
        return self.path / f"turntable{suffix}"

    def require_free(self, overwrite: bool) -> None:
        """Make sure that a new run may be written here, before any work is done.

        Raises:
            UserError: if the folder holds another run (and ``overwrite`` is false) or something else, if it is a file,
                or if the disk is nearly full.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file; give a folder to --out")
        if self.configuration.exists() and not overwrite:
            raise UserError(
                f"{self.path} holds another run; continue it with --resume {self.path}, choose another --out, "
                "or replace it with --overwrite"
            )
        if self.path.is_dir() and not self.configuration.exists() and any(self.path.iterdir()):
            raise UserError(f"{self.path} is not empty and holds no run of scoresmith; choose another --out")
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
        results = (self.mesh, self.preview, self.metrics, self.turntable(".mp4"), self.turntable(".gif"), self.report)
        for old in (self.checkpoint, self.curves, *results):
            old.unlink(missing_ok=True)
        write_json(self.configuration, configuration)

    def read_configuration(self) -> dict[str, Any]:
        """What the run was asked for. Raises UserError if the folder holds no run."""
        try:
            configuration = json.loads(self.configuration.read_text())
        except FileNotFoundError:
            raise UserError(f"{self.path} holds no run of scoresmith (there is no {self.configuration.name})") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{self.configuration} is damaged: {error}") from None
        if not isinstance(configuration, dict) or "prompt" not in configuration:
            raise UserError(f"{self.configuration} was not written by scoresmith")
        return configuration

    def read_request(self) -> Request:
        """What the user asked for. Raises UserError if the folder holds no run of this version of the software."""
        from cli.scenes.scene import Request

        try:
            return Request(**self.read_configuration()["request"])
        except (KeyError, TypeError):
            raise UserError(f"{self.configuration} was written by another version of scoresmith") from None

    def note_seconds(self, stage: str, seconds: float) -> None:
        """Write into run.json how long a stage has taken."""
        configuration = self.read_configuration()
        configuration["seconds"][stage] = round(seconds, 2)
        write_json(self.configuration, configuration)


def read_json(path: Path) -> dict[str, Any]:
    """What a JSON file says; nothing if there is no such file, or it does not hold an object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` for people and programs to read."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text as it is, on every system: UTF-8, with the line ends that it has."""
    with written_whole(path) as temporary:
        temporary.write_bytes(text.encode())


def folder_name(prompt: str) -> str:
    """A short folder name for a prompt: "A red  armchair!" becomes "a-red-armchair"."""
    words = re.findall(r"[a-z0-9]+", prompt.lower())
    return "-".join(words)[:60].strip("-") or "prompt"
