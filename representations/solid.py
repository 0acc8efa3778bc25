"""What every three-dimensional representation can be asked for when its optimisation is over."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from representations.geometry.mesh import Mesh


class Solid(Protocol):
    """A thing with a surface and colours, inside the unit sphere around the origin: a `NeRF` or a `MeshField`."""

    def surface(self, faces: int | None = None) -> Mesh:
        """The cleaned surface with all its detail, or simplified to about so many faces; its vertices are coloured.

        Raises:
            representations.geometry.isosurface.EmptySurfaceError: if there is none.
        """
        ...

    def seen_color(self, points: Tensor, normals: Tensor) -> Tensor:
        """(P, 3) colour that a camera straight above the surface sees; points and unit outward normals are (P, 3)."""
        ...

    def color_at(self, points: Tensor) -> Tensor:
        """(P, 3) colour in [0, 1] at points (P, 3), wherever they lie."""
        ...
