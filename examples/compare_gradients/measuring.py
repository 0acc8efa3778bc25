"""What the comparison measures of an object: recognition, colour, sides, shape beside real models, diversity."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor

from cli.scenes.judging import Judge, cameras_for, carries_light, judge_for, judge_pictures
from cli.scenes.looks import SHADING, STUDIO
from cli.scenes.request import Request
from cli.scenes.results import imagined
from cli.scenes.scene import Scene
from representations.assets.asset import Asset
from representations.assets.pictures import render_asset
from representations.cameras import Cameras
from representations.geometry.isosurface import EmptySurfaceError
from representations.likeness import NOTHING_ALIKE, Likeness, SeenShape, nearest, seen_from
from sds.teachers.layers import LOOKS, Look

sys.path.append(str(Path(__file__).parents[1] / "train_teacher"))  # examples import each other as scripts do

from real_models import RealModels


@dataclass(frozen=True)
class Result:
    """One object.

    Attributes:
        method, prompt, seed: what was made, and how.
        steps: that fitted into the seconds.
        recognition: share of the views that are recognised before all other nouns.
        probability: of the noun, averaged over all views.
        colour: distance of the object's mean colour from that of the teacher's own pictures, in [0, 1] a channel.
        janus: share of side and back views that look like the front to the teacher.
        overlap, angle: of outlines, and in degrees between normals, with the nearest real model of the noun; nan if
            there is no model, or no surface.
    """

    method: str
    prompt: str
    seed: int
    steps: int
    recognition: float
    probability: float
    colour: float
    janus: float
    overlap: float
    angle: float


@torch.no_grad()
def measured(scene: Scene, request: Request, steps: int, models: RealModels | None) -> tuple[Result, Tensor]:
    """What is measured of a field, and its pictures (B, 3, H, W) from all sides without light."""
    judge = judge_for(request)
    cameras = cameras_for(judge)
    unlit = cameras.showing(LOOKS.index(Look.ALBEDO)) if not carries_light(scene.teacher) else cameras
    try:
        asset = Asset(scene.shown.surface())
        pictures = render_asset(asset, cameras)
        lit = render_asset(asset, cameras, lit=True, shading=SHADING[Look.LIT], lighting=STUDIO)
        alike = compared_with_models(seen_from(asset.mesh, cameras), judge, models, cameras)
    except EmptySurfaceError:  # fog: it is judged as it looks
        pictures = lit = scene.shown(cameras).image
        alike = compared_with_models(None, judge, models, cameras)
    if carries_light(scene.teacher):
        lit = pictures
    found = judge_pictures(lit, cameras, request, scene.teacher, judge)
    recognition = found.get("recognition", {})
    distance = (mean_colour(pictures) - mean_colour(imagined(scene, unlit))).square().mean().sqrt()
    result = Result(
        request.method,
        request.prompt,
        request.seed,
        steps,
        recognition.get("views_recognised", float("nan")),
        mean(recognition["probabilities"]) if recognition else float("nan"),
        float(distance),
        float(found.get("sides", {}).get("janus_score", float("nan"))),
        alike.overlap,
        alike.angle,
    )
    return result, pictures


def compared_with_models(
    made: SeenShape | None, judge: Judge | None, models: RealModels | None, cameras: Cameras
) -> Likeness:
    """How much a shape (None: it has no surface) is like the nearest real model of its noun; nan if there is none."""
    real = models.seen(judge.noun, cameras) if models is not None and judge is not None else []
    if not real:
        return Likeness(float("nan"), float("nan"))
    return NOTHING_ALIKE if made is None else nearest(made, real)[1]


def mean_colour(pictures: Tensor) -> Tensor:
    """(3,) of what is not the white ground, by how far it is from white."""
    weight = (1 - pictures.amin(1, keepdim=True)).clamp(0, 1)
    return (pictures * weight).sum((0, 2, 3)) / weight.sum().clamp(min=1e-6)


def diversity(pictures: Sequence[Tensor]) -> float:
    """Root mean square of the differences between several objects' pictures, the mean over all pairs; 0 of one."""
    pairs = [float((a - b).square().mean().sqrt()) for i, a in enumerate(pictures) for b in pictures[:i]]
    return mean(pairs) if pairs else 0.0
