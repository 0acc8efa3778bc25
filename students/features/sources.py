"""What discriminators look at: the teacher's own features, or those of a network that was trained to see.

A `FeatureSource` makes `students.features.discriminators.Features` for a teacher. The gradient of a discriminator flows
through features into the image, so they must be differentiable in x.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sds.denoiser import Condition, NeuralTeacher
from sds.processes import in_shares_each
from sds.ramps import Ramp, TimeRange
from students.features.discriminators import (
    Discriminator,
    Features,
    LearningDiscriminator,
    LearningFeatures,
    NetworkFeatures,
)
from students.training.batches import ImageSource

FeatureSource = Callable[[NeuralTeacher, nn.Module], Features]
"""(teacher, a network of its architecture) -> features; the network is the teacher's own, or a critic's."""

MODERATE_NOISE = TimeRange(Ramp(0.05, 0.05), Ramp(0.6, 0.6))
"""At which a teacher's network looks at images for a discriminator: enough to see shapes, and to forgive pixels."""

LOWER_HALF = ("down_blocks.1.resnets.0", "mid_block")
"""The layers of diffusers' UNets that are looked at."""


def teacher_features(teacher: NeuralTeacher, network: nn.Module) -> NetworkFeatures:
    """The lower half of a UNet at moderate noise (LADD; DMD2 with the critic's network).

    Raises ValueError for a network that is no UNet.
    """
    return NetworkFeatures(teacher, network, unet_layers(network), MODERATE_NOISE)


LITTLE_NOISE = TimeRange(Ramp(0.02, 0.02), Ramp(0.3, 0.3))
"""At which all levels of a teacher look at images for a discriminator. LADD's own noise is logit-normal around 0.73
(Sauer et al. 2024, section 4.1), where a small network sees next to nothing: students lost all variety (measured)."""


def noisy_features(teacher: NeuralTeacher, network: nn.Module) -> NetworkFeatures:
    """All levels of a UNet that does not learn, at `LITTLE_NOISE`. Raises ValueError for a network that is no UNet."""
    return NetworkFeatures(teacher, network, all_levels(network), LITTLE_NOISE)


SLIGHT_NOISE = TimeRange(Ramp(0.02, 0.02), Ramp(0.12, 0.12))
"""At which features that learn look at images: they shall see what is wrong with pixels."""


def learning_features(teacher: NeuralTeacher, network: nn.Module) -> LearningFeatures:
    """All levels of a copy that learns with the discriminator, at slight noise. Raises ValueError if it is no UNet."""
    layers = all_levels(network)
    return LearningFeatures(teacher, lambda copy: NetworkFeatures(teacher, copy, layers, SLIGHT_NOISE))


def all_levels(network: nn.Module) -> list[str]:
    """The names of one layer of each level of a UNet. Raises ValueError for a network that is no UNet."""
    unet_layers(network)
    return [
        name for name, _ in network.named_modules() if re.fullmatch(r"down_blocks\.\d+\.resnets\.0|mid_block", name)
    ]


def unet_layers(network: nn.Module) -> list[str]:
    """The names of the layers to look at. Raises ValueError for a network that is no UNet."""
    layers = [name for name, _ in network.named_modules() if name in LOWER_HALF]
    if not layers:
        raise ValueError(
            f"a {type(network).__name__} has no down_blocks and mid_block for a discriminator to look at; choose "
            "features of another network (--features imagenet or a DINO folder)"
        )
    return layers


class ImageFeatures:
    """Features of the decoded image, by a network that knows pictures and not the teacher's x.

    Args:
        teacher: decodes x, which for latents is differentiated too.
        maps: images (batch, 3, height, width) in [0, 1] -> tensors (batch, channels, ...).
    """

    def __init__(self, teacher: NeuralTeacher, maps: Callable[[Tensor], Sequence[Tensor]]) -> None:
        self.teacher, self.maps = teacher, maps

    def __call__(self, x: Tensor, condition: Condition, rng: torch.Generator) -> Sequence[Tensor]:
        """See `students.features.discriminators.Features`; neither told the condition nor random."""
        del condition, rng
        return in_shares_each(lambda own: self.maps(self.teacher.decode(own)), x)


def from_images(maps: Callable[[Tensor], Sequence[Tensor]]) -> FeatureSource:
    """The source of `ImageFeatures` of one network for any teacher."""
    return lambda teacher, _: ImageFeatures(teacher, maps)


@torch.no_grad()
def discriminator_on(features: Features, images: ImageSource) -> Discriminator | LearningDiscriminator:
    """Heads for features whose widths are found by looking at one image; new heads are always the same."""
    rng = torch.Generator().manual_seed(0)
    example = images(1, rng)
    seen = features(example.x0, example.condition, rng)
    channels = [feature.shape[1] for feature in seen]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if isinstance(features, LearningFeatures):
            return LearningDiscriminator(features, channels).to(example.x0.device)
        return Discriminator(features, channels).to(example.x0.device)
