"""Small stand-ins for students' tests: exact teachers with a network beside them, and points instead of images."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sds.denoiser import Condition
from sds.schedule import NoiseSchedule
from sds.teachers.mixture import MixtureTeacher
from students.prompts import Prompts


class PointNetwork(nn.Module):
    """x_t and t -> a correction of x0, zero to begin with. Its time embedding is where diffusers' UNets have theirs."""

    def __init__(self, dimension: int, width: int) -> None:
        super().__init__()
        self.time_embedding = nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width))
        self.first = nn.Linear(dimension, width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, dimension)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x_t: Tensor, angle: Tensor) -> Tensor:
        told = self.time_embedding(torch.stack([angle.cos(), angle.sin()], dim=1).to(x_t))
        hidden = nn.functional.silu(self.first(x_t.flatten(1)) + told)
        hidden = nn.functional.silu(self.second(hidden) + told)
        return self.last(hidden).reshape(x_t.shape)


class PointTeacher(MixtureTeacher):
    """An exact mixture whose network corrects it by nothing: critics and students start exact and learn corrections."""

    def __init__(
        self,
        means: Tensor,
        variances: Tensor,
        prompts: dict[str, Tensor] | None = None,
        schedule: NoiseSchedule | None = None,
        width: int = 64,
    ) -> None:
        super().__init__(means, variances, prompts, schedule)
        torch.manual_seed(0)
        self.network = PointNetwork(self.means.shape[1], width).requires_grad_(False)

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return super().__call__(x_t, t, condition) + network(x_t, t * (math.pi / 2))


def two_modes(schedule: NoiseSchedule | None = None) -> PointTeacher:
    """0.3 N(-1, 0.2^2) + 0.7 N(1, 0.3^2) on a line."""
    return PointTeacher(
        torch.tensor([[-1.0], [1.0]]), torch.tensor([0.04, 0.09]), {"": torch.tensor([0.3, 0.7])}, schedule
    )


def ring(modes: int = 8, spread: float = 0.1) -> PointTeacher:
    """``modes`` Gaussians on the unit circle."""
    angles = torch.arange(modes) * (2 * math.pi / modes)
    return PointTeacher(torch.stack([angles.cos(), angles.sin()], dim=1), torch.full((modes,), spread**2), width=96)


def null_prompt(teacher: MixtureTeacher) -> Prompts:
    return Prompts(teacher, [""])


def normals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ring_shares(points: Tensor, teacher: PointTeacher) -> tuple[Tensor, float]:
    """The share of the points at each mode, and the share within three standard deviations of any."""
    distance = torch.cdist(points.detach().flatten(1).double(), teacher.means)
    nearest, mode = distance.min(1)
    near = nearest < 3 * teacher.variances[0, 0].sqrt()
    shares = torch.bincount(mode[near], minlength=len(teacher.means)) / len(points)
    return shares, float(near.float().mean())


def sliced(values: Tensor, exact: Tensor) -> float:
    """Wasserstein distance of two samples of equal size on a line: the mean distance of their sorted values."""
    return float((values.flatten().sort().values - exact.flatten().sort().values).abs().mean())
