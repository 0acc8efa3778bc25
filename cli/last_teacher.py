"""The teacher that was loaded last stays in memory, so that a second call begins at once."""

from __future__ import annotations

from functools import lru_cache

import torch

from cli.teachers import load_teacher
from sds.denoiser import NeuralTeacher
from sds.teachers.options import AS_IT_IS, TeacherOptions


@lru_cache(maxsize=1)
def last_teacher(name: str, device: torch.device, options: TeacherOptions = AS_IT_IS) -> NeuralTeacher:
    """As `cli.teachers.load_teacher`, which says what is raised."""
    return load_teacher(name, device, options=options)
