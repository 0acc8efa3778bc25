"""The critic: the score of the generator's own images, learned while the generator changes.

It is a copy of the teacher that keeps training on what the generator draws. The difference between what the teacher
and what the critic would like to see is the gradient of a Kullback-Leibler divergence, which keeps variety where plain
SDS collapses (VSD, Wang et al. 2023; Diff-Instruct, Luo et al. 2023; DMD, Yin et al. 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sds.checkpoint import CheckpointError, require_form, restore_optimizer
from sds.copies import begun, held_as_said
from sds.denoiser import Condition, NeuralTeacher, View
from sds.number_embedding import NumberEmbedding
from sds.precision import Descent, computing_type
from sds.processes import in_shares
from sds.ramps import DREAMFUSION_TIMES, TimeRange
from sds.schedule import NoiseSchedule
from sds.sharding import dealt_out

VIEW_FEATURES = "critic_view"
"""The name under which a condition carries the camera of a teacher that knows none."""

LARGEST_SNR = 20.0
"""Above this signal-to-noise ratio the loss of the clean image is not weighted up any further."""


@dataclass(frozen=True)
class CriticSettings:
    """How a critic learns.

    Attributes:
        rank: rank of the low-rank adaptation; None trains a full copy (Diff-Instruct and DMD do).
        learning_rate: of AdamW (ProlificDreamer: 1e-4 with Stable Diffusion; small teachers take more).
        warm_up: number of updates over which the learning rate rises.
        view_drop: how often an update hides the camera.
        times: the noise levels it learns.
    """

    rank: int | None = 4
    learning_rate: float = 1e-3
    warm_up: int = 20
    view_drop: float = 0.1
    times: TimeRange = DREAMFUSION_TIMES


class Critic:
    """A denoiser of the generator's images: a copy of the teacher, told the camera if the teacher knows none.

    Args:
        teacher: what it starts as; not changed.
        settings: how it learns.
    """

    def __init__(self, teacher: NeuralTeacher, settings: CriticSettings | None = None) -> None:
        self.teacher = teacher
        self.settings = settings or CriticSettings()
        rank = self.settings.rank
        self.network = begun(teacher, rank)
        self.view = None if teacher.knows_views else NumberEmbedding(self.network, 6, "critic_view_embedding")
        held_as_said(teacher, self.network)
        self.updates = 0
        self.optimizer = torch.optim.AdamW(
            [parameter for parameter in self.network.parameters() if parameter.requires_grad],
            lr=self.settings.learning_rate,
        )
        self.descent = Descent(self.optimizer, computing_type(teacher.network))

    @property
    def schedule(self) -> NoiseSchedule:
        """The teacher's noise levels."""
        return self.teacher.schedule

    def condition(self, prompts: Sequence[str], view: View | None) -> Condition:
        """The teacher's condition for ``prompts`` as they are, plus the camera as numbers."""
        condition = self.teacher.condition(prompts, view)
        if self.view is None or view is None:
            return condition
        device = next(iter(condition.tensors.values())).device
        return Condition({**condition.tensors, VIEW_FEATURES: view_features(view).to(device)})

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """E[x0 | x_t] under the generator's own distribution, as far as it has been learned."""
        return self._denoise(x_t, t, condition)

    def update(self, x: Tensor, condition: Condition, generator: torch.Generator) -> float:
        """One step of denoising score matching on the generator's images ``x`` (batch, ...); returns the loss."""
        loss = self.loss(x, condition, generator)
        self.learn(loss)
        return float(loss.detach())

    def loss(self, x: Tensor, condition: Condition, generator: torch.Generator) -> Tensor:
        """The loss of denoising score matching on images ``x`` (batch, ...), a scalar.

        The error of the clean image is weighted by SNR + 1, which for variance-preserving schedules is the squared
        error of v (the parametrisation that ProlificDreamer's authors found to train best), with the SNR capped.
        """
        x = x.detach()
        t = self.settings.times.sample(len(x), 0.0, generator)
        noise = torch.randn(x.shape, generator=generator).to(x)
        x0 = self._denoise(self.schedule.add_noise(x, noise, t), t, self._some_views_hidden(condition, generator))
        weight = self.schedule.log_snr(t).exp().clamp(max=LARGEST_SNR) + 1
        return (weight.to(x) * ((x0 - x) ** 2).flatten(1).mean(1)).mean()

    def learn(self, loss: Tensor) -> None:
        """One step of the optimiser on a loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * min(1.0, (self.updates + 1) / self.settings.warm_up)
        self.descent(loss, "the critic")
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """Everything that training changes: the trained weights, their optimiser and the number of updates."""
        trained = {name: p.detach() for name, p in self.network.named_parameters() if p.requires_grad}
        return {
            "network": trained,
            "optimizer": self.optimizer.state_dict(),
            "scale": self.descent.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`. Raises CheckpointError if it belongs to another teacher or rank."""
        own = self.state_dict()
        if not isinstance(state, dict) or not own.keys() <= state.keys():
            raise CheckpointError("the checkpoint's critic is none, or of another version")
        require_form(state["network"], own["network"], "the checkpoint's critic (of another teacher or rank?)")
        require_form(state["updates"], own["updates"], "the critic's count of updates")
        restore_optimizer(self.optimizer, state["optimizer"])
        with torch.no_grad():
            for name, parameter in own["network"].items():
                parameter.copy_(dealt_out(state["network"][name], parameter))
        self.descent.load_state_dict(state["scale"])
        self.updates = state["updates"]

    def _denoise(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return in_shares(self._predict, x_t, t, condition, weights=list(self.network.parameters()))

    def _predict(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        if self.view is not None:
            self.view.numbers = condition.tensors.get(VIEW_FEATURES)
        return self.teacher.denoise(self.network, x_t, t, condition)

    def _some_views_hidden(self, condition: Condition, generator: torch.Generator) -> Condition:
        if VIEW_FEATURES not in condition.tensors:
            return condition
        features = condition.tensors[VIEW_FEATURES]
        seen = (torch.rand(len(features), 1, generator=generator) >= self.settings.view_drop).to(features)
        return Condition({**condition.tensors, VIEW_FEATURES: features * seen})


def view_features(view: View) -> Tensor:
    """The camera as numbers: sine and cosine of azimuth, twice the azimuth, and elevation; shape (batch, 6)."""
    angles = torch.stack([view.azimuth, 2 * view.azimuth, view.elevation], dim=1).float()
    return torch.cat([angles.sin(), angles.cos()], dim=1)
