"""UFOGen (Xu et al. 2023): a discriminator that sees the student's images under the noise of the next lower level.

With levels t_0 = 0 < t_1 < ... < t_K, of which the student is trained at all and used at the highest::

    x0' = student(x_t, t),   t = t_k;        fake  x' ~ q(x at t_(k-1) | x0'),   real  x ~ q(x at t_(k-1) | x0)
    loss = adversarial(x', t_(k-1)) + weight / sigma_t^2 |x0' - x0|^2

Where the distributions of fake and real agree under noise, they agree without it; so a student that is trained for
several steps may be used for one. The reconstruction is the loss of denoising, weighted as velocity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sds.denoiser import Condition, NeuralTeacher
from sds.ramps import Ramp, TimeRange
from students.features.discriminators import NetworkFeatures
from students.features.distances import squared
from students.methods.adversarial import Adversary, FittingNoise
from students.methods.levels import Levels, neighbours
from students.methods.targets import Learning, velocity_weight
from students.training.batches import Batch

JUDGED_AT = "judged_at"
"""The name under which a condition carries the noise level at which an image is to be seen, shape (batch,)."""


class FeaturesAtLevel:
    """What a network computes for images at the noise level that their condition carries.

    Args:
        looks: at a given level; its own times are not used.
    """

    def __init__(self, looks: NetworkFeatures) -> None:
        self.looks = looks

    def __call__(self, x: Tensor, condition: Condition, rng: torch.Generator) -> Sequence[Tensor]:
        """See `students.features.discriminators.Features`; a condition without a level is seen at one half."""
        t = condition.tensors.get(JUDGED_AT, torch.full((len(x),), 0.5, dtype=torch.float64)).cpu()
        noise = torch.randn(x.shape, generator=rng).to(x)
        return self.looks.at(self.looks.teacher.schedule.add_noise(x, noise, t), t, condition)


class UFOGen:
    """The term of a student for `students.training.loop`; the teacher is where it starts, and is not asked again.

    Args:
        adversary: whose features are `FeaturesAtLevel`.
        levels: rising times from 0.
        reconstruction: weight of the denoising beside the adversary.
        fitting: how images are noised at the highest level, where the student starts from pure noise below t = 1; None
            noises them as ever.
    """

    def __init__(
        self, adversary: Adversary, levels: Levels, reconstruction: float = 0.1, fitting: FittingNoise | None = None
    ) -> None:
        self.adversary, self.levels, self.reconstruction, self.fitting = adversary, levels, reconstruction, fitting

    def __call__(self, learning: Learning, batch: Batch) -> Tensor:
        """The term for one batch, after a step of the discriminator."""
        t, below, _ = neighbours(self.levels, len(batch), learning.rng)
        x_t = learning.student.schedule.add_noise(batch.x0, batch.noise, t)
        if self.fitting is not None:
            x_t = self.fitting(x_t, t, batch, learning.rng)
        x = learning.student(x_t, t, torch.zeros_like(t), batch.condition)
        told = Condition({**batch.condition.tensors, JUDGED_AT: below.to(x.device)})
        loss = self.adversary.generator_loss(x, told, learning.rng, batch.x0)
        if self.reconstruction and self.adversary.ready:
            weight = velocity_weight(learning.student.schedule, t).to(x)
            loss = loss + self.reconstruction * (weight * squared(x, batch.x0)).mean()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The adversary's."""
        return self.adversary.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.adversary.load_state_dict(state)


def at_level(teacher: NeuralTeacher, network: nn.Module, layers: Sequence[str]) -> FeaturesAtLevel:
    """The features of layers of a ``network`` of the teacher's architecture, at the level that is asked for."""
    return FeaturesAtLevel(NetworkFeatures(teacher, network, layers, TimeRange(Ramp(0.0, 0.0), Ramp(1.0, 1.0))))
