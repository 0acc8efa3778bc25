"""A weight for each noise level that learns how large the loss is there (Karras et al. 2024, EDM2; sCM's equation 8).

::

    loss = E  exp(w(t)) d(prediction, target) - w(t)

For a fixed student the best w is -log E[d | t]: every noise level then counts the same, whatever its errors are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sds.schedule import NoiseSchedule
from students.features.distances import Distance, squared
from students.methods.targets import Learning, Objective
from students.training.batches import Batch

HARMONICS = 8
"""Cosines of the angle atan2(sigma, alpha) of which w is made."""


class LevelWeighted:
    """A regression whose weight over the noise levels learns beside the student: a term for `students.training.loop`.

    Args:
        objective: the method.
        schedule: of its times.
        distance: between prediction and target.
        learning_rate: of w's Adam.
    """

    def __init__(
        self,
        objective: Objective,
        schedule: NoiseSchedule,
        distance: Distance = squared,
        learning_rate: float = 1e-2,
    ) -> None:
        self.objective, self.schedule, self.distance = objective, schedule, distance
        self.network = nn.Linear(HARMONICS, 1)
        nn.init.zeros_(self.network.weight)
        nn.init.zeros_(self.network.bias)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=learning_rate)

    def __call__(self, learning: Learning, batch: Batch) -> Tensor:
        """The weighted loss, after a step of the weight."""
        with torch.no_grad():
            target = self.objective(learning, batch)
            wanted = target.compared(target.x0)
        predicted = target.compared(learning.student(target.x_t, target.t, target.s, target.condition))
        error = target.weight.to(predicted) * self.distance(predicted, wanted)
        log_weight = self.log_weight(target.t)
        loss = (log_weight.exp() * error.detach().to(log_weight) - log_weight).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return (log_weight.detach().exp().to(error) * error).mean()

    def log_weight(self, t: Tensor) -> Tensor:
        """w at times of shape (batch,); the same shape, on the CPU."""
        angle = torch.atan2(*reversed(self.schedule(t)))
        waves = (2 * angle[:, None] * torch.arange(HARMONICS)).cos()
        return self.network(waves.float())[:, 0]

    def state_dict(self) -> dict[str, Any]:
        """w and its optimiser."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
