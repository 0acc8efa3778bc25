"""Denoising diffusion GANs (Xiao, Kreis & Vahdat 2022): a few large steps, each drawn and not averaged.

Over a large step the image that belongs to x_t is not one Gaussian but many modes, of which a prediction E[x0 | x_t]
is none. So the student is told further noise z, and a discriminator that sees both ends of a step judges it::

    real   (x_s, x_t)    x_s from the image, x_t from x_s
    fake   (x_s', x_t)   x_s' ~ q(x_s | x_t, x0 = student(x_t, t, z))

The discriminator's "image" is the pair, one on top of the other in the channels, so an `Adversary` serves as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from sds.denoiser import Condition, NeuralTeacher
from sds.ramps import Ramp, TimeRange
from sds.schedule import NoiseSchedule, scale
from sds.solvers import ancestral_step
from students.features.discriminators import NetworkFeatures
from students.features.distances import squared
from students.flow_map import FlowMap
from students.methods.adversarial import Adversary
from students.methods.levels import Levels, neighbours
from students.methods.targets import Learning, velocity_weight
from students.student import with_latent
from students.training.batches import Batch, ImageSource

START, END = "step_start", "step_end"
"""The names under which a condition carries t and s of a step, each of shape (batch,)."""


class Steps:
    """Real steps of the forward process: an `ImageSource` whose images are pairs (x_s, x_t).

    Args:
        images: real images.
        schedule: the noise levels.
        levels: of the steps: rising times, the first of them 0; the paper has four steps.
    """

    def __init__(self, images: ImageSource, schedule: NoiseSchedule, levels: Levels) -> None:
        self.images, self.schedule, self.levels = images, schedule, levels

    def __len__(self) -> int:
        return len(self.images)

    def __call__(self, count: int, rng: torch.Generator) -> Batch:
        """``count`` steps, each between two neighbouring levels."""
        batch = self.images(count, rng)
        t, s, _ = neighbours(self.levels, count, rng)
        x_s = self.schedule.add_noise(batch.x0, batch.noise, s)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.schedule(t), self.schedule(s)
        kept = alpha_t / alpha_s
        added = (sigma_t**2 - (kept * sigma_s) ** 2).clamp(min=0).sqrt()
        noise = torch.randn(x_s.shape, generator=rng).to(x_s)
        x_t = scale(kept, x_s) * x_s + scale(added, x_s) * noise
        condition = Condition({**batch.condition.tensors, START: t.to(x_s.device), END: s.to(x_s.device)})
        return replace(batch, condition=condition, image=torch.cat([x_s, x_t], dim=1), states=batch.x0)

    @staticmethod
    def origin(batch: Batch) -> Tensor:
        """The images of which the steps of a ``batch`` are, shape (batch, ...)."""
        assert batch.states is not None
        return batch.states


class StepFeatures:
    """What a teacher's network computes for both ends of a step, each at its own noise level.

    Args:
        teacher: whose way of calling the network is used.
        network: a network of the teacher's architecture: frozen, or a copy that learns (`LearningFeatures`). A teacher
            that predicts v has nothing to say where a step ends at the image; a copy of it learns to.
        layers: names of the modules whose outputs are taken.
    """

    def __init__(self, teacher: NeuralTeacher, network: nn.Module, layers: Sequence[str]) -> None:
        anywhere = TimeRange(Ramp(0.0, 0.0), Ramp(1.0, 1.0))
        self.looks = NetworkFeatures(teacher, network, layers, anywhere)

    def __call__(self, x: Tensor, condition: Condition, rng: torch.Generator) -> Sequence[Tensor]:
        """Features of pairs (x_s, x_t), joined in their channels; the condition carries t and s of the steps."""
        del rng
        x_s, x_t = x.chunk(2, dim=1)
        t, s = (condition.tensors[name].cpu() for name in (START, END))
        ends = zip(self.looks.at(x_s, s, condition), self.looks.at(x_t, t, condition), strict=True)
        return [torch.cat(pair, dim=1) for pair in ends]


class DenoisingDiffusionGan:
    """The term of a student for `students.training.loop`: no teacher, no regression.

    Args:
        adversary: whose real images are ``steps``.
        steps: real steps.
        latent: how many numbers of noise the student is told.
        reconstruction: weight of the loss of denoising on the same images. The paper has none: its student begins with
            random weights. One that begins as a denoiser says the same at the first step, whatever noise it is told,
            and until it has learned to listen a discriminator alone drives it from one place to the next.
    """

    def __init__(self, adversary: Adversary, steps: Steps, latent: int, reconstruction: float = 0.1) -> None:
        self.adversary, self.steps, self.latent, self.reconstruction = adversary, steps, latent, reconstruction

    def __call__(self, learning: Learning, batch: Batch) -> Tensor:
        """The term for as many steps as the batch has images, after a step of the discriminator."""
        real = self.steps(len(batch), learning.rng)
        x_t = real.x0.chunk(2, dim=1)[1]
        t, s = (real.condition.tensors[name].cpu() for name in (START, END))
        x0 = learning.student(x_t, t, 0 * t, with_latent(real.condition, self.latent, learning.rng))
        noise = torch.randn(x_t.shape, generator=learning.rng).to(x_t)
        x_s = ancestral_step(self.steps.schedule, x_t, x0, noise, t, s)
        loss = self.adversary.generator_loss(torch.cat([x_s, x_t], dim=1), real.condition, learning.rng)
        if self.reconstruction and self.adversary.ready:
            weight = velocity_weight(self.steps.schedule, t).to(x0)
            loss = loss + self.reconstruction * (weight * squared(x0, self.steps.origin(real))).mean()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The adversary's."""
        return self.adversary.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.adversary.load_state_dict(state)


@torch.no_grad()
def sample_steps(
    student: FlowMap, noise: Tensor, times: Sequence[float], condition: Condition, latent: int, rng: torch.Generator
) -> Tensor:
    """Draw x0 from pure noise (batch, ...) by one ancestral step between each two of the falling ``times``, and 0."""
    x = noise
    for start, end in zip(times, [*times[1:], 0.0], strict=True):
        t, s = (torch.full((len(x),), time, dtype=torch.float64) for time in (start, end))
        x0 = student(x, t, 0 * t, with_latent(condition, latent, rng))
        x = ancestral_step(student.schedule, x, x0, torch.randn(x.shape, generator=rng).to(x), t, s)
    return x
