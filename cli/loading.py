"""A finished run, read back from its folder."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cli.errors import UserError
from cli.run_folder import RunFolder
from cli.scene import Request, build_generator, with_mind_made_up
from cli.teachers import load_teacher
from representations.nerf import NeRF
from sds.checkpoint import load_checkpoint
from sds.denoiser import NeuralTeacher


@dataclass(frozen=True)
class LoadedObject:
    """What a run made.

    Attributes:
        request: what was asked for.
        nerf: the radiance field.
        teacher: who judged it.
    """

    request: Request
    nerf: NeRF
    teacher: NeuralTeacher


def load_object(folder: RunFolder, device: torch.device) -> LoadedObject:
    """Read a run. Raises UserError if the folder holds none, or one that made no 3D object."""
    request = folder.read_request()
    if request.representation != "nerf":
        raise UserError(f"{folder.path} holds a flat picture; only 3D runs have a mesh")
    teacher = load_teacher(request.teacher, device)
    nerf = build_generator(request, request.recipe(), teacher).to(device)
    state = load_checkpoint(folder.checkpoint)
    try:
        nerf.load_state_dict(state["generator"])
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{folder.checkpoint} does not belong to the run that run.json describes: {error}") from None
    return LoadedObject(request, nerf, with_mind_made_up(teacher, request))
