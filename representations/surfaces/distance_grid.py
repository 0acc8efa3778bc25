"""A differentiable surface: signed distances on a grid, and the mesh between inside and outside."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from representations.geometry.isosurface import EmptySurfaceError
from representations.geometry.mesh import Cleaning
from representations.geometry.voxels import doubled, node_positions
from representations.surfaces.dual_marching_cubes import WARP_ISOSURFACE, trace_patches, trace_patches_warp

SPHERE_RADIUS = 0.99
"""The surface stays inside this sphere, and so inside the grid."""

_SMALLEST_GAP = 1e-6


class DualSurface(NamedTuple):
    """A closed surface of quadrilaterals."""

    vertices: Tensor
    """(V, 3), differentiable in the distances."""
    quads: NDArray[np.int64]
    """(Q, 4), counter-clockwise seen from outside."""

    def triangles(self) -> NDArray[np.int32]:
        """(2Q, 3): each quadrilateral cut along its shorter diagonal."""
        corner = self.vertices.detach().cpu().numpy()[self.quads]
        first = np.square(corner[:, 0] - corner[:, 2]).sum(axis=1) <= np.square(corner[:, 1] - corner[:, 3]).sum(axis=1)
        turned = np.where(first[:, None], self.quads, np.roll(self.quads, -1, axis=1))
        return turned[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3).astype(np.int32)


def dual_surface(distance: Tensor) -> DualSurface:
    """The surface where signed distances change sign, by dual marching cubes.

    The vertex inside a cube is the mean of the points at which the surface crosses the cube's edges, each found by
    linear interpolation: u = (s_a x_b - s_b x_a) / (s_a - s_b) (FlexiCubes, Shen et al. 2023, equations 2 and 3, with
    all weights equal; the teachers of this toolkit look at far fewer pixels than those weights have numbers).

    Compared with marching tetrahedra on the same grid the surface has a third of the faces, no slivers, and consists
    of quadrilaterals; it is closed and a manifold, see `representations.surfaces.dual_marching_cubes`.

    Args:
        distance: (N, N, N) at the nodes over [-1, 1]^3, indexed [z, y, x], negative inside; positive at its border.

    Raises:
        ValueError: as `trace_patches`.
        EmptySurfaceError: nothing is inside.
    """
    quads, nodes, vertices = _patches(distance.detach() < 0)
    if vertices == 0:
        raise EmptySurfaceError("The surface has vanished: no node of the grid is inside. Try fewer steps.")
    inside, outside = distance.reshape(-1)[nodes].unbind(dim=1)
    here, there = _places(nodes, distance)
    # Where both distances nearly vanish the crossing may lie anywhere, and its gradient must stay finite.
    share = -inside / (outside - inside).clamp(min=_SMALLEST_GAP)
    crossing = here + share[:, None] * (there - here)
    corners = quads.reshape(-1)
    total = crossing.new_zeros(vertices, 3).index_add(0, corners, crossing.repeat_interleave(4, dim=0))
    shares = torch.bincount(corners, minlength=vertices)[:, None]
    return DualSurface(total / shares, quads.cpu().numpy())


def _patches(inside: Tensor) -> tuple[Tensor, Tensor, int]:
    """What `trace_patches` finds between the nodes of a grid, where the grid is."""
    if WARP_ISOSURFACE.works_for(inside):
        return trace_patches_warp(inside)
    patches = trace_patches(inside.cpu().numpy())
    quads, nodes = (torch.from_numpy(array).to(inside.device) for array in (patches.quads, patches.nodes))
    return quads, nodes, patches.vertices


def _places(nodes: Tensor, distance: Tensor) -> tuple[Tensor, ...]:
    """The coordinates (Q, 3) of both nodes (Q, 2) of each edge."""
    size = distance.shape[0]
    index = torch.stack([nodes % size, nodes // size % size, nodes // size**2], dim=-1)
    return (index.to(distance) * (2 / (size - 1)) - 1).unbind(dim=1)


class DistanceGrid(nn.Module):
    """Signed distances as the sum of what they began with and a pyramid of corrections.

    The coarse levels move large regions at once. All levels are in units of a cell of the
    finest grid, so that one learning rate suits every resolution.

    Args:
        resolutions: cells along one side, coarse to fine, each twice the one before.
        learning_rate: of all levels, in cells; several times as much makes something new out of a ball.
    """

    cleaning = Cleaning(smallest_component=0.01, smoothing_steps=4)
    """Floaters are dropped, and the ripples that the grid's cells leave in the surface smoothed."""
    start: Tensor
    """(N, N, N) the distances that the surface began with, in cells."""
    _sphere: Tensor

    def __init__(self, resolutions: Sequence[int] = (24, 48, 96), learning_rate: float = 0.015):
        super().__init__()
        self.learning_rate = learning_rate
        if not resolutions or any(fine != 2 * coarse for coarse, fine in pairwise(resolutions)):
            raise ValueError(f"Each resolution must be twice the one before, not {tuple(resolutions)}.")
        self.levels = nn.ParameterList(torch.zeros(n + 1, n + 1, n + 1, 1) for n in resolutions)
        nodes = resolutions[-1] + 1
        radius = node_positions(nodes).norm(dim=-1)
        self.cell = 2 / resolutions[-1]
        self.register_buffer("start", (radius - 0.5) / self.cell)
        self.register_buffer("_sphere", (radius - SPHERE_RADIUS) / self.cell, persistent=False)

    @property
    def nodes(self) -> int:
        """N, nodes along one side of the finest level."""
        return self.start.shape[0]

    def begin_with(self, distance: Tensor) -> None:
        """Start from signed distances (N, N, N) in object units, negative inside; corrections become zero."""
        self.start.copy_(distance / self.cell)
        with torch.no_grad():
            for level in self.levels:
                level.zero_()

    def distances(self) -> Tensor:
        """(N, N, N) signed distances in cells, indexed [z, y, x]; positive outside the sphere."""
        total = self.levels[0]
        for level in list(self.levels)[1:]:
            total = doubled(total) + level
        return torch.maximum(self.start + total[..., 0], self._sphere)

    def forward(self) -> DualSurface:
        """The surface. Raises EmptySurfaceError if there is none."""
        return dual_surface(self.distances())

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters with learning rates that suit them, for any torch optimiser."""
        return [{"params": list(self.levels), "lr": self.learning_rate}]
