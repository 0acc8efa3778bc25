"""Small stand-ins for tests: a neural teacher of a few hundred parameters and generators of a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sds.denoiser import Condition, View
from sds.guidance import PromptConditions
from sds.schedule import NoiseSchedule, cosine_schedule, scale


class ToyNetwork(nn.Module):
    """x_t, t and one number of text -> x0, with the parts a diffusers UNet has: convolutions and a time embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.time_embedding = nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.Linear(8, 8))
        self.conv_in = nn.Conv2d(3, 8, 3, padding=1)
        self.conv_out = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x_t: Tensor, t: Tensor, text: Tensor) -> Tensor:
        embedding = self.time_embedding(torch.stack([t.to(x_t), text.to(x_t)], dim=1))
        return self.conv_out(
            torch.tanh(self.conv_in(x_t) + scale(torch.ones(len(x_t)), x_t) * embedding[..., None, None])
        )


class ToyTeacher:
    """A neural teacher. Prompts are told by their length."""

    shape = (3, 4, 4)

    def __init__(self, knows_views: bool = False, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.network = ToyNetwork().requires_grad_(False)
        self.knows_views = knows_views
        self.schedule: NoiseSchedule = cosine_schedule()

    def condition(self, prompts: Sequence[str], view: View | None = None) -> Condition:
        del view
        return Condition({"text": torch.tensor([float(len(prompt)) for prompt in prompts])})

    def encode(self, image: Tensor) -> Tensor:
        return image * 2 - 1

    def decode(self, x: Tensor) -> Tensor:
        return (x + 1) / 2

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return network(x_t, t, condition.tensors["text"])

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self.denoise(self.network, x_t, t, condition)


@dataclass
class ToyView:
    azimuth: Tensor
    elevation: Tensor
    background: Tensor


def views(count: int) -> ToyView:
    return ToyView(torch.linspace(0, 3, count), torch.zeros(count), torch.ones(count, 3))


class Pixels(nn.Module):
    """The simplest generator: an image, drawn as it is."""

    def __init__(self, shape: tuple[int, ...] = (3, 4, 4), value: float = 0.5) -> None:
        super().__init__()
        self.image = nn.Parameter(torch.full(shape, value, dtype=torch.float32))

    def draw(self, count: int, rng: torch.Generator) -> int:
        del rng
        return count

    def forward(self, draw: int) -> Tensor:
        return self.image.expand(draw, *self.image.shape)


def told(teacher: ToyTeacher, prompt: str = "a prompt"):
    """From a draw (a count) to conditions."""

    def conditions(draw: int) -> PromptConditions:
        return PromptConditions(
            teacher.condition([prompt] * draw), teacher.condition([""] * draw), teacher.condition(["bad"] * draw)
        )

    return conditions
