"""What keeps a surface usable while it is optimised. All three are without units, and zero for what they prefer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def edge_vertices(edges: Tensor, faces: Tensor) -> Tensor:
    """(E, 2) vertices of edges (E,) numbered as in `representations.geometry.topology`, for faces (F, 3)."""
    face, corner = edges // 3, edges % 3
    return torch.stack([faces[face, corner], faces[face, (corner + 1) % 3]], dim=1)


def laplacian_energy(vertices: Tensor, edges: Tensor, unit: float) -> Tensor:
    """The mean squared distance between vertices and the middles of their neighbours.

    Zero for a flat, even mesh; the uniform Laplacian of Desbrun et al. 1999.

    Args:
        vertices: (V, 3).
        edges: (E, 2) vertices of each undirected edge; every vertex must have one.
        unit: the length that distances are measured in, such as a cell of the grid.
    """
    start, end = edges.unbind(dim=1)
    total = torch.zeros_like(vertices).index_add(0, start, vertices[end]).index_add(0, end, vertices[start])
    degree = torch.bincount(edges.reshape(-1), minlength=len(vertices))[:, None]
    return ((total / degree - vertices) / unit).square().sum(dim=1).mean()


def normal_deviation(vertices: Tensor, faces: Tensor, beside: Tensor) -> Tensor:
    """The mean of 1 - cos(angle) between the normals of faces that share an edge: 0 if all is flat, 2 if folded.

    Args:
        vertices: (V, 3).
        faces: (F, 3), consistently wound.
        beside: (K, 2) faces that lie beside each other.
    """
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normal = F.normalize(torch.linalg.cross(b - a, c - a), dim=1)
    return (1 - (normal[beside[:, 0]] * normal[beside[:, 1]]).sum(dim=1)).mean()


def edge_variation(vertices: Tensor, edges: Tensor) -> Tensor:
    """The variance of the edges' lengths, as a share of the squared mean length: 0 if all are equally long."""
    length = (vertices[edges[:, 0]] - vertices[edges[:, 1]]).square().sum(dim=1).add(1e-20).sqrt()
    return length.var(correction=0) / length.mean().square()
