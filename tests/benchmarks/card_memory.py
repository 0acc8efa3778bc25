"""What fits a card: a step of each teacher for a field and for a mesh, counted on torch's meta device.

    python -m tests.benchmarks.card_memory

Nothing is measured on a card: the largest sum of all storages that are alive at once, by the teacher's networks in
bfloat16 and by what is optimised, added up, and `ALLOWANCE` for what CUDA takes for itself.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import nn

from cli.scenes.recipes.large_teachers import LARGE_TEACHER, LARGE_TEACHER_MESH
from representations.fields.field import DenseGrid
from tests.sds.test_memory_budget import GIB, SD_1_5, SD_2_1, SD_3_MEDIUM, SDXL, Memory, peak_of_a_step

ALLOWANCE = 0.75
"""GiB, for CUDA's context and the gaps between what is allocated: a guess."""

CARDS = (6, 8, 12, 16, 24)
"""GB, as they are sold; a little less than so many GiB is usable."""

TEACHERS: dict[str, tuple[dict[str, Any], float]] = {
    "Stable Diffusion 1.5, 512 px": (SD_1_5, 0.23),
    "Stable Diffusion 2.1, 768 px": (SD_2_1, 0.63),
    "SDXL, 1024 px": (SDXL, 1.53),
    "Stable Diffusion 3 medium, 1024 px": (SD_3_MEDIUM, 10.4),
}
"""Configurations, and GiB of the text encoders in half precision, which are there until the prompts are read."""


def peak_of_voxels(resolution: int, samples: int) -> float:
    """GiB of a step of Adam on a grid of voxels: rendered or looked up at so many points, and its penalty."""
    field = DenseGrid((16,))
    sizes = [resolution // 4 + 1, resolution // 2 + 1, resolution + 1]
    with Memory() as memory, torch.device("meta"):
        field.levels = nn.ParameterList(torch.zeros(n, n, n, 4) for n in sizes)
        moments = [torch.zeros_like(level) for level in field.levels for _ in range(2)]
        points = torch.zeros(samples, 3)
        (field(points).colour.sum() + field.roughness()).backward()
        del moments
    return memory.peak / GIB


def needs() -> dict[str, tuple[float, float, float]]:
    """GiB of each teacher: a step of a field, a step of a mesh, and what is there while the prompts are read."""
    field = peak_of_voxels(LARGE_TEACHER.grid, 2**16)
    mesh = peak_of_voxels(LARGE_TEACHER_MESH.texture_grid, (LARGE_TEACHER_MESH.size or 0) ** 2)
    result = {}
    with patch.object(F, "scaled_dot_product_attention", lambda query, *_, **__: torch.empty_like(query)):
        for name, (config, encoders) in TEACHERS.items():
            step, weights = peak_of_a_step(config), weights_of(config)
            result[name] = step + field + ALLOWANCE, step + mesh + ALLOWANCE, weights + encoders + ALLOWANCE
    return result


def weights_of(config: dict[str, Any]) -> float:
    """GiB of a teacher's network and autoencoder in half precision."""
    from diffusers import SD3Transformer2DModel, UNet2DConditionModel

    kind = SD3Transformer2DModel if "num_layers" in config else UNet2DConditionModel
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in kind(**config).parameters())
    return 2 * (parameters + 84e6) / GIB


def smallest_card(gib: float) -> str:
    """The smallest of `CARDS` on which so many GiB fit, a twentieth left free."""
    return next((f"{card} GB" for card in CARDS if gib <= 0.95 * card * 1e9 / GIB), "more")


def main() -> None:
    print("| teacher | field | mesh | while prompts are read | smallest card, field and mesh |")
    print("|---|---:|---:|---:|---|")
    for name, (field, mesh, beginning) in needs().items():
        cards = smallest_card(max(field, beginning)), smallest_card(max(mesh, beginning))
        print(f"| {name} | {field:.1f} | {mesh:.1f} | {beginning:.1f} GiB | {cards[0]}, {cards[1]} |")


if __name__ == "__main__":
    main()
