"""The teacher that travels inside the package, and what every teacher of its kind can do."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from sds.denoiser import NeuralTeacher
from sds.teachers.embedded_words import Lexicon, Understanding
from sds.teachers.folder import open_teacher_folder
from sds.teachers.shape_teacher import load_shape_teacher
from sds.teachers.view_teacher import load_view_teacher

EMBEDDED_FOLDER = Path(__file__).parent / "embedded"


@runtime_checkable
class SmallTeacher(NeuralTeacher, Protocol):
    """A teacher of few words that imagines a thing before it sees any noise, and is small enough for a CPU."""

    @property
    def knows_looks(self) -> bool:
        """Whether a view may ask for one of `sds.teachers.layers.Look`; else every picture is lit."""
        ...

    @property
    def lexicon(self) -> Lexicon | None:
        """What it reads prompts with."""
        ...

    def understand(self, prompt: str) -> Understanding | None:
        """What it makes of a prompt; None if it has no lexicon."""
        ...

    def with_one_object(self, prompt: str, number: int = 0) -> SmallTeacher:
        """The same teacher with its mind made up: of the objects that a prompt may mean it thinks of one only."""
        ...


def load_embedded_teacher(folder: Path | None = None, device: torch.device | str = "cpu") -> SmallTeacher:
    """Loads the teacher that is shipped, or one of its kind that was trained on other meshes.

    Args:
        folder: a diffusers folder with `shape_prior` or `view_prior`, `unet` and `scheduler`; None: the shipped one.
        device: where to put the networks.

    Raises:
        sds.teachers.folder.TeacherFolderError: the folder is missing, broken or names other classes.
    """
    folder = folder or EMBEDDED_FOLDER
    opened = open_teacher_folder(folder)
    return load_shape_teacher(folder, device) if opened.has("shape_prior") else load_view_teacher(folder, device)
