"""Pictures changed a little before a discriminator looks at them, so that it cannot learn them by heart.

Real and generated pictures are changed alike, and the gradient flows through the change: a student is not taught to
draw shifted pictures, since shifted real ones look the same to the discriminator (Zhao et al. 2020, DiffAugment, whose
three kinds these are; ADD and StyleGAN-T take them too). The changes themselves are kornia's.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

COLOUR = {"brightness": (0.5, 1.5), "saturation": (0.0, 2.0), "contrast": (0.5, 1.5)}
"""Factors, drawn evenly, of Zhao et al. 2020; brightness is a shift there."""

SHIFT = 0.125
"""Of a picture's side, at most."""

HOLE = (0.25, 0.25)
"""Share of a picture that is cut out: a square of half the side."""


@cache
def changes() -> Any:
    """The three kinds as one kornia module."""
    from kornia.augmentation import (
        AugmentationSequential,
        RandomAffine,
        RandomBrightness,
        RandomContrast,
        RandomErasing,
        RandomSaturation,
    )

    return AugmentationSequential(
        RandomBrightness(COLOUR["brightness"], clip_output=False, p=1.0),
        RandomSaturation(COLOUR["saturation"], p=1.0),
        RandomContrast(COLOUR["contrast"], clip_output=False, p=1.0),
        RandomAffine(degrees=0.0, translate=(SHIFT, SHIFT), padding_mode="border", p=1.0),
        RandomErasing(scale=HOLE, ratio=(1.0, 1.0), p=1.0),
    )


def augmented(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """Pictures (batch, 3, height, width) in [0, 1], each changed by its own draw; differentiable.

    kornia draws from torch's own generator; it is seeded from ``rng`` and left as it was found.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=rng)))
        changed: Tensor = changes()(pictures)
    return changed
