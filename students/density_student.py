"""A student that is a flow of known density: it draws in one pass, and says how likely what it draws is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sds.copies import copies_of
from sds.denoiser import Condition, NeuralTeacher
from sds.lora import full_copy
from sds.processes import in_shares_each
from sds.schedule import scale, time_at
from students.density_flow import DensityFlow
from students.student import Student

FINEST = 0.1
"""sigma / alpha of the noise that is left in what it draws: without any, a density of pictures would be infinite."""


class DensityStudent(Student):
    """A flow for every noise level of a teacher; as a flow map it knows one jump, from pure noise to the image.

    Args:
        teacher: whose conditions and noise levels it knows. Its network is no part of the student.
        told, width, pairs: see `students.density_flow.DensityFlow`.

    Raises:
        ValueError: for a teacher whose students shall be sharded.
    """

    def __init__(self, teacher: NeuralTeacher, told: Mapping[str, int], width: int = 64, pairs: int = 6) -> None:
        if copies_of(teacher).sharded:
            raise ValueError("a flow of known density is small: leave out --shard")
        flow = DensityFlow(teacher.shape[0], told, width, pairs).to(next(teacher.network.parameters()).device)
        super().__init__(teacher, network=flow)
        self.size = (told, width, pairs)

    @property
    def finest(self) -> Tensor:
        """The time of the lowest noise level that it draws at, shape (1,)."""
        return time_at(self.schedule, torch.tensor([FINEST], dtype=torch.float64))

    def drawn(self, noise: Tensor, t: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """x_t of the noise levels ``t``, (batch,), and log |det dx_t/dnoise|, (batch,)."""

        def own(noise: Tensor, t: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
            x_t, log_det = self.network(noise, self.angle(t), condition)
            return x_t, log_det

        x_t, log_det = in_shares_each(own, noise, t, condition, weights=list(self.network.parameters()))
        return x_t, log_det

    def log_density(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """log q(x_t) at the noise level ``t``, shape (batch,)."""
        assert isinstance(self.network, DensityFlow)
        return self.network.log_density(x_t, self.angle(t), condition)

    def angle(self, t: Tensor) -> Tensor:
        """atan2(sigma, alpha), shape (batch,)."""
        alpha, sigma = self.schedule(t)
        return torch.atan2(sigma, alpha)

    def _predict(self, x_t: Tensor, t: Tensor, s: Tensor, condition: Condition) -> Tensor:
        del t, s
        finest = self.finest.expand(len(x_t))
        drawn, _ = self.network(x_t, self.angle(finest), condition)
        return drawn / scale(self.schedule.alpha(finest), drawn)

    @property
    def computed_in(self) -> torch.dtype:
        """float32, whatever its teacher computes in."""
        return torch.float32

    def copied(self) -> DensityStudent:
        """Another one of the same teacher, with new weights."""
        return DensityStudent(self._teacher[0], *self.size)

    def plain_network(self, end: float = 0.0, guidance_scale: float = 1.0) -> nn.Module:
        """The teacher's network: the folder of the student holds it, since prompts are understood by it."""
        del end, guidance_scale
        return full_copy(self._teacher[0].network).eval().requires_grad_(False)
