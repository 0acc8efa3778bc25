"""Probability density distillation (van den Oord et al. 2018, "Parallel WaveNet"): the student's density is known.

A flow q draws x from noise z in one pass, and log q(x) is exact, so that the divergence from the teacher needs no
critic::

    KL(q || p) = E_z [ log q(x) - log p(x) ],       log q(x) = log N(z) - log |det dx/dz|
    gradient   = -d/dtheta log |det dx/dz|  -  grad log p(x) dx/dtheta

Their teacher is autoregressive and says p(x) itself. A diffusion teacher says grad log p_t of its noised pictures,
(alpha D - x_t) / sigma^2, and little of use where there is no noise; so here a flow is told the noise level t and
learns every p_t: the highest is nearly its own noise, and leads to the lower ones. Diff-Instruct has the same gradient
for one generator whose images are noised; the score of these it must learn, by a critic. Like every divergence of this
direction it prefers to leave out a mode to drawing between two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sds.denoiser import Denoiser
from sds.schedule import scale
from students.density_student import DensityStudent
from students.levels import Times
from students.methods.targets import Learning
from students.training.batches import Batch


@dataclass(frozen=True)
class DensityMatching:
    """The divergence above for each noise level times sigma, in nats for each number of an image: a term of the loop.

    Only its gradient is right: what is returned holds the teacher's score, and not its density.

    Attributes:
        teacher: guided or not.
        times: the noise levels that are learned.
    """

    teacher: Denoiser
    times: Times

    def __call__(self, learning: Learning, batch: Batch) -> Tensor:
        """The surrogate for as many images as the batch has noise. Raises TypeError for another kind of student."""
        student = learning.student
        if not isinstance(student, DensityStudent):
            raise TypeError(f"a {type(student).__name__} does not know its density")
        t = self.times.sample(len(batch), learning.progress, learning.rng)
        x_t, log_det = student.drawn(batch.noise, t, batch.condition)
        alpha, sigma = student.schedule(t)
        with torch.no_grad():
            x0 = self.teacher(x_t, t, batch.condition)
            score = (scale(alpha, x_t) * x0 - x_t) / scale(sigma.square(), x_t)
        divergence = -log_det - (score * x_t).flatten(1).sum(1)
        return (sigma.to(divergence) * divergence).mean() / x_t[0].numel()

    def state_dict(self) -> dict[str, Any]:
        """Empty: it learns nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to do."""
