"""Which teacher a name stands for."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from cli.errors import UserError
from sds.denoiser import NeuralTeacher, views_together
from sds.teachers.diffusers import load_diffusers_teacher
from sds.teachers.embedded import EMBEDDED_FOLDER, load_embedded_teacher
from sds.teachers.onnx_runtime import is_onnx_folder, load_onnx_teacher
from sds.teachers.options import AS_IT_IS, TeacherOptions
from sds.teachers.remote.client import RemoteTeacher

EMBEDDED = "embedded"
"""The name of the teacher that travels inside the package."""


LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost):\d{1,5}/?")
"""Teachers behind a port of this machine."""


def choose_device(name: str) -> torch.device:
    """ "auto" takes a CUDA card if there is one. Raises UserError for a device that is not there."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError("--device cuda: torch sees no CUDA card here; `scoresmith doctor` says why")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def load_teacher(
    name: str, device: torch.device, allow_download: bool = True, options: TeacherOptions = AS_IT_IS
) -> NeuralTeacher:
    """The embedded teacher, a folder of diffusers or of ONNX files, a repository of the hub, or one behind a port.

    Args:
        name: of the teacher.
        device: where it computes.
        allow_download: whether the user has named it just now. What a file names (the run.json of a folder that
            somebody else may have written) is only looked for on this machine, and no other is asked.
        options: changes to the weights of a diffusers teacher, and how it computes.

    Raises UserError if another kind of teacher is to be changed, sds.teachers.folder.TeacherFolderError if there is no
    such teacher or it is broken, and sds.teachers.remote.client.RemoteTeacherError if nothing answers at the port.
    """
    elsewhere = [one for one in (name, *options.named) if is_on_another_machine(one)]
    if not allow_download and elsewhere:
        raise UserError(f"the run's {elsewhere[0]} is on another machine, which is not asked; name it in a new run")
    small = small_teacher_folder(name)
    if options != AS_IT_IS and (small is not None or name.startswith("http://") or is_onnx_folder(Path(name))):
        raise UserError(f"{name} is no diffusers teacher; --teacher-lora and its like change those only")
    if name.startswith("http://"):
        return RemoteTeacher(name, device)
    if small is not None:
        return load_embedded_teacher(small, device=device)
    if is_onnx_folder(Path(name)):
        return load_onnx_teacher(name, device)
    return load_diffusers_teacher(name, device, allow_download=allow_download, options=options)


def is_on_another_machine(name: str) -> bool:
    """Whether to open what is called so would ask a machine other than this."""
    return name.replace("\\", "/").startswith(("//", "http://")) and not LOOPBACK.fullmatch(name)


def require_one_picture_from_words(teacher: NeuralTeacher, what: str) -> None:
    """Raises UserError if a teacher sees several views at once, or is told a picture: ``what`` is not made for it."""
    if views_together(teacher) > 1 or getattr(teacher, "sees_pictures", False):
        raise UserError(f"a teacher that sees several views, or a picture, can only generate; {what} takes other ones")


def small_teacher_folder(name: str) -> Path | None:
    """The folder of the embedded teacher, or of one that was trained like it on other meshes; None for any other."""
    if name == EMBEDDED:
        return EMBEDDED_FOLDER
    return Path(name) if (Path(name) / "shape_prior").is_dir() else None
