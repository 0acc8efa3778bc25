"""With what students are measured: features of images by name, and the real images that are looked at with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from cli.errors import UserError
from cli.teachers import small_teacher_folder
from sds.recognition import Recogniser
from students.features.dino import load_dino
from students.features.imagenet_network import MissingWeightsError, load_imagenet_network
from students.measures.evaluation import FEWEST_IMAGES
from students.measures.reference import REFERENCE, Reference, load_reference
from students.training.real_images import RealImages

Features = Callable[[Tensor], Tensor]
"""Images (count, 3, H, W) in [0, 1] -> features (count, width)."""

CLASSIFIER, IMAGENET = "classifier", "imagenet"
"""Names of features; any other is a folder with a DINOv2."""

RECOGNISER_FEATURES = "mean over the last maps of the classifier that is shipped with the embedded teacher"
IMAGENET_FEATURES = "pooled features of EfficientNet-Lite0, trained on ImageNet"

AT_ONCE = 64


def features_called(name: str, device: torch.device) -> tuple[Features, str]:
    """Features of images, and what they are for people.

    Args:
        name: `CLASSIFIER`, `IMAGENET`, or a folder with the config.json and model.safetensors of a DINOv2.
        device: where a big network runs; features are returned on the CPU.

    Raises:
        UserError: if weights are missing.
    """
    if name == CLASSIFIER:
        return recogniser_features(Recogniser.load()), RECOGNISER_FEATURES
    try:
        if name == IMAGENET:
            return in_parts(load_imagenet_network(device).pooled, device), IMAGENET_FEATURES
        dino = load_dino(Path(name), device)
    except MissingWeightsError as error:
        raise UserError(f"--features: {error}") from None
    return in_parts(lambda images: dino(images)[-1].mean((2, 3)), device), f"mean over the last maps of {name}"


def in_parts(features: Features, device: torch.device) -> Features:
    """Features of a big network, of a few images at a time."""

    @torch.no_grad()
    def of_all(images: Tensor) -> Tensor:
        return torch.cat([features(part.to(device)).float().cpu() for part in images.split(AT_ONCE)])

    return of_all


def recogniser_features(recogniser: Recogniser) -> Features:
    """The means of the last feature maps of a classifier, one number for each map."""

    @torch.no_grad()
    def features(images: Tensor) -> Tensor:
        side = (recogniser.side, recogniser.side)
        parts = [F.interpolate(part, side, mode="bilinear", antialias=True) for part in images.split(256)]
        return torch.cat([recogniser.features(part * 2 - 1).mean((2, 3)) for part in parts])

    return features


def shipped_reference(teacher: str, network: str) -> Reference | None:
    """The reference in the teacher's folder, if it holds one of these features."""
    folder = small_teacher_folder(teacher) or Path(teacher)
    found = load_reference(folder / REFERENCE) if (folder / REFERENCE).is_file() else None
    return found if found is not None and found.network == network else None


def of_pictures(pictures: RealImages, count: int, features: Features, network: str, what: str) -> Reference:
    """``count`` of real pictures as a reference, with what each shows; the same ones at each call.

    Raises UserError for fewer pictures than say anything.
    """
    if len(pictures) < FEWEST_IMAGES:
        raise UserError(f"{len(pictures)} pictures are too few to compare with: at least {FEWEST_IMAGES}")
    chosen = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))[:count]
    seen = [features(pictures.pictures[part].float() / 255) for part in chosen.split(AT_ONCE)]
    view = None if pictures.view is None else pictures.view.part(chosen)
    return Reference(torch.cat(seen), [pictures.captions[int(i)] for i in chosen], view, network, what)
