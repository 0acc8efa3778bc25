"""What a student has beside its teacher's network (the end of its jump told, the guidance scale, ...), on the disk.

The folder's network fits its teacher's architecture, so it holds one choice of all this, added to a bias. The weights
that make any other choice are in a file of their own beside it, which only this package reads. So are those of GENIE's
head, without which the network draws in steps of first order, and a whole flow of known density, whose folder holds the
teacher's own network.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sds.checkpoint import written_whole
from sds.denoiser import NeuralTeacher
from sds.number_embedding import last_layer_of_time
from sds.sharding import whole
from sds.teachers.folder import TeacherFolder, TeacherFolderError, link_boundary
from students.change_head import HEAD
from students.density_student import DensityStudent
from students.folder import StudentFolderError
from students.student import Student
from students.temporal_fourier import ENDS, PathStates, unet_widths

INPUTS = "student_inputs.safetensors"
"""Beside ``student.json``, if the student is told more than the time."""

BIAS = "bias of the time embedding"
"""The name of the bias without any choice added to it."""

FLOW = "density_flow."
"""Before the names of the weights of a flow."""


def inputs_of(student: Student) -> dict[str, Tensor]:
    """The weights by which ``student`` is told more than the time; empty if it is not.

    Of a sharded student all processes must ask.
    """
    own = student.network.state_dict()
    if isinstance(student, DensityStudent):
        return {FLOW + name: tensor.contiguous() for name, tensor in own.items()}
    plain = student.plain_network().state_dict()
    told_more = sorted(own.keys() - plain.keys()) if student.lora is None else []
    if not told_more:
        return {}
    bias = whole(last_layer_of_time(student.network).bias.detach())
    return {**{name: whole(own[name]).contiguous() for name in told_more}, BIAS: bias.contiguous()}


def save_inputs(tensors: dict[str, Tensor], folder: Path) -> None:
    """Write what `inputs_of` a student are; remove such a file if there are none."""
    if not tensors:
        (folder / INPUTS).unlink(missing_ok=True)
        return
    with written_whole(folder / INPUTS) as temporary:
        save_file(tensors, temporary)


def load_student(folder: Path, network: NeuralTeacher) -> Student | NeuralTeacher:
    """The student in a folder, able to be told all that it was told in training.

    Args:
        folder: a student's.
        network: the folder loaded as a teacher.

    Returns:
        ``network`` itself if there is nothing more to tell. Either can be given to `students.folder.sample`.

    Raises:
        StudentFolderError: if the file of the inputs is damaged, belongs to another network, or is no file of the
            folder.
    """
    if not os.path.lexists(folder / INPUTS):
        return network
    try:
        path = TeacherFolder(folder, link_boundary(folder), {}).file(INPUTS)
    except TeacherFolderError as error:
        raise StudentFolderError(str(error)) from None
    try:
        tensors = load_file(path)
        if not tensors:
            raise ValueError("it is empty")
        return with_inputs(tensors, network)
    except (SafetensorError, KeyError, RuntimeError, ValueError, IndexError) as error:
        raise StudentFolderError(f"{path} is damaged, or another student's: {' '.join(str(error).split())}") from None


def with_inputs(tensors: Mapping[str, Tensor], network: NeuralTeacher) -> Student | NeuralTeacher:
    """What `inputs_of` a student were, put beside its plain network again: that student; the network if there are none.

    Raises ValueError, KeyError, RuntimeError or IndexError for tensors that do not fit.
    """
    if not tensors:
        return network
    if any(name.startswith(FLOW) for name in tensors):
        return _flow(tensors, network)
    plain = network.network.state_dict().keys()
    student = Student(
        network,
        told_end="student_end.0.weight" in tensors,
        told_guidance="student_guidance.0.weight" in tensors,
        latent=tensors["student_latent.0.weight"].shape[1] if "student_latent.0.weight" in tensors else 0,
        states=_states(tensors, network),
        change=f"{HEAD}.first.weight" in tensors,
    )
    with torch.no_grad():
        last_layer_of_time(student.network).bias.copy_(tensors[BIAS])
    own = {name: tensor for name, tensor in tensors.items() if name != BIAS}
    loaded = student.network.load_state_dict(own, strict=False)
    if loaded.unexpected_keys:
        raise ValueError(f"it holds {loaded.unexpected_keys[0]!r}, of which this student knows nothing")
    if lacking := sorted(set(loaded.missing_keys) - plain):
        raise ValueError(f"it lacks {lacking[0]!r}")
    return student.eval().requires_grad_(False)


def _flow(tensors: Mapping[str, Tensor], network: NeuralTeacher) -> DensityStudent:
    """The flow of known density that the tensors are. Raises ValueError, RuntimeError or KeyError if they are none."""
    weights = {name.removeprefix(FLOW): tensor for name, tensor in tensors.items()}
    prefix, suffix = "condition.", ".weight"
    told = {
        name.removeprefix(prefix).removesuffix(suffix): weights[name].shape[1]
        for name in weights
        if name.startswith(prefix) and name.endswith(suffix)
    }
    pairs = sum(name.startswith("mixings.") for name in weights)
    shapes = [weights[f"couplings.{i}.first.weight"].shape for i in range(2 * pairs)]
    if len(set(shapes)) != 1:  # before a flow of that size is made
        raise ValueError("its couplings do not fit together")
    student = DensityStudent(network, told, shapes[0][0], pairs)
    student.network.load_state_dict(weights)
    return student.eval().requires_grad_(False)


def _states(tensors: Mapping[str, torch.Tensor], network: NeuralTeacher) -> PathStates | None:
    """The states that a student draws together, if it does."""
    if ENDS not in tensors:
        return None
    return PathStates(tensors[ENDS].tolist(), unet_widths(network.network))
