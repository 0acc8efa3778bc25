"""Draws many pictures with a teacher, and contact sheets of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from sds.solvers import even_times, solve
from sds.teachers.layers import Look
from sds.teachers.shape_pipeline import LookingView
from sds.teachers.shape_teacher import load_shape_teacher

_BATCH = 16
_LABEL_HEIGHT = 12


@dataclass(frozen=True)
class Request:
    """One picture to be drawn: a prompt, the camera's azimuth and elevation in degrees, and which look."""

    prompt: str
    azimuth: float
    look: Look = Look.LIT
    elevation: float = 15.0


class Sampler:
    """Draws pictures of a teacher, without guidance, over white.

    Args:
        folder: the teacher's.
        steps: of DDIM.
        seed: of the noise.
    """

    def __init__(self, folder: Path, steps: int, seed: int) -> None:
        self.teacher = load_shape_teacher(folder)
        self.size = self.teacher.shape[-1]
        self._steps = steps
        self._generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def draw(self, requests: list[Request]) -> Tensor:
        """(len(requests), 3, S, S) in [0, 1]; all of one call show the look of the first."""
        pictures = []
        for start in range(0, len(requests), _BATCH):
            part = requests[start : start + _BATCH]
            count = len(part)
            azimuth = torch.tensor([math.radians(request.azimuth) for request in part])
            elevation = torch.tensor([math.radians(request.elevation) for request in part])
            view = LookingView(azimuth, elevation, torch.ones(count, 3), part[0].look)
            told = self.teacher.condition([request.prompt for request in part], view)
            noise = torch.randn(count, *self.teacher.shape, generator=self._generator)
            times = even_times(torch.ones(count), torch.zeros(count), self._steps)
            x = solve(self.teacher, noise, times, told)
            pictures.append(self.teacher.decode(x).clamp(0, 1))
        return torch.cat(pictures)


SIDES = (45.0, 135.0, 225.0, 315.0)
"""The azimuths of a sheet, degrees."""


def from_all_sides(sampler: Sampler, prompts: list[str]) -> Tensor:
    """Each prompt from `SIDES`, one after the other: (len(prompts) * 4, 3, S, S)."""
    return sampler.draw([Request(prompt, side) for prompt in prompts for side in SIDES])


def write_labelled(path: Path, prompts: list[str], pictures: Tensor, columns: int) -> None:
    """A contact sheet of what `from_all_sides` drew: the sides of a prompt under its words, `columns` prompts a row."""
    size = pictures.shape[-1]
    width, height = len(SIDES) * size + 8, size + _LABEL_HEIGHT
    canvas = Image.new("RGB", (columns * width, -(-len(prompts) // columns) * height), "white")
    pen = ImageDraw.Draw(canvas)
    for i, prompt in enumerate(prompts):
        left, top = i % columns * width, i // columns * height
        pen.text((left, top), prompt, fill="black")
        for j in range(len(SIDES)):
            pixels = (pictures[i * len(SIDES) + j] * 255).round().byte().permute(1, 2, 0).numpy()
            canvas.paste(Image.fromarray(pixels), (left + j * size, top + _LABEL_HEIGHT))
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path, quality=80)
