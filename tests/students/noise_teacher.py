"""A teacher that predicts noise, as Stable Diffusion's does: a small network trained in seconds on pictures of dots."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from sds.denoiser import Condition, View
from sds.schedule import Prediction, output_from_x0, schedule_from_diffusers, x0_from
from sds.solvers import even_times, solve
from students.answerable import BelowPureNoise

SHAPE = (3, 4, 4)
WIDTH = 128

SCHEDULES = {
    "scaled_linear": DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
    "linear": DDPMScheduler(),
    "squaredcos_cap_v2": DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
}
"""Stable Diffusion's, DDPM's and DeepFloyd IF's: alpha is 0.07, 0.006 and 5e-5 where they end."""


def dots(count: int, seed: int) -> Tensor:
    """Soft dots of one of three colours anywhere on gray: (count, 3, 4, 4) in [-1, 1]."""
    rng = torch.Generator().manual_seed(seed)
    place = 0.5 + 2 * torch.rand(count, 2, 1, 1, generator=rng)
    colour = 2 * torch.eye(3)[torch.randint(3, (count,), generator=rng)] - 1
    grid = torch.arange(4.0)
    squares = (grid[:, None] - place[:, 0]).square() + (grid[None, :] - place[:, 1]).square()
    return (-squares / 2).exp()[:, None] * colour[:, :, None, None]


class Block(nn.Module):
    """A residual layer that is told the time."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        hidden = nn.functional.silu(self.first(h.flatten(1)) + embedding)
        return h + self.second(hidden)[:, :, None, None]


class Level(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.resnets = nn.ModuleList([Block()])


class SmallUNet(nn.Module):
    """x_t and a timestep -> the noise in it; its parts are called as those of diffusers' UNets."""

    def __init__(self) -> None:
        super().__init__()
        size = math.prod(SHAPE)
        self.time_embedding = nn.Sequential(nn.Linear(12, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        self.conv_in = nn.Linear(size, WIDTH)
        self.down_blocks = nn.ModuleList([Level()])
        self.mid_block = Block()
        self.conv_out = nn.Linear(WIDTH, size)

    def forward(self, x_t: Tensor, timestep: Tensor) -> Tensor:
        angles = (timestep / 1000 * math.pi)[:, None] * 2.0 ** torch.arange(-1.0, 5.0)
        embedding = self.time_embedding(torch.cat([angles.sin(), angles.cos()], dim=1).to(x_t))
        h = self.conv_in(x_t.flatten(1))[:, :, None, None]
        h = self.mid_block(self.down_blocks[0].resnets[0](h, embedding), embedding)
        return self.conv_out(h.flatten(1)).reshape(x_t.shape)


BEST = 0.8
"""Of DDPM's schedule, where sigma / alpha is 26."""


class NoiseTeacher:
    """Meets `sds.denoiser.NeuralTeacher`; it knows no words."""

    shape, knows_views, has_null, vocabulary = SHAPE, False, False, ("",)

    def __init__(self, scheduler: DDPMScheduler, steps: int = 1500, batch: int = 128) -> None:
        self.schedule = schedule_from_diffusers(scheduler)
        self.prediction = Prediction(scheduler.config.prediction_type)
        torch.manual_seed(0)
        network = SmallUNet()
        average = torch.optim.swa_utils.AveragedModel(
            network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
        )
        optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, fused=True)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        pictures, rng = dots(20_000, seed=1), torch.Generator().manual_seed(0)
        for _ in range(steps):
            x0 = pictures[torch.randint(len(pictures), (batch,), generator=rng)]
            t, noise = torch.rand(batch, generator=rng).double(), torch.randn(x0.shape, generator=rng)
            x_t = self.schedule.add_noise(x0, noise, t)
            predicted = network(x_t, self.schedule.timestep(t))
            optimizer.zero_grad()
            (predicted - output_from_x0(self.prediction, x0, x_t, *self.schedule(t))).square().mean().backward()
            optimizer.step()
            falling.step()
            average.update_parameters(network)
        self.network = average.module.eval().requires_grad_(False)

    def condition(self, prompts: Sequence[str], view: View | None = None) -> Condition:
        del view
        return Condition({"nothing": torch.zeros(len(prompts), 1)})

    def encode(self, image: Tensor) -> Tensor:
        return image * 2 - 1

    def decode(self, x: Tensor) -> Tensor:
        return (x + 1) / 2

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        del condition
        return x0_from(self.prediction, network(x_t, self.schedule.timestep(t)), x_t, *self.schedule(t))

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self.denoise(self.network, x_t, t, condition)

    def drawn(self, count: int, seed: int, steps: int = 50) -> Tensor:
        """Its own pictures (count, *SHAPE), from the level where they are best, which is above that of its students."""
        teacher, rng = BelowPureNoise(self, BEST), torch.Generator().manual_seed(seed)
        noise = torch.randn(count, *SHAPE, generator=rng)
        grid = even_times(torch.ones(count), torch.zeros(count), steps)
        return solve(teacher, noise, grid, teacher.condition([""] * count, None))
