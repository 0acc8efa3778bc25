"""A textured surface seen by cameras: `forward(cameras) -> Rendering`, as of a `NeRF`, but sharp."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from representations.cameras import Cameras, CameraSampler
from representations.geometry.mesh import Cleaning, Mesh, clean
from representations.geometry.signed_distance import signed_distances
from representations.geometry.topology import twin_edges, undirected_edges
from representations.rendering import Rendering
from representations.shading import Lighting, Shading, headlight, looks_of, of_each_look
from representations.solid import Solid
from representations.surfaces.differentiable_rasterizer import Fragments, rasterize_fragments
from representations.surfaces.distance_grid import DistanceGrid
from representations.surfaces.penalties import edge_variation, edge_vertices, laplacian_energy, normal_deviation

_POINTS_AT_ONCE = 2**18


class Triangles(Protocol):
    """A surface as it is at the moment."""

    @property
    def vertices(self) -> Tensor:
        """(V, 3), perhaps differentiable."""
        ...

    def triangles(self) -> NDArray[np.int32]:
        """(F, 3), counter-clockwise seen from outside."""
        ...


class Shape(Protocol):
    """What a `MeshField` has its surface from: a `DistanceGrid`, or a `FixedShape`."""

    cell: float
    """The length in which a penalty measures distances."""
    cleaning: Cleaning
    """What is done to the surface before it is delivered."""

    def __call__(self) -> Triangles:
        """The surface at the moment."""
        ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters with learning rates that suit them; none if the surface is fixed."""
        ...


class Colours(Protocol):
    """The values of a texture at points."""

    @property
    def colour(self) -> Tensor:
        """(P, 3) in [0, 1]."""
        ...


class Texture(Protocol):
    """What a `MeshField` has its colours from: any radiance field, for instance."""

    def __call__(self, points: Tensor) -> Colours:
        """Colours at points (P, 3)."""
        ...

    def roughness(self) -> Tensor:
        """A scalar that grows with steps in colour."""
        ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters with learning rates that suit them, for any torch optimiser."""
        ...

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """As of `torch.nn.Module`."""
        ...


@dataclass(frozen=True)
class MeshRendering(Rendering):
    """What cameras see of a mesh, and the mesh that they saw.

    Attributes:
        vertices: (V, 3), differentiable.
        faces: (F, 3).
    """

    vertices: Tensor
    faces: NDArray[np.int32]


@dataclass(frozen=True)
class MeshPenaltyWeights:
    """How strongly `MeshField.penalty` pulls; see `representations.surfaces.penalties`.

    Attributes:
        laplacian, normals, edges: on the surface.
        roughness: on steps in colour.
    """

    laplacian: float = 1.0
    normals: float = 1.0
    edges: float = 0.0
    roughness: float = 1.0


class MeshField(nn.Module):
    """A surface, the field that holds its colours, and how it is looked at.

    Args:
        shape: where the surface is, e.g. a `DistanceGrid`.
        texture: the colour at each point of it, e.g. a radiance field, whose density is ignored.
        sampler: how `draw` places cameras.
        penalty_weights: see `MeshPenaltyWeights`.
        shading: from `representations/shading.py`: one, or those of several looks, among which `Cameras.look` chooses;
            None shows the bare colour.
        lighting: the light of that shading.
    """

    def __init__(
        self,
        shape: Shape,
        texture: Texture,
        sampler: CameraSampler | None = None,
        penalty_weights: MeshPenaltyWeights | None = None,
        shading: Shading | Sequence[Shading] | None = None,
        lighting: Lighting = headlight,
    ):
        super().__init__()
        self.shape: Shape = shape
        self.texture: Texture = texture
        self.sampler = sampler or CameraSampler()
        self.penalty_weights = penalty_weights or MeshPenaltyWeights()
        self.looks = looks_of(shading)
        self.lighting = lighting

    def draw(self, count: int, generator: torch.Generator) -> Cameras:
        """Cameras to be trained on. A rendering is a function of them and the parameters, and of nothing else."""
        return self.sampler(count, generator)

    def forward(self, cameras: Cameras) -> MeshRendering:
        """Renders; differentiable in the texture by the colours, and in the shape by silhouettes and shading.

        The pixel's jitter is ignored: silhouettes are blended, so nothing depends on where in a pixel a sample lies.

        Raises:
            representations.geometry.isosurface.EmptySurfaceError: if the surface has vanished.
        """
        surface = self.shape()
        vertices, faces = surface.vertices, surface.triangles()
        cameras = cameras.to(vertices.device)
        seen = rasterize_fragments(projected(vertices, cameras), faces, cameras.size)
        points = seen.interpolate(vertices)
        # A texture that moved the surface would move it along itself, where nothing changes on the screen.
        colour = self.texture(points.detach()).colour
        view = seen.view
        normal = None
        if self.looks:
            normal = F.normalize(seen.interpolate(vertex_normals(vertices, faces)), dim=1)
            light = self.lighting(cameras).of_views(view)
            look = None if cameras.look is None else cameras.look[view]
            albedo, direction = colour[:, :, None, None], normal[:, :, None, None]  # as images of one pixel each
            colour = of_each_look(self.looks, look, albedo, direction, light)[:, :, 0, 0]
        shown = torch.cat([colour, torch.ones_like(colour[:, :1])], dim=1)
        behind = torch.cat([cameras.background, torch.zeros_like(cameras.background[:, :1])], dim=1)
        image, opacity = seen.antialiased(seen.images(shown, behind.to(shown))).permute(0, 3, 1, 2).split([3, 1], dim=1)
        depth = (points - cameras.position[view]).norm(dim=1, keepdim=True)
        return MeshRendering(
            image,
            opacity,
            _placed(seen, depth),
            None if normal is None else _placed(seen, normal),
            vertices,
            faces,
        )

    def penalty(self, rendering: MeshRendering, progress: float) -> Tensor:
        """A scalar that keeps surface and texture plain. It does not depend on `progress`, the share that is over."""
        del progress
        weights, vertices = self.penalty_weights, rendering.vertices
        total = weights.roughness * self.texture.roughness() if weights.roughness else vertices.new_zeros(())
        if not vertices.requires_grad:
            return total
        twins = twin_edges(rendering.faces, len(vertices))
        edges = undirected_edges(twins)
        beside = np.stack([edges // 3, twins[edges] // 3], axis=1)[twins[edges] >= 0]
        faces = torch.from_numpy(rendering.faces).long().to(vertices.device)
        ends = edge_vertices(torch.from_numpy(edges).long().to(faces), faces)
        if weights.laplacian:
            total = total + weights.laplacian * laplacian_energy(vertices, ends, self.shape.cell)
        if weights.normals:
            pairs = torch.from_numpy(beside).long().to(faces)
            total = total + weights.normals * normal_deviation(vertices, faces, pairs)
        if weights.edges:
            total = total + weights.edges * edge_variation(vertices, ends)
        return total

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters with learning rates that suit them, for any torch optimiser."""
        return self.shape.parameter_groups() + self.texture.parameter_groups()

    @torch.no_grad()
    def surface(self, faces: int | None = None) -> Mesh:
        """The coloured surface; see `representations.solid.Solid`."""
        surface = self.shape()
        mesh = Mesh(surface.vertices.cpu().double().numpy(), surface.triangles().astype(np.int64))
        mesh = clean(mesh, replace(self.shape.cleaning, target_faces=faces))
        points = torch.from_numpy(mesh.vertices).to(surface.vertices)
        return Mesh(mesh.vertices, mesh.faces, self.color_at(points).cpu().double().numpy())

    @torch.no_grad()
    def color_at(self, points: Tensor) -> Tensor:
        """(P, 3) colour in [0, 1] at points (P, 3)."""
        return torch.cat([self.texture(part).colour for part in points.split(_POINTS_AT_ONCE)])

    def seen_color(self, points: Tensor, normals: Tensor) -> Tensor:
        """(P, 3) colour that a camera straight above the surface sees: that of the point."""
        del normals
        return self.color_at(points)


