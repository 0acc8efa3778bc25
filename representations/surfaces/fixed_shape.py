"""A surface that keeps its shape: what a `MeshField` gives new colours to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from representations.geometry.mesh import Cleaning, Mesh


class FixedTriangles(NamedTuple):
    """Triangles that are no function of anything."""

    vertices: Tensor
    """(V, 3)."""
    faces: NDArray[np.int32]
    """(F, 3), counter-clockwise seen from outside."""

    def triangles(self) -> NDArray[np.int32]:
        """The faces."""
        return self.faces


class FixedShape(nn.Module):
    """The vertices and faces of a mesh, as they are; they are part of the state, whatever their number.

    Args:
        mesh: within the unit sphere; None waits for a state or for `begin_with_mesh`.
    """

    vertices: Tensor
    faces: Tensor
    cell = 1.0
    cleaning = Cleaning(smallest_component=0.0)

    def __init__(self, mesh: Mesh | None = None):
        super().__init__()
        self.register_buffer("vertices", torch.zeros(0, 3))
        self.register_buffer("faces", torch.zeros(0, 3, dtype=torch.int32))
        if mesh is not None:
            self.begin_with_mesh(mesh)

    def begin_with_mesh(self, mesh: Mesh) -> None:
        """Take the shape of a mesh."""
        self.vertices = torch.from_numpy(mesh.vertices.copy()).to(self.vertices)
        self.faces = torch.from_numpy(mesh.faces.copy()).to(self.faces)

    def forward(self) -> FixedTriangles:
        """The surface."""
        return FixedTriangles(self.vertices, self.faces.cpu().numpy())

    def parameter_groups(self) -> list[dict[str, Any]]:
        """None: nothing moves."""
        return []

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """As of `torch.nn.Module`, for any number of vertices and faces."""
        for name in ("vertices", "faces"):
            saved = state_dict.get(prefix + name)
            if saved is not None and saved.dim() == 2 and saved.shape[1] == 3:
                setattr(self, name, getattr(self, name).new_empty(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if len(self.faces) and not 0 <= int(self.faces.min()) <= int(self.faces.max()) < len(self.vertices):
            errors = rest[-1]  # which the whole module's `load_state_dict` raises together
            errors.append(f"{prefix}faces name vertices beyond the {len(self.vertices)} that there are")
