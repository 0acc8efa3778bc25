"""A finished run, read back from its folder."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cli.errors import UserError
from cli.scenes.request import Request
from cli.scenes.run_folder import RunFolder
from cli.scenes.stage import build_generator, stages_of
from cli.scenes.told import with_mind_made_up
from cli.teachers import load_teacher, small_teacher_folder
from representations.particles import Particles
from representations.solid import Solid
from sds.checkpoint import CheckpointError, restore_module
from sds.denoiser import NeuralTeacher


@dataclass(frozen=True)
class LoadedObject:
    """What a run made.

    Attributes:
        request: what was asked for.
        solid: the result of the last stage that has begun: of an interrupted run perhaps an earlier one.
        device: where it is.
    """

    request: Request
    solid: Solid
    device: torch.device

    def teacher(self) -> NeuralTeacher:
        """Who judged it; a big one takes its time to load."""
        request = self.request
        return with_mind_made_up(load_teacher(request.teacher, self.device, False, request.teacher_options), request)


def load_object(folder: RunFolder, device: torch.device) -> LoadedObject:
    """Read a run. Raises UserError if the folder holds none, or one that made no 3D object."""
    request = folder.read_request()
    if not request.has_mesh:
        kind = "a flat picture" if request.is_flat else "Gaussians"
        raise UserError(f"{folder.path} holds {kind}; only runs that end with a field or a mesh have a surface")
    small = small_teacher_folder(request.teacher) is not None  # its recipes have sizes that are multiples of its own
    teacher = load_teacher(request.teacher, device, allow_download=False) if small else None
    state = folder.read_checkpoint()
    if state is None:
        raise CheckpointError(f"there is no checkpoint at {folder.checkpoint}")
    try:
        stage = next(stage for stage in stages_of(request, teacher) if stage.name == state["stage"])
        solid = build_generator(request, stage).to(device)
        restore_module(solid, state["generator"], "the checkpoint's generator")
        solid = solid[0] if isinstance(solid, Particles) else solid
    except (CheckpointError, KeyError, RuntimeError, StopIteration) as error:
        raise UserError(f"{folder.checkpoint} does not belong to the run that run.json describes: {error}") from None
    return LoadedObject(request, solid, device)
