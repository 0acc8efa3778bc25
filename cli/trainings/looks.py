"""What discriminators look at and how images are compared, by name: the teacher, ImageNet, DINO, LPIPS."""

from __future__ import annotations

from pathlib import Path

import torch

from cli.errors import UserError
from sds.denoiser import NeuralTeacher
from students.features.dino import load_dino
from students.features.distances import Distance, perceptual
from students.features.imagenet_network import MissingWeightsError, load_imagenet_network
from students.features.lpips import load_lpips
from students.features.sources import FeatureSource, from_images, learning_features, teacher_features

OF_THE_TEACHER: dict[str, FeatureSource] = {"teacher": teacher_features, "learning": learning_features}
"""Features that need no other network."""

IMAGENET, RECIPE = "imagenet", "recipe"
"""Further names that are no folders. ``recipe`` is what the method has anyway."""

PIXELS = 0.1
"""Beside features that may overlook a pixel, the share of the mean squared difference."""


def features_named(name: str, device: torch.device) -> FeatureSource | None:
    """None for the method's own, the teacher's features, those of the ImageNet network, or of the DINOv2 in a folder.

    Raises UserError if weights are missing.
    """
    if name == RECIPE:
        return None
    if name in OF_THE_TEACHER:
        return OF_THE_TEACHER[name]
    try:
        if name == IMAGENET:
            return from_images(load_imagenet_network(device).maps)
        return from_images(load_dino(Path(name), device))
    except MissingWeightsError as error:
        raise UserError(f"--features: {error}") from None


def distance_named(name: str, teacher: NeuralTeacher, device: torch.device) -> Distance | None:
    """None for the method's own, a perceptual distance on the ImageNet network, or the LPIPS of a folder.

    Each is what its name says, or an error: one never stands in for another. Images are decoded before they are
    compared. Raises UserError if weights are missing.
    """
    if name == RECIPE:
        return None
    try:
        if name == IMAGENET:
            between = perceptual(load_imagenet_network(device).maps, PIXELS)
        else:
            between = load_lpips(Path(name), device)
    except MissingWeightsError as error:
        raise UserError(f"--distance: {error}") from None
    return lambda x, y: between(teacher.decode(x), teacher.decode(y))
