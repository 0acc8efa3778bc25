"""What tells real images from a student's: heads on features, of a frozen network or of one that learns with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sds.copies import begun, held_as_said
from sds.denoiser import Condition, NeuralTeacher
from sds.precision import computing_type
from sds.processes import in_shares_each
from sds.sharding import is_split_up
from students.levels import Times


class Features(Protocol):
    """What a discriminator looks at."""

    def __call__(self, x: Tensor, condition: Condition, rng: torch.Generator) -> Sequence[Tensor]:
        """Features of x (batch, ...), each (batch, channels, ...), differentiable in x."""
        ...


@runtime_checkable
class NoisyFeatures(Protocol):
    """Features of images with noise, which can be asked for at any one level.

    Attributes:
        times: the noise levels at which images are looked at.
    """

    times: Times

    def at(self, x_t: Tensor, t: Tensor, condition: Condition) -> Sequence[Tensor]:
        """Features of x_t, (batch, ...), of the noise level ``t``, (batch,)."""
        ...


class NetworkFeatures:
    """What a denoising network computes inside while it looks at x with some noise (LADD; DMD2 with the critic's).

    Args:
        teacher: whose way of calling the network is used.
        network: the teacher's own, or a critic's; it is not trained by a discriminator.
        layers: names of the modules whose outputs are taken, as in ``network.named_modules()``.
        times: the noise levels that are added: a discriminator that sees noise is harder to saturate.

    Raises:
        ValueError: if the network has no module of such a name.
    """

    def __init__(self, teacher: NeuralTeacher, network: nn.Module, layers: Sequence[str], times: Times) -> None:
        modules = dict(network.named_modules())
        unknown = sorted(set(layers) - modules.keys())
        if unknown or not layers:
            known = ", ".join(name for name in modules if name)
            raise ValueError(f"a {type(network).__name__} has no layers {unknown}; it has {known[:300]}")
        self.teacher, self.network, self.times = teacher, network, times
        self.modules = [modules[layer] for layer in layers]

    def __call__(self, x: Tensor, condition: Condition, rng: torch.Generator) -> Sequence[Tensor]:
        """See `Features`."""
        t = self.times.sample(len(x), 0.0, rng)
        noise = torch.randn(x.shape, generator=rng).to(x)
        return self.at(self.teacher.schedule.add_noise(x, noise, t), t, condition)

    def at(self, x_t: Tensor, t: Tensor, condition: Condition) -> Sequence[Tensor]:
        """What the layers say about x_t, (batch, ...), of the noise level ``t``, (batch,)."""
        weights = list(self.network.parameters())
        return in_shares_each(self._seen, x_t, t, condition, weights=weights)[: len(self.modules)]

    def _seen(self, x_t: Tensor, t: Tensor, condition: Condition) -> Sequence[Tensor]:
        seen: list[Tensor] = []
        hooks = [module.register_forward_hook(lambda _m, _i, output: seen.append(output)) for module in self.modules]
        sharded = is_split_up(self.network)
        try:
            predicted = self.teacher.denoise(self.network, x_t, t, condition)
        finally:
            for hook in hooks:
                hook.remove()
        if sharded:  # its weights are brought together for the gradient of its end, even if that is zero
            seen.append(predicted)
        return [feature.to(x_t.dtype) for feature in seen]  # heads learn in float32 on features of half precision


class LearningFeatures(nn.Module):
    """The features of a copy of the teacher's network that learns together with the heads (Xu et al. 2023, section 4).

    Frozen features are blind to whatever their network never had to see, such as the traces of its own architecture;
    a student that may not have them leaves them behind.

    Args:
        teacher: whose network is copied.
        looks: from the copy to its features, for example a `NetworkFeatures`.
    """

    def __init__(self, teacher: NeuralTeacher, looks: Callable[[nn.Module], Features]) -> None:
        super().__init__()
        self.network = begun(teacher)
        held_as_said(teacher, self.network)
        self.of_network = looks(self.network)
        self.computed_in = computing_type(teacher.network)

    def forward(self, x: Tensor, condition: Condition, rng: torch.Generator) -> Sequence[Tensor]:
        """See `Features`."""
        return self.of_network(x, condition, rng)


class Discriminator(nn.Module):
    """A head on each feature; the logit is their mean.

    Each head is a small network at every place of a feature map, after bringing the feature to unit variance over its
    channels, with spectrally normalised weights (Sauer et al. 2023, section 3.1, without their class projection).

    Args:
        features: what is looked at.
        channels: of each feature.
        width: of the heads' hidden layer.
    """

    def __init__(self, features: Features, channels: Sequence[int], width: int = 64) -> None:
        super().__init__()
        self.features = features
        spectral = torch.nn.utils.parametrizations.spectral_norm
        self.heads = nn.ModuleList(
            nn.Sequential(spectral(nn.Linear(c, width)), nn.LeakyReLU(0.2), spectral(nn.Linear(width, 1)))
            for c in channels
        )

    def forward(self, seen: Sequence[Tensor]) -> Tensor:
        """Logits of shape (batch,), from what `features` returned."""
        logits = []
        for head, feature in zip(self.heads, seen, strict=True):
            places = feature.flatten(2).transpose(1, 2) if feature.dim() > 2 else feature[:, None]
            logits.append(head(F.layer_norm(places, places.shape[-1:])).mean((1, 2)))
        return torch.stack(logits).mean(0)


class LearningDiscriminator(nn.Module):
    """A linear head on each feature of a network that learns; the logit is their sum, each the mean over its places.

    A feature is brought to unit variance in groups of channels over all places, not at each place: a pattern that is
    the same everywhere, as the traces of an architecture are, must not be normalised away.

    Args:
        features: what is looked at and learns.
        channels: of each feature.
    """

    def __init__(self, features: LearningFeatures, channels: Sequence[int]) -> None:
        super().__init__()
        self.features = features
        self.heads = nn.ModuleList(nn.Conv2d(count, 1, 1) for count in channels)

    def forward(self, seen: Sequence[Tensor]) -> Tensor:
        """Logits of shape (batch,), from what `features` returned, maps (batch, channels, height, width)."""
        logits = []
        for head, feature in zip(self.heads, seen, strict=True):
            groups = math.gcd(8, feature.shape[1] // 2) or 1  # of two channels or more: one alone would lose its mean
            logits.append(head(F.group_norm(feature, groups)).mean((1, 2, 3)))
        return torch.stack(logits).sum(0)
