"""Any nn.Module that turns a draw into an image can be optimised: here a table of a dozen numbers.

A top and four legs, softly edged boxes: width, depth, thickness and height of the top; thickness, length and spread of
the legs; the colour of the top and that of the legs. What the teacher says about its pictures flows into these numbers.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from representations.cameras import Cameras, CameraSampler, turntable
from representations.rays import Rays, sample_distances
from sds.engine import ScoreDistillation, Settings
from sds.guidance import Guidance
from sds.prompts import PromptSet, condition_for
from sds.ramps import Ramp, TimeRange
from sds.teachers.embedded import load_embedded_teacher

SOFTNESS = 0.03
"""Over what distance an edge fades: without it, moving a leg would change no pixel's gradient."""


class Table(nn.Module):
    """A table that cameras can look at."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.sampler = CameraSampler(size=size, looks=(0.0, 1.0, 0.0))  # its colours hold no light: albedo
        # All lengths are half-extents in object units, kept positive by a softplus.
        self.top = nn.Parameter(inverse_softplus(torch.tensor([0.5, 0.06, 0.5])))  # width, thickness, depth
        self.height = nn.Parameter(torch.tensor(0.2))  # of the top above the middle of the picture
        self.leg = nn.Parameter(inverse_softplus(torch.tensor([0.06, 0.3])))  # thickness, length
        self.spread = nn.Parameter(torch.tensor(0.8))  # where the legs stand, as a share of the top
        self.colours = nn.Parameter(torch.zeros(2, 3))  # of the top and of the legs

    def draw(self, count: int, rng: torch.Generator) -> Cameras:
        """Cameras all round."""
        return self.sampler(count, rng)

    def forward(self, cameras: Cameras) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1], by the volume rendering integral."""
        origins, directions = (part.reshape(-1, 3) for part in cameras.rays())
        rays = Rays(origins, directions, torch.full((len(origins),), 0.5))
        distances, inside = sample_distances(rays, step=2 / 40)
        points = origins[:, None] + distances[..., None] * directions[:, None]
        density, colour = self.look(points)
        absorbed = density * inside * (2 / 40)
        light = torch.exp(-(absorbed.cumsum(1) - absorbed))
        weight = light * (1 - torch.exp(-absorbed))
        shape = (len(cameras), cameras.size, cameras.size)
        image = (weight[..., None] * colour).sum(1).reshape(*shape, 3).permute(0, 3, 1, 2)
        opacity = weight.sum(1).reshape(shape)[:, None]
        return image + (1 - opacity) * cameras.background[:, :, None, None]

    def look(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Density (...) and colour (..., 3) at points (..., 3)."""
        top, (thickness, length) = F.softplus(self.top), F.softplus(self.leg)
        points = torch.stack([points[..., 0], points[..., 1] - self.height, points[..., 2]], dim=-1)
        in_top = box(points, top)
        # Four legs by symmetry: one box in the positive quadrant of |x| and |z|.
        folded = torch.stack([points[..., 0].abs(), points[..., 1], points[..., 2].abs()], dim=-1)
        stands = torch.stack([self.spread * top[0], -top[1] - length, self.spread * top[2]])
        in_leg = box(folded - stands, torch.stack([thickness, length, thickness]))
        share = (in_top / (in_top + in_leg + 1e-6))[..., None]
        colour = share * self.colours[0].sigmoid() + (1 - share) * self.colours[1].sigmoid()
        return 40 * torch.maximum(in_top, in_leg), colour


def box(points: Tensor, half: Tensor) -> Tensor:
    """1 inside a box of half-extents (3,), 0 outside, soft at its faces; for points (..., 3)."""
    return ((half - points.abs()) / SOFTNESS).sigmoid().prod(-1)


def inverse_softplus(x: Tensor) -> Tensor:
    """What softplus turns into ``x``."""
    return torch.log(torch.expm1(x))


def design(prompt: str, path: Path, steps: int = 200) -> dict[str, Any]:
    """Write pictures of the best table for ``prompt`` to ``path``; returns its numbers."""
    teacher = load_embedded_teacher().with_one_object(prompt)
    table = Table(teacher.shape[-1])
    distillation = ScoreDistillation(
        table,
        teacher,
        told=lambda cameras: condition_for(teacher, PromptSet(prompt), cameras, len(cameras)),
        optimizer=torch.optim.Adam(table.parameters(), lr=0.01),
        settings=Settings(
            steps=steps,
            guidance=Guidance(1.0, limit=1.0),
            times=TimeRange(lowest=Ramp(0.3, 0.1), highest=Ramp(0.98, 0.7)),
        ),
    )
    for _ in range(steps):
        distillation.step()
    with torch.no_grad():
        views = table(turntable(6, math.radians(20), size=128))
    strip = torch.cat(list(views), dim=2).permute(1, 2, 0)
    imageio.imwrite(path, (strip * 255).round().byte().numpy())
    return {name: value.tolist() for name, value in table.state_dict().items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompt", nargs="?", default="a blue table")
    parser.add_argument("--out", type=Path, default=Path("table.png"))
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    for name, value in design(options.prompt, options.out, options.steps).items():
        print(f"{name:8} {value}")
    print(options.out)
