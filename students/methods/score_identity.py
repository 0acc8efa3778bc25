"""Score identity distillation (SiD, Zhou et al. 2024): a loss that vanishes where student and teacher agree.

With D the teacher's and C the critic's prediction at x_t = alpha x + sigma noise, x = G(z) the student's image::

    loss = c < D - C,  (D - x) - a (D - C) >,      c = 1 / mean |D - x|, not differentiated

If the critic knows the student's images, E <D - C, x - C> = 0, and a = 1/2 makes half of E |D - C|^2 of it: a Fisher
divergence. The paper takes a = 1 or 1.2, for which the part that the critic's lag adds has the opposite sign. The one
method here whose gradient passes through teacher and critic, into x_t.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sds.critic import Critic
from sds.denoiser import Denoiser
from sds.ramps import DREAMFUSION_TIMES, TimeRange
from students.flow_map import even_jumps, sample_again
from students.methods.targets import Learning
from students.teachers import Differentiable
from students.training.batches import Batch


def identity_loss(x: Tensor, of_teacher: Tensor, of_critic: Tensor, correction: float = 1.2) -> Tensor:
    """The loss of each image, summed over its numbers (Zhou et al. 2024, equation 24); shape (batch,).

    Args:
        x, of_teacher, of_critic: the student's images and both predictions, shape (batch, ...).
        correction: a in the formula above.
    """
    difference = of_teacher - of_critic
    weight = 1 / (of_teacher - x).detach().abs().flatten(1).mean(1).clamp(min=1e-6)
    return weight * (difference * ((of_teacher - x) - correction * difference)).flatten(1).sum(1)


class ScoreIdentity:
    """The term of a student for `students.training.loop`, with a critic that learns before each step.

    Args:
        teacher: differentiable in x_t (`students.teachers.Differentiable`), guided if that shall be learned.
        critic: of the student's images.
        times: of the student's steps; each is trained as often as the others.
        noise_levels: where the predictions are compared.
        correction: a in the formula above.
        critic_steps: updates of the critic before each loss.
    """

    def __init__(
        self,
        teacher: Denoiser,
        critic: Critic,
        times: Sequence[float] = (1.0,),
        noise_levels: TimeRange = DREAMFUSION_TIMES,
        correction: float = 1.2,
        critic_steps: int = 1,
    ) -> None:
        self.teacher, self.critic, self.times = teacher, critic, tuple(times)
        self.noise_levels, self.correction, self.critic_steps = noise_levels, correction, critic_steps
        self.seen_by_critic = Differentiable(critic.teacher, critic.network)

    def __call__(self, learning: Learning, batch: Batch) -> Tensor:
        """The mean loss of the images that the student makes of the batch's noise."""
        rng = learning.rng
        jumps = even_jumps(len(batch), len(self.times), rng)
        further = [torch.randn(batch.noise.shape, generator=rng).to(batch.noise) for _ in self.times[1:]]
        x = sample_again(learning.student, [batch.noise, *further], self.times, batch.condition, jumps)
        for _ in range(self.critic_steps):
            self.critic.update(self._fresh(learning, batch), batch.condition, rng)
        t = self.noise_levels.sample(len(x), learning.progress, rng)
        x_t = self.teacher.schedule.add_noise(x, torch.randn(x.shape, generator=rng).to(x), t)
        of_teacher = self.teacher(x_t, t, batch.condition)
        of_critic = self.seen_by_critic(x_t, t, batch.condition)
        return identity_loss(x, of_teacher, of_critic, self.correction).mean()

    @torch.no_grad()
    def _fresh(self, learning: Learning, batch: Batch) -> Tensor:
        """Images for the critic alone, of other noise: on the loss's own it would know by heart what they are."""
        rng, jumps = learning.rng, even_jumps(len(batch), len(self.times), learning.rng)
        noise = [torch.randn(batch.noise.shape, generator=rng).to(batch.noise) for _ in self.times]
        return sample_again(learning.student, noise, self.times, batch.condition, jumps)

    def state_dict(self) -> dict[str, Any]:
        """The critic's."""
        return self.critic.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.critic.load_state_dict(state)
