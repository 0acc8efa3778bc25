"""What a finished run leaves behind: mesh, turntable, preview, measurements."""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch
from torch import Tensor

from cli.judging import Judge, judge_object, judged_cameras, mesh_statistics
from cli.pictures import write_sheet, write_turntable
from cli.run_folder import RunFolder, write_json
from cli.scene import Request, Scene
from representations.cameras import Cameras, turntable
from representations.export import write_mesh
from representations.isosurface import extract_mesh
from representations.mesh import Cleaning, Mesh, standing
from representations.nerf import NeRF
from sds.sampling import sample

FRAMES = 48
FRAME_SIZE = 192
MESH_RESOLUTION = 129
MESH_CLEANING = Cleaning(smallest_component=0.02, smoothing_steps=4)
FRAMES_AT_ONCE = 8


def write_results(scene: Scene, request: Request, folder: RunFolder, judge: Judge | None) -> None:
    """Write everything a run ends with, and print where it is."""
    started = time.monotonic()
    if isinstance(scene.generator, NeRF):
        written = write_object(scene, request, folder, judge)
    else:
        written = write_picture(scene, request, folder, judge)
    folder.note_seconds("results", time.monotonic() - started)
    for path in written:
        print(path)


def write_object(scene: Scene, request: Request, folder: RunFolder, judge: Judge | None) -> list[Path]:
    """The files of a 3D run; the mesh first, since it is what people wait for."""
    nerf = scene.generator
    mesh = mesh_of(nerf, request)
    write_mesh(mesh, folder.mesh)
    metrics = judge_object(nerf, request, scene.teacher, judge) | {"mesh": mesh_statistics(mesh)}
    write_json(folder.metrics, metrics)
    cameras = judged_cameras(FRAME_SIZE)
    write_sheet(folder.preview, [rendered(nerf, cameras), imagined(scene, cameras)])
    frames = rendered(nerf, turntable(FRAMES, math.radians(15.0), FRAME_SIZE))
    return [folder.mesh, *write_turntable(folder.turntable, frames), folder.preview, folder.metrics]


def write_picture(scene: Scene, request: Request, folder: RunFolder, judge: Judge | None) -> list[Path]:
    """The files of a run whose result is one flat picture: the picture beside what the teacher would draw."""
    del request
    with torch.no_grad():
        made = scene.generator(1)
    write_sheet(folder.preview, [made, imagined(scene, None)[:1]], size=256)
    write_json(folder.metrics, {"recognition": judge.verdict(made)} if judge else {})
    return [folder.preview, folder.metrics]


def mesh_of(nerf: NeRF, request: Request, faces: int | None = None) -> Mesh:
    """The surface of a field as an object that stands on the floor, in metres.

    Raises representations.isosurface.EmptySurfaceError if there is none.
    """
    cleaning = Cleaning(MESH_CLEANING.smallest_component, faces, MESH_CLEANING.smoothing_steps)
    mesh = extract_mesh(nerf, MESH_RESOLUTION, cleaning=cleaning)
    return standing(mesh, longest_side_of(request.prompt))


def longest_side_of(prompt: str) -> float:
    """How long the longest side of such a thing is, in metres: the embedded teacher's catalogue knows; else 1."""
    del prompt
    return 1.0


@torch.no_grad()
def rendered(nerf: NeRF, cameras: Cameras) -> Tensor:
    """Pictures of a field (count, 3, size, size), a few at a time."""
    cameras = cameras.to(nerf.occupancy.density.device)
    parts = [nerf(cameras[i : i + FRAMES_AT_ONCE]).image.cpu() for i in range(0, len(cameras), FRAMES_AT_ONCE)]
    return torch.cat(parts)


def imagined(scene: Scene, cameras: Cameras | None) -> Tensor:
    """What the teacher would draw from the same views, if it drew by itself; each view from the same noise."""
    count = len(cameras) if cameras is not None else 1
    rng = torch.Generator().manual_seed(0)
    return sample(scene.teacher, scene.told(cameras, count), scene.recipe.guidance, rng).cpu()
