"""What a finished run leaves behind: mesh, turntable, preview, measurements."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cli.output import LOG
from cli.pictures import write_sheet, write_turntable
from cli.scenes.initial_mesh import back_in_place
from cli.scenes.judging import (
    ELEVATION,
    Judge,
    asset_statistics,
    cameras_for,
    carries_light,
    judge_asset,
    judge_pictures,
    judged_cameras,
)
from cli.scenes.looks import SHADING, STUDIO
from cli.scenes.reflection import reflecting
from cli.scenes.request import Request
from cli.scenes.retexturing import repainted
from cli.scenes.run_folder import RunFolder, write_text
from cli.scenes.scene import Scene
from cli.scenes.sizes import UNKNOWN, longest_side
from cli.viewer.run_page import write_report
from representations.assets.asset import Asset
from representations.assets.finishing import FACES, RESOLUTION, colours_of_solid, textured
from representations.assets.pictures import render_asset
from representations.assets.studio import render_in_studio
from representations.assets.unwrapping import UnwrappingUnavailableError
from representations.assets.writing import write_asset
from representations.cameras import Cameras, turntable
from representations.gaussians.cloud import GaussianCloud
from representations.gaussians.files import gaussians_of, ply_bytes, splat_bytes
from representations.gaussians.spz import spz_bytes
from representations.geometry.mesh import MeshError, standing
from representations.images.pixels import FlatImage
from representations.images.svg import svg_of
from representations.images.vector import VectorImage
from representations.solid import Solid
from representations.surfaces.fixed_shape import FixedShape
from representations.surfaces.mesh_field import MeshField
from sds.checkpoint import written_whole
from sds.denoiser import Teacher, views_together
from sds.guidance import Guidance, PromptConditions
from sds.sampling import sample
from sds.teachers.layers import LOOKS
from sds.teachers.shape_teacher import ShapeTeacher

FRAMES = 48

SHEET_SECONDS = 60.0
"""For what a big teacher would draw by itself."""

SHEET_STEPS, FEWEST_STEPS = 20, 8
"""Of its sampler; with fewer a picture says nothing. A small teacher that knows looks needs the fewest only."""

PICTURE_SIZE = 192
TEXTURE_SIZE = RESOLUTION


def write_results(scene: Scene, request: Request, folder: RunFolder, judge: Judge | None) -> None:
    """Write everything a run ends with, and print where it is."""
    started = time.monotonic()
    write = write_object
    if isinstance(scene.shown, FlatImage):
        write = write_picture
    elif isinstance(scene.shown, GaussianCloud):
        write = write_gaussians
    written = []
    for number in range(len(scene.particles)):
        own = folder.of_particle(number)
        own.path.mkdir(exist_ok=True)
        written += write(scene.of_particle(number), request, own, judge)
    if len(scene.particles) > 1:
        compare_particles(scene, folder, judge)
    folder.note_seconds("results", time.monotonic() - started)
    written.append(write_report(folder))
    for path in written:
        print(path)


def write_object(scene: Scene, request: Request, folder: RunFolder, judge: Judge | None) -> list[Path]:
    """The files of a 3D run; the mesh first, since it is what people wait for. Pictures show the mesh."""
    asset = finished(scene.shown)
    metre_asset = delivered(asset, request, judge)
    write_asset(metre_asset, folder.mesh)
    metrics = judge_asset(asset, request, scene.teacher, judge) | {"mesh": asset_statistics(metre_asset)}
    folder.write_metrics(metrics)
    cameras = judged_cameras(PICTURE_SIZE)
    write_sheet(folder.preview, made_and_imagined(asset, scene, cameras))
    around = turntable(FRAMES, ELEVATION, PICTURE_SIZE)
    frames = render_asset(asset, around) if carries_light(scene.teacher) else render_in_studio(asset, around)
    return [folder.mesh, *write_turntable(folder.turntable, frames), folder.preview, folder.metrics]


def write_gaussians(scene: Scene, request: Request, folder: RunFolder, judge: Judge | None) -> list[Path]:
    """The files of a run of 3D Gaussians, in the unit sphere, +Y up; pictures show the Gaussians."""
    gaussians = gaussians_of(scene.shown)
    contents = {".ply": ply_bytes(gaussians), ".splat": splat_bytes(gaussians), ".spz": spz_bytes(gaussians)}
    written = [folder.gaussians(suffix) for suffix in contents]
    for path, content in zip(written, contents.values(), strict=True):
        with written_whole(path) as temporary:
            temporary.write_bytes(content)
    cameras, judged = judged_cameras(PICTURE_SIZE), cameras_for(judge)
    around = turntable(FRAMES, ELEVATION, PICTURE_SIZE)
    with torch.no_grad():
        pictures, to_judge, frames = (scene.shown(views).image.cpu() for views in (cameras, judged, around))
    folder.write_metrics(judge_pictures(to_judge, judged, request, scene.teacher, judge))
    write_sheet(folder.preview, [pictures, imagined(scene, cameras)])
    return [*written, *write_turntable(folder.turntable, frames), folder.preview, folder.metrics]


def made_and_imagined(asset: Asset, scene: Scene, cameras: Cameras) -> list[Tensor]:
    """Rows of pictures: what was made, and below it what the teacher would draw; two rows for each look it knows."""
    if carries_light(scene.teacher):
        return [render_asset(asset, cameras), imagined(scene, cameras)]
    rows = []
    for number, look in enumerate(LOOKS):
        made = render_asset(asset, cameras, lit=True, shading=SHADING[look], lighting=STUDIO)
        rows += [made, imagined(scene, cameras.showing(number))]
    return rows


def write_picture(scene: Scene, request: Request, folder: RunFolder, judge: Judge | None) -> list[Path]:
    """The files of a run whose result is one flat picture: the picture beside what the teacher would draw."""
    vectors, picture = [], scene.shown
    if isinstance(picture, VectorImage):
        picture = picture.without_scraps()
        write_text(folder.vectors, svg_of(picture.shapes(), request.prompt))
        vectors.append(folder.vectors)
    with torch.no_grad():
        made = picture(1)
    write_sheet(folder.preview, [made, imagined(scene, None)[:1]], size=256)
    folder.write_metrics({"recognition": judge.verdict(made)} if judge else {})
    return [*vectors, folder.preview, folder.metrics]


@torch.no_grad()
def compare_particles(scene: Scene, folder: RunFolder, judge: Judge | None) -> None:
    """Note in metrics.json how the particles differ, and write them side by side, a row each."""
    cameras = judged_cameras(PICTURE_SIZE)
    if isinstance(scene.shown, FlatImage):
        rows = [particle(1) for particle in scene.particles]
    else:
        rows = [seen(particle, cameras) for particle in scene.particles]
    pairs = [(a - b).square().mean().sqrt() for i, a in enumerate(rows) for b in rows[:i]]
    compared: dict[str, object] = {"count": len(rows), "difference": round(float(torch.stack(pairs).mean()), 4)}
    if judge is not None:
        compared["probabilities"] = [round(judge.recognition(row), 4) for row in rows]
    folder.write_metrics(dict(folder.read_metrics()) | {"particles": compared})
    write_sheet(folder.particles, [row.cpu() for row in rows])


def seen(particle: Any, cameras: Cameras) -> Tensor:
    """Pictures (B, 3, H, W) of one object, as it is delivered."""
    if isinstance(particle, GaussianCloud):
        image: Tensor = particle(cameras).image.cpu()
        return image
    return render_asset(finished(particle), cameras)


def finished(solid: Solid, faces: int | None = None, resolution: int | None = None) -> Asset:
    """A solid as an asset, where the solid is: around the origin, within the unit sphere.

    Args:
        solid: what a run has made. A mesh of the user's with new colours keeps its faces and texture coordinates.
        faces: triangles, about; None: enough for a texture to show the rest, or all if there is no texture.
        resolution: texels along one side of the texture; 0 for colours at the vertices instead; None chooses.

    Raises:
        representations.geometry.isosurface.EmptySurfaceError: if there is no surface.
    """
    if resolution == 0:
        return Asset(solid.surface(faces))
    surface = solid.surface()
    device = next(solid.parameters()).device if isinstance(solid, torch.nn.Module) else torch.device("cpu")
    try:
        if isinstance(solid, MeshField) and isinstance(solid.shape, FixedShape) and faces is None:
            kept = repainted(solid, resolution or TEXTURE_SIZE)
            if kept is not None:
                return kept
        return textured(Asset(surface), faces or FACES, resolution or TEXTURE_SIZE, colours_of_solid(solid, device))
    except (UnwrappingUnavailableError, MeshError) as error:
        if resolution is not None:
            raise
        LOG.warning("no texture, but colours at the vertices: %s", error)
        return Asset(surface)


def delivered(asset: Asset, request: Request, judge: Judge | None) -> Asset:
    """The asset as an object that stands on the floor, in metres; or where the mesh was that the run began with."""
    asset = reflecting(asset, request)
    if request.placement is not None:
        return replace(asset, mesh=back_in_place(asset.mesh, request.placement), **labels(request))
    side = longest_side(request.prompt, judge.noun, judge.folder) if judge else UNKNOWN
    return replace(asset, mesh=standing(asset.mesh, side), **labels(request))


def labels(request: Request) -> dict[str, Any]:
    """What the file of an object says about it: its name, and what it was made from."""
    return {"name": request.prompt, "about": {"prompt": request.prompt, "seed": request.seed, "method": request.method}}


def imagined(scene: Scene, cameras: Cameras | None) -> Tensor:
    """What the teacher would draw from the same views, if it drew by itself.

    A big teacher draws one view after another, which takes no more memory than a step did, and no more of them than it
    can in about `SHEET_SECONDS`; the others stay white.
    """
    count = len(cameras) if cameras is not None else 1
    teacher, told, guidance = scene.teacher, scene.told(cameras, count), scene.recipe.guidance
    if isinstance(teacher, ShapeTeacher):
        few = SHEET_STEPS if carries_light(teacher) else FEWEST_STEPS
        return sample(teacher, told, guidance, torch.Generator().manual_seed(0), few).cpu()
    steps, views = affordable(seconds_of_a_step(teacher, told, guidance), count)
    if views == 0:
        LOG.info("the preview shows nothing by the teacher itself: it would take too long")
        return torch.ones(count, 3, 8, 8)
    together = views_together(teacher)
    views = max(views // together, 1) * together
    shown = PromptConditions(told.conditional[:views], told.unconditional[:views])
    drawn = sample(teacher, shown, guidance, torch.Generator().manual_seed(0), steps, at_once=together).cpu()
    return torch.cat([drawn, drawn.new_ones(count - views, *drawn.shape[1:])])


def seconds_of_a_step(teacher: Teacher, told: PromptConditions, guidance: Guidance) -> float:
    """How long a teacher takes for one step of one view; the second time, when everything is in place."""
    together = views_together(teacher)
    for _ in range(2):
        begun = time.monotonic()
        first = PromptConditions(told.conditional[:together], told.unconditional[:together])
        sample(teacher, first, guidance, torch.Generator().manual_seed(0), steps=1).cpu()
    return (time.monotonic() - begun) / together


def affordable(seconds: float, views: int) -> tuple[int, int]:
    """(steps, views) that a teacher can draw in `SHEET_SECONDS` if one step of one view takes so many ``seconds``."""
    evaluations = SHEET_SECONDS / max(seconds, 1e-9)
    steps = min(SHEET_STEPS, max(FEWEST_STEPS, int(evaluations / views)))
    return steps, min(views, int(evaluations / steps))
