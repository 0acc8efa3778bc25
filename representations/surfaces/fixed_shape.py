"""A surface that keeps its shape: what a `MeshField` gives new colours to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from representations.geometry.mesh import Cleaning, Floats, Integers, Mesh


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

    What else a mesh has is kept for whoever writes it: texture coordinates, normals, which triangles are one polygon.

    Args:
        mesh: within the unit sphere; None waits for a state or for `begin_with_mesh`.
    """

    vertices: Tensor
    faces: Tensor
    uv: Tensor
    """(F, 3, 2) of the faces' corners, or no rows."""
    normals: Tensor
    """(F, 3, 3) unit normals of the faces' corners, or no rows where the surface is smooth."""
    polygon_of: Tensor
    """(F,) numbers of the polygons that the faces are parts of, or none."""
    cell = 1.0
    cleaning = Cleaning(smallest_component=0.0)

    def __init__(self, mesh: Mesh | None = None):
        super().__init__()
        self.register_buffer("vertices", torch.zeros(0, 3))
        self.register_buffer("faces", torch.zeros(0, 3, dtype=torch.int32))
        self.register_buffer("uv", torch.zeros(0, 3, 2, dtype=torch.float64))
        self.register_buffer("normals", torch.zeros(0, 3, 3))
        self.register_buffer("polygon_of", torch.zeros(0, dtype=torch.int32))
        if mesh is not None:
            self.begin_with_mesh(mesh)

    def begin_with_mesh(
        self, mesh: Mesh, uv: Floats | None = None, normals: Floats | None = None, polygon_of: Integers | None = None
    ) -> None:
        """Take the shape of a mesh, and what its faces have."""
        self.vertices = torch.from_numpy(mesh.vertices.copy()).to(self.vertices)
        self.faces = torch.from_numpy(mesh.faces.copy()).to(self.faces)
        for name, given in (("uv", uv), ("normals", normals), ("polygon_of", polygon_of)):
            kept = getattr(self, name)
            setattr(self, name, kept[:0] if given is None else torch.from_numpy(given.copy()).to(kept))

    def of_faces(self, name: str) -> NDArray[Any] | None:
        """What the faces have of "uv", "normals" or "polygon_of"; None if nothing."""
        kept: Tensor = getattr(self, name)
        return kept.cpu().numpy() if len(kept) else None

    def forward(self) -> FixedTriangles:
        """The surface."""
        return FixedTriangles(self.vertices, self.faces.cpu().numpy())

    def parameter_groups(self) -> list[dict[str, Any]]:
        """None: nothing moves."""
        return []

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """As of `torch.nn.Module`, for any number of vertices and faces."""
        for name in ("vertices", "faces", *_OF_FACES):
            kept = getattr(self, name)
            saved = state_dict.get(prefix + name)
            if saved is not None and saved.shape[1:] == kept.shape[1:] and saved.dim() == kept.dim():
                setattr(self, name, kept.new_empty(saved.shape))
            elif saved is None and name in _OF_FACES:
                state_dict[prefix + name] = kept[:0]  # of a run that kept no more than the shape
        super()._load_from_state_dict(state_dict, prefix, *rest)
        errors = rest[-1]  # which the whole module's `load_state_dict` raises together
        if len(self.faces) and not 0 <= int(self.faces.min()) <= int(self.faces.max()) < len(self.vertices):
            errors.append(f"{prefix}faces name vertices beyond the {len(self.vertices)} that there are")
        for name in _OF_FACES:
            if len(getattr(self, name)) not in (0, len(self.faces)):
                errors.append(f"{prefix}{name} has {len(getattr(self, name))} rows for {len(self.faces)} faces")


_OF_FACES = ("uv", "normals", "polygon_of")
