"""A radiance field seen by cameras: `forward(cameras) -> Rendering`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from representations.cameras import Cameras, CameraSampler
from representations.fields.field import DenseGrid, Field
from representations.fields.occupancy import OccupancyGrid
from representations.fields.surface import extract_mesh
from representations.fields.volume import COLOUR_CHANNELS
from representations.geometry.mesh import Cleaning, Mesh
from representations.geometry.voxels import node_positions
from representations.rays import Marching, Rays
from representations.rendering import Rendering
from representations.shading import Lighting, Shading, headlight, looks_of, of_each_look
from representations.two_pass import render_in_strips

OCCUPANCY_INTERVAL = 16
"""Steps between looks at which cells hold anything."""

SURFACE_RESOLUTION = 129
"""Nodes along one side of the grid on which `NeRF.surface` is traced."""

SURFACE_CLEANING = Cleaning(smallest_component=0.01, smoothing_steps=4)

_POINTS_AT_ONCE = 2**18


@dataclass(frozen=True)
class PenaltyWeights:
    """How strongly `NeRF.penalty` pulls.

    Attributes:
        roughness: on the area of surfaces, and on steps in colour. Too much eats thin parts.
        opacity_entropy: on rays that are neither stopped nor free; ramps up from 0 over the run.
        sparsity: on opacity as such.
    """

    roughness: float = 2.0
    opacity_entropy: float = 0.5
    sparsity: float = 0.0


class NeRF(nn.Module):
    """A radiance field, where it is occupied, and how it is looked at.

    Args:
        field: what is optimised; a `DenseGrid` by default.
        sampler: how `draw` places cameras.
        marching: how densely rays are sampled.
        penalty_weights: see `PenaltyWeights`.
        shading: from `representations/shading.py`: one, or those of several looks, among which `Cameras.look` chooses;
            None shows the bare colour and computes no normals.
        rays_at_once: images with more rays than this are rendered in strips, and again strip by strip for the gradient,
            so that memory does not grow with the image (the two-pass gradient).
        lighting: the light of that shading.
    """

    def __init__(
        self,
        field: Field | None = None,
        sampler: CameraSampler | None = None,
        marching: Marching | None = None,
        penalty_weights: PenaltyWeights | None = None,
        shading: Shading | Sequence[Shading] | None = None,
        rays_at_once: int = 2**14,
        lighting: Lighting = headlight,
    ):
        super().__init__()
        self.field: Field = field or DenseGrid()
        self.occupancy = OccupancyGrid(self.field.occupancy_resolution)
        self.sampler = sampler or CameraSampler()
        self.marching = marching or Marching()
        self.penalty_weights = penalty_weights or PenaltyWeights()
        self.looks = looks_of(shading)
        self.lighting = lighting
        self.rays_at_once = rays_at_once

    def draw(self, count: int, generator: torch.Generator) -> Cameras:
        """Cameras to be trained on. A rendering is a function of them and the parameters, and of nothing else."""
        return self.sampler(count, generator)

    def forward(self, cameras: Cameras) -> Rendering:
        """Renders, on the field's device; differentiable with respect to the field."""
        cameras = cameras.to(self.occupancy.density.device)
        rows_at_once = max(1, self.rays_at_once // (len(cameras) * cameras.size))
        images = render_in_strips(
            lambda rows: self._render_rows(cameras, rows), cameras.size, rows_at_once, list(self.field.parameters())
        )
        image, opacity, depth = images[:3]
        return Rendering(image, opacity, depth, images[3] if len(images) > 3 else None)

    def penalty(self, rendering: Rendering, progress: float) -> Tensor:
        """A scalar that keeps the field plain; `progress` in [0, 1] is the share of the run that is over."""
        weights = self.penalty_weights
        opacity = rendering.opacity.clamp(1e-3, 1 - 1e-3)
        entropy = -(opacity * opacity.log() + (1 - opacity) * (1 - opacity).log()).mean()
        total = weights.opacity_entropy * progress * entropy
        if weights.roughness:
            total = total + weights.roughness * self.field.roughness()
        if weights.sparsity:
            total = total + weights.sparsity * rendering.opacity.mean()
        return total

    def update_occupancy(self, step: int) -> None:
        """To be called before every step; looks at the field again every `OCCUPANCY_INTERVAL` steps."""
        if step > 0 and step % OCCUPANCY_INTERVAL == 0:
            self.occupancy.update(self.field, step // OCCUPANCY_INTERVAL)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters with learning rates that suit them, for any torch optimiser."""
        return self.field.parameter_groups()

    def surface(self, faces: int | None = None) -> Mesh:
        """The field's coloured surface, or simplified to about so many faces; see `representations.solid.Solid`."""
        return extract_mesh(self, SURFACE_RESOLUTION, cleaning=replace(SURFACE_CLEANING, target_faces=faces))

    @torch.no_grad()
    def density_grid(self, resolution: int) -> Tensor:
        """(R, R, R) density at the nodes of a regular grid over [-1, 1]^3, indexed [z, y, x]."""
        points = node_positions(resolution, self.occupancy.density.device).reshape(-1, 3)
        parts = [self.field(part).density for part in points.split(_POINTS_AT_ONCE)]
        return torch.cat(parts).reshape(resolution, resolution, resolution)

    @torch.no_grad()
    def opacity(self, cameras: Cameras) -> Tensor:
        """(B, H, W) in [0, 1]: how much of the light each pixel's ray is stopped."""
        return self(cameras).opacity[:, 0]

    @torch.no_grad()
    def color_at(self, points: Tensor) -> Tensor:
        """(P, 3) colour in [0, 1] at points (P, 3)."""
        return torch.cat([self.field(part).colour for part in points.split(_POINTS_AT_ONCE)])

    @torch.no_grad()
    def seen_color(self, points: Tensor, normals: Tensor) -> Tensor:
        """(P, 3) colour that a camera straight above a surface sees; points and unit outward normals are (P, 3).

        Unlike `color_at` it does not depend on how deep in the haze around a surface the points lie. Where hardly
        anything is seen it is the colour at the point.
        """
        above = points + 2 / self.field.occupancy_resolution * normals
        rays = Rays(above, -normals, torch.full_like(points[:, 0], 0.5))
        integral = self.field.render(rays, self.occupancy.binaries, self.marching, with_normals=False)
        opacity = integral.opacity[:, None]
        return torch.where(opacity > 0.1, integral.features / opacity.clamp(min=0.1), self.color_at(points))

    def _render_rows(self, cameras: Cameras, rows: slice) -> tuple[Tensor, ...]:
        """The tensors of a `Rendering` for some rows of the images, without the normals if there are none."""
        origins, directions = cameras.rays(rows)
        offsets = cameras.sample_offsets(rows)
        rays = Rays(origins.reshape(-1, 3), directions.reshape(-1, 3), offsets.reshape(-1)).to(self.occupancy.density)
        integral = self.field.render(rays, self.occupancy.binaries, self.marching, bool(self.looks))
        features = integral.features.reshape(*offsets.shape, -1).permute(0, 3, 1, 2)
        opacity, depth = (
            integral.opacity.reshape(offsets.shape)[:, None],
            integral.depth.reshape(offsets.shape)[:, None],
        )
        colour, normals = features[:, :COLOUR_CHANNELS], []
        if self.looks:
            summed = features[:, COLOUR_CHANNELS:]
            normal = summed / summed.square().sum(dim=1, keepdim=True).add(1e-12).sqrt()
            covered = opacity.clamp(min=1e-2)
            light = self.lighting(cameras)
            colour = of_each_look(self.looks, cameras.look, colour / covered, normal, light) * covered
            normals.append(normal)
        image = colour + (1 - opacity) * cameras.background[:, :, None, None]
        return image, opacity, depth / opacity.clamp(min=1e-6), *normals
