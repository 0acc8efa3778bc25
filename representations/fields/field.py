"""Radiance fields: what is where. Density and colour at any point inside the unit sphere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from representations.fields.encodings import HashEncoding
from representations.fields.packed import normals_by_differences, render_packed
from representations.fields.volume import COLOUR_CHANNELS, density_of, features_of, render_volume
from representations.geometry.voxels import doubled, node_normals, node_positions, roughness, sample_grid
from representations.rays import Marching, RayIntegral, Rays

COLOUR_ROUGHNESS = 0.3
"""How much a step in colour counts beside a step in density when a field's roughness is measured."""

NORMAL_DISTANCE = 1 / 64
"""How far from a point a hash grid is looked at to find the normal there."""


class FieldValues(NamedTuple):
    """A field at P points."""

    density: Tensor
    """(P,) in [0, inf) per object unit."""
    colour: Tensor
    """(P, 3) in [0, 1]."""


class Field(Protocol):
    """What a radiance field must be able to do; `DenseGrid` and `HashGrid` are two of them."""

    occupancy_resolution: int
    """Cells along one side of the occupancy grid that suits the field."""
    occupancy_decay: float
    """Share of a cell's density that is remembered from one occupancy update to the next."""

    def __call__(self, points: Tensor) -> FieldValues:
        """Density and colour at points (P, 3)."""
        ...

    def render(self, rays: Rays, occupancy: Tensor, marching: Marching, with_normals: bool) -> RayIntegral:
        """Integrates colour, and the outward normal if wanted, along rays: 3 or 6 features."""
        ...

    def cell_density(self, resolution: int, offset: Tensor) -> Tensor:
        """(R, R, R) density of each cell [z, y, x]: its maximum, or else its value at `offset` (3,) in [0, 1)."""
        ...

    def roughness(self) -> Tensor:
        """A scalar: about the area of all surfaces, plus steps in colour; see `geometry.voxels.roughness`."""
        ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters with learning rates that suit them, for any torch optimiser."""
        ...

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """As of `torch.nn.Module`."""
        ...


@dataclass(frozen=True)
class Blob:
    """The fuzzy gray ball that a field starts from: density logit = sharpness * (radius - |x|) + surface.

    A start with nothing in it gives a score nothing to improve; one that is solid never lets light through to the
    inside.
    """

    radius: float = 0.45
    sharpness: float = 10.0
    surface: float = -3.0

    def logit(self, points: Tensor) -> Tensor:
        """(...) density logits at points (..., 3)."""
        return self.sharpness * (self.radius - points.norm(dim=-1)) + self.surface


class DenseGrid(nn.Module):
    """A pyramid of voxel grids whose sum, at the finest resolution, is the field's raw values.

    The coarse levels move large regions at once, which the gradients of a few noisy images cannot do voxel by voxel.

    Args:
        resolutions: cells along one side, coarse to fine, each twice the one before.
        blob: the initial density.
    """

    occupancy_decay = 0.0

    def __init__(self, resolutions: Sequence[int] = (16, 32, 64), blob: Blob | None = None):
        super().__init__()
        if not resolutions or any(fine != 2 * coarse for coarse, fine in pairwise(resolutions)):
            raise ValueError(f"Each resolution of a DenseGrid must be twice the one before, not {tuple(resolutions)}.")
        channels = 1 + COLOUR_CHANNELS
        self.levels = nn.ParameterList(torch.zeros(n + 1, n + 1, n + 1, channels) for n in resolutions)
        self.occupancy_resolution = resolutions[-1]
        with torch.no_grad():
            self.levels[-1][..., 0] = (blob or Blob()).logit(node_positions(resolutions[-1] + 1))

    def grid(self) -> Tensor:
        """(N, N, N, 4) raw values (see `representations/fields/volume.py`); N is the finest resolution plus one."""
        total = self.levels[0]
        for level in list(self.levels)[1:]:
            total = doubled(total) + level
        return total

    def forward(self, points: Tensor) -> FieldValues:
        """Density and colour at points (P, 3)."""
        raw = sample_grid(self.grid(), points)
        return FieldValues(density_of(raw[..., 0]), features_of(raw[..., 1:]))

    def render(self, rays: Rays, occupancy: Tensor, marching: Marching, with_normals: bool) -> RayIntegral:
        """Integrates colour, and the outward normal if wanted, along rays; see `Field`."""
        grid = self.grid()
        if with_normals:
            grid = torch.cat([grid, node_normals(grid[..., 0])], dim=-1)
        return render_volume(grid, rays, occupancy, marching)

    def cell_density(self, resolution: int, offset: Tensor) -> Tensor:
        """(R, R, R) the maximum of the density in each cell, which is attained at a node; see `Field`."""
        del offset  # the maximum needs no place to look at
        cells, remainder = divmod(self.occupancy_resolution, resolution)
        if remainder:
            raise ValueError(f"{resolution} cells do not divide a grid of {self.occupancy_resolution} cells.")
        density = density_of(self.grid()[..., 0])
        return F.max_pool3d(density[None], kernel_size=cells + 1, stride=cells)[0]

    def roughness(self) -> Tensor:
        """A scalar; see `Field`. Through a sigmoid, so that solid beside empty costs the same whatever the logits."""
        grid = self.grid()
        return roughness(grid.sigmoid(), _roughness_weights(grid))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters with learning rates that suit them, for any torch optimiser."""
        return [{"params": list(self.levels), "lr": 0.06}]


