"""The teacher that travels inside the package, and others of its kind."""

from __future__ import annotations

from pathlib import Path

import torch

from sds.teachers.shape_teacher import ShapeTeacher, load_shape_teacher

EMBEDDED_FOLDER = Path(__file__).parent / "embedded"


def load_embedded_teacher(folder: Path | None = None, device: torch.device | str = "cpu") -> ShapeTeacher:
    """Loads the teacher that is shipped, or one of its kind that was trained on other meshes.

    Args:
        folder: see `sds.teachers.shape_teacher.load_shape_teacher`; None: the shipped one.
        device: where to put the networks.

    Raises:
        sds.teachers.folder.TeacherFolderError: the folder is missing, broken or names other classes.
    """
    return load_shape_teacher(folder or EMBEDDED_FOLDER, device)