def begin_with(field: MeshField, solid: Solid, steps: int = 60) -> None:
    """Give a mesh field, whose shape is a `DistanceGrid`, the surface and the colours of another representation."""
    assert isinstance(field.shape, DistanceGrid)
    mesh = solid.surface()
    field.shape.begin_with(torch.from_numpy(signed_distances(mesh, field.shape.nodes)))
    fit_texture(field.texture, mesh, field.shape.cell, steps)


def fit_texture(texture: Texture, mesh: Mesh, thickness: float, steps: int = 60) -> None:
    """Teach a texture the colours of a surface, the same throughout a thin layer around it.

    Args:
        texture: what learns.
        mesh: with colours, and with vertices as close together as the texture can tell apart.
        thickness: half that of the layer.
        steps: of Adam; every step sees all vertices, each somewhere in the layer.

    Raises:
        ValueError: the mesh has no colours.
    """
    if mesh.colours is None:
        raise ValueError("A texture can be taught by a mesh with colours only.")
    like = next(iter(texture.parameters()))
    points, normals, wanted = (
        torch.from_numpy(array.copy()).to(like) for array in (mesh.vertices, mesh.normals, mesh.colours)
    )
    optimizer = torch.optim.Adam(texture.parameter_groups(), betas=(0.9, 0.99), eps=1e-15)
    rng = torch.Generator().manual_seed(0)
    for _ in range(steps):
        offset = (2 * torch.rand(len(points), 1, generator=rng) - 1).to(points) * thickness
        optimizer.zero_grad(set_to_none=True)
        (texture(points + offset * normals).colour - wanted).square().sum().backward()
        optimizer.step()


def projected(vertices: Tensor, cameras: Cameras) -> Tensor:
    """(B, V, 4) vertices (V, 3) in the cameras' clip space."""
    matrix = (cameras.projection() @ cameras.world_to_camera()).to(vertices)
    return torch.einsum("bij,vj->bvi", matrix[:, :, :3], vertices) + matrix[:, None, :, 3]


def vertex_normals(vertices: Tensor, faces: NDArray[np.int32]) -> Tensor:
    """(V, 3) unit normals, averaged over the faces around each vertex by area."""
    corners = torch.from_numpy(faces).long().to(vertices.device)
    a, b, c = (vertices[corners[:, corner]] for corner in range(3))
    normal = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices).index_add(0, corners.T.reshape(-1), normal.repeat(3, 1))
    return F.normalize(total, dim=1)


def _placed(seen: Fragments, values: Tensor) -> Tensor:
    """(B, C, H, W) images of fragments' values (P, C), zero elsewhere."""
    return seen.images(values, values.new_zeros(len(seen.face), values.shape[1])).permute(0, 3, 1, 2)