class HashGrid(nn.Module):
    """A hash encoding and a small network: detail beyond what a dense grid can hold, at a higher price per sample.

    Args:
        encoding: of points in [0, 1]^3; by default one that a CPU can train.
        width: hidden units of the network.
        blob: the initial density.
        generator: draws the initial parameters; by default always the same ones.
    """

    occupancy_resolution = 32
    occupancy_decay = 0.7

    def __init__(
        self,
        encoding: HashEncoding | None = None,
        width: int = 32,
        blob: Blob | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        self.encoding = encoding or HashEncoding(12, 2, 16, 8, 256, generator)
        self.blob = blob or Blob()
        first, last = nn.Linear(self.encoding.width, width), nn.Linear(width, 1 + COLOUR_CHANNELS)
        for layer in (first, last):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)
        self.network = nn.Sequential(first, nn.ReLU(), last)

    def raw(self, points: Tensor) -> Tensor:
        """(P, 4) raw values at points (P, 3), as of `representations/fields/volume.py`."""
        raw = self.network(self.encoding((points / 2 + 0.5).clamp(0, 1)))
        return torch.cat([raw[:, :1] + self.blob.logit(points)[:, None], raw[:, 1:]], dim=1)

    def forward(self, points: Tensor) -> FieldValues:
        """Density and colour at points (P, 3)."""
        raw = self.raw(points)
        return FieldValues(density_of(raw[:, 0]), features_of(raw[:, 1:]))

    def render(self, rays: Rays, occupancy: Tensor, marching: Marching, with_normals: bool) -> RayIntegral:
        """Integrates colour, and the outward normal if wanted, along rays; see `Field`."""

        def look(points: Tensor) -> tuple[Tensor, Tensor]:
            density, colour = self(points)
            if not with_normals:
                return density, colour
            normals = normals_by_differences(lambda where: self.raw(where)[:, 0], points, NORMAL_DISTANCE)
            return density, torch.cat([colour, normals], dim=1)

        return render_packed(look, rays, occupancy, marching)

    def cell_density(self, resolution: int, offset: Tensor) -> Tensor:
        """(R, R, R) the density at one place in each cell; see `Field`."""
        axis = torch.arange(resolution, device=offset.device)
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        points = (torch.stack([x, y, z], dim=-1) + offset) * (2 / resolution) - 1
        return self(points.reshape(-1, 3).to(self.encoding.table)).density.reshape(resolution, resolution, resolution)

    def roughness(self) -> Tensor:
        """A scalar; see `Field`. Measured between the corners of occupancy cells: finer detail is left alone."""
        nodes = self.occupancy_resolution + 1
        points = node_positions(nodes, self.encoding.table.device).to(self.encoding.table)
        raw = self.raw(points.reshape(-1, 3)).reshape(nodes, nodes, nodes, -1)
        return roughness(raw.sigmoid(), _roughness_weights(raw))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters with learning rates that suit them, for any torch optimiser."""
        return [
            {"params": [self.encoding.table], "lr": 0.01},
            {"params": list(self.network.parameters()), "lr": 0.005},
        ]


def _roughness_weights(like: Tensor) -> Tensor:
    return torch.tensor([1.0] + [COLOUR_ROUGHNESS] * COLOUR_CHANNELS).to(like)
