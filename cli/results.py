"""What a finished run leaves behind: mesh, turntable, preview, measurements."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from cli.judging import ELEVATION, Judge, judge_surface, judged_cameras, mesh_statistics
from cli.pictures import write_sheet, write_turntable
from cli.run_folder import RunFolder, write_json
from cli.scene import Request, Scene
from cli.sizes import UNKNOWN, longest_side
from cli.viewer.run_page import write_report
from representations.cameras import Cameras, turntable
from representations.export import write_mesh
from representations.isosurface import extract_mesh
from representations.mesh import Cleaning, Mesh, standing
from representations.mesh_rendering import render_mesh
from representations.nerf import NeRF
from sds.sampling import sample

FRAMES = 48
PICTURE_SIZE = 192
MESH_RESOLUTION = 129
MESH_CLEANING = Cleaning(smallest_component=0.01, smoothing_steps=4)


def write_results(scene: Scene, request: Request, folder: RunFolder, judge: Judge | None) -> None:
    """Write everything a run ends with, and print where it is."""
    started = time.monotonic()
    if isinstance(scene.generator, NeRF):
        written = write_object(scene, request, folder, judge)
    else:
        written = write_picture(scene, request, folder, judge)
    folder.note_seconds("results", time.monotonic() - started)
    written.append(write_report(folder))
    for path in written:
        print(path)


def write_object(scene: Scene, request: Request, folder: RunFolder, judge: Judge | None) -> list[Path]:
    """The files of a 3D run; the mesh first, since it is what people wait for. Pictures show the mesh."""
    surface = surface_of(scene.generator)
    mesh = delivered(surface, request, judge)
    write_mesh(mesh, folder.mesh)
    write_json(folder.metrics, judge_surface(surface, request, scene.teacher, judge) | {"mesh": mesh_statistics(mesh)})
    cameras = judged_cameras(PICTURE_SIZE)
    write_sheet(folder.preview, [render_mesh(surface, cameras), imagined(scene, cameras)])
    frames = render_mesh(surface, turntable(FRAMES, ELEVATION, PICTURE_SIZE))
    return [folder.mesh, *write_turntable(folder.turntable, frames), folder.preview, folder.metrics]


def write_picture(scene: Scene, request: Request, folder: RunFolder, judge: Judge | None) -> list[Path]:
    """The files of a run whose result is one flat picture: the picture beside what the teacher would draw."""
    del request
    with torch.no_grad():
        made = scene.generator(1)
    write_sheet(folder.preview, [made, imagined(scene, None)[:1]], size=256)
    write_json(folder.metrics, {"recognition": judge.verdict(made)} if judge else {})
    return [folder.preview, folder.metrics]


def surface_of(nerf: NeRF, faces: int | None = None) -> Mesh:
    """The surface of a field, where the field is: around the origin, within the unit sphere.

    Raises representations.isosurface.EmptySurfaceError if there is none.
    """
    return extract_mesh(nerf, MESH_RESOLUTION, cleaning=replace(MESH_CLEANING, target_faces=faces))


def delivered(surface: Mesh, request: Request, judge: Judge | None) -> Mesh:
    """The surface as an object that stands on the floor, in metres."""
    return standing(surface, longest_side(request.prompt, judge.noun, judge.folder) if judge else UNKNOWN)


def imagined(scene: Scene, cameras: Cameras | None) -> Tensor:
    """What the teacher would draw from the same views, if it drew by itself; each view from the same noise."""
    count = len(cameras) if cameras is not None else 1
    rng = torch.Generator().manual_seed(0)
    return sample(scene.teacher, scene.told(cameras, count), scene.recipe.guidance, rng).cpu()
