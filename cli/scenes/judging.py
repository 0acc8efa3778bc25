"""How good is what was made? Recognition, sides, and the mesh itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cli.scenes.looks import STUDIO
from cli.scenes.request import Request
from cli.teachers import small_teacher_folder
from representations.assets.asset import Asset
from representations.assets.pictures import render_asset
from representations.cameras import Cameras, turntable
from sds.denoiser import NeuralTeacher
from sds.engine import Step, image_of
from sds.recognition import Recogniser, rank_in
from sds.recognition_of_scenes import found_in_parts
from sds.teachers.embedded_words import Lexicon
from sds.teachers.layers import LOOKS, Look
from sds.teachers.shape_teacher import ShapeTeacher
from sds.view_agreement import view_agreement

VIEWS = 8
"""Pictures of an object that are judged, all round."""

JUDGED_SIZE = 64
"""Pixels of a judged picture."""

SEVERAL_FINER = 2
"""How much finer pictures of several things are, whose parts are looked at."""

ELEVATION = math.radians(15.0)


@dataclass(frozen=True)
class Judge:
    """Knows by name what an object should be.

    Attributes:
        recogniser: a classifier trained on renders of real models.
        noun: what the prompt speaks of.
        folder: of the teacher that the classifier belongs to.
        others: what else the prompt speaks of; each must be found in some part of a picture.
        several: whether there is more than one thing, so that parts of pictures are looked at.
    """

    recogniser: Recogniser
    noun: str
    folder: Path
    others: tuple[str, ...] = ()
    several: bool = False

    @property
    def size(self) -> int:
        """Pixels along a side of the pictures that are judged."""
        return JUDGED_SIZE * (SEVERAL_FINER if self.several else 1)

    @torch.no_grad()
    def recognition(self, images: Tensor) -> float:
        """The probability of the noun for images (batch, 3, height, width) in [0, 1], averaged."""
        probabilities = self.recogniser.logits(images.cpu()).softmax(1)
        return float(probabilities[:, self.recogniser.nouns.index(self.noun)].mean())

    @torch.no_grad()
    def verdict(self, images: Tensor) -> dict[str, Any]:
        """How often the noun is the first, or among the first five, of all nouns; and what is seen instead.

        "recognised" means by most of the views, the first one, which is the front, among them. "probabilities" are the
        noun's in each image, "probability" is their mean. Of several things each must be found in some part of an
        image, and the numbers are those of the thing that is seen worst.
        """
        images = images.cpu()
        logits = self.recogniser.logits(images)
        total = logits.softmax(1).mean(0)
        rank, probabilities = self._found(images, logits)
        return {
            "noun": " and ".join((self.noun, *self.others)),
            "recognised": bool(rank[0] == 0) and float((rank == 0).float().mean()) > 0.5,
            "views_recognised": float((rank == 0).float().mean()),
            "views_among_first_five": float((rank < 5).float().mean()),
            "probability": float(probabilities.mean()),
            "probabilities": [round(float(view), 4) for view in probabilities],
            "looks_most_like": [self.recogniser.nouns[int(i)] for i in total.topk(3).indices],
        }

    def _found(self, images: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The rank of what is meant in each image (B,), and its probability (B,), given the scores of the images."""
        if not self.several:
            noun = self.recogniser.nouns.index(self.noun)
            return rank_in(logits, noun), logits.softmax(1)[:, noun]
        each = [found_in_parts(self.recogniser, image, (self.noun, *self.others)) for image in images]
        worst_rank = torch.tensor([max(ranks) for ranks, _ in each])
        return worst_rank, torch.tensor([min(probabilities) for _, probabilities in each])


def judge_for(request: Request) -> Judge | None:
    """The judge of a prompt; None if the teacher has no classifier, or it knows nothing that the prompt speaks of.

    What the prompt speaks of is what the teacher understands and the classifier knows; without words, a noun by name.
    """
    folder = small_teacher_folder(request.teacher)
    if folder is None or not (folder / "recogniser").is_dir():
        return None
    recogniser = Recogniser.load(folder)
    if not (folder / "words").is_dir():
        noun = recogniser.noun_of(request.prompt)
        return None if noun is None else Judge(recogniser, noun, folder)
    things = Lexicon.load(folder / "words").only(recogniser.nouns).understand(request.prompt).things
    if not things:
        return None
    noun, *others = dict.fromkeys(thing.noun for thing in things)
    return Judge(recogniser, noun, folder, tuple(others), sum(thing.count for thing in things) > 1)


def judged_cameras(size: int) -> Cameras:
    """The views that are judged."""
    return turntable(VIEWS, ELEVATION, size)


def cameras_for(judge: Judge | None) -> Cameras:
    """The views that are judged, as fine as a judge wants them."""
    return judged_cameras(JUDGED_SIZE if judge is None else judge.size)


def pictures_with_colours(step: Step) -> Tensor:
    """What a step has rendered, without the pictures of directions, in which nobody recognises anything."""
    images, look = image_of(step.rendering).detach(), getattr(step.draw, "look", None)
    return images if look is None else images[look.to(images.device) != LOOKS.index(Look.NORMALS)]


def carries_light(teacher: NeuralTeacher) -> bool:
    """Whether colours that a teacher asks for hold its light already, so that pictures of them need no other."""
    return not isinstance(teacher, ShapeTeacher)


def judge_asset(asset: Asset, request: Request, teacher: NeuralTeacher, judge: Judge | None) -> dict[str, Any]:
    """Recognition and Janus score of an asset in the unit sphere, by its pictures from all sides."""
    cameras = cameras_for(judge)
    images = render_asset(asset, cameras, lit=not carries_light(teacher), lighting=STUDIO)
    return judge_pictures(images, cameras, request, teacher, judge)


def judge_pictures(
    images: Tensor, cameras: Cameras, request: Request, teacher: NeuralTeacher, judge: Judge | None
) -> dict[str, Any]:
    """Recognition and Janus score of pictures (B, 3, H, W) of an object by `judged_cameras`."""
    metrics: dict[str, Any] = {}
    if judge is not None:
        metrics["recognition"] = judge.verdict(images)
    if teacher.knows_views:
        sides = view_agreement(teacher, images, request.prompt, cameras)
        metrics["sides"] = {"janus_score": sides.janus_score, "mistaken": sides.mistaken}
    return metrics


def asset_statistics(asset: Asset) -> dict[str, Any]:
    """Counts, size in metres and soundness of an asset."""
    mesh, texture = asset.mesh, asset.material.base_colour
    size = mesh.vertices.max(axis=0) - mesh.vertices.min(axis=0)
    return {
        "vertices": len(mesh.vertices),
        "faces": len(mesh.faces),
        "components": int(mesh.components().max()) + 1,
        "watertight": mesh.is_watertight,
        "texture": None if texture is None else f"{texture.shape[1]} x {texture.shape[0]}",
        "volume_m3": round(mesh.volume, 6),
        "size_m": {axis: round(float(length), 4) for axis, length in zip("xyz", size, strict=True)},
    }
