"""What an artist opens: a mesh with texture coordinates and a material."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from representations.geometry.mesh import Floats, Mesh

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Material:
    """A surface in the metallic-roughness model, as glTF has it (Khronos glTF 2.0, section 3.9.2).

    Attributes:
        base_colour: (H, W, 3) sRGB bytes, row 0 at the top (v = 1), or None.
        normal: (H, W, 3) tangent-space normals as bytes, +Y up as in OpenGL: (128, 128, 255) is flat; or None.
        roughness: 0 is a mirror, 1 is chalk.
        metallic: 0 for everything that is not bare metal.
    """

    base_colour: Image | None = None
    normal: Image | None = None
    roughness: float = 0.9
    metallic: float = 0.0


@dataclass(frozen=True)
class Asset:
    """A mesh and how it looks. Its arrays must not be changed in place.

    The texture coordinates belong to the corners of faces and not to vertices, so that a mesh stays closed where its
    texture is cut open. Formats that know coordinates of vertices only get split vertices when they are written.

    Attributes:
        mesh: the triangles, possibly with vertex colours.
        uv: (F, 3, 2) texture coordinates of each face's corners in [0, 1], v upwards; or None.
        material: maps and numbers; maps need `uv`.
        normals: (F, 3, 3) unit normals of each face's corners, for surfaces with hard edges; None stands for
            `mesh.normals`, smooth everywhere.
    """

    mesh: Mesh
    uv: Floats | None = None
    material: Material = field(default_factory=Material)
    normals: Floats | None = None

    @property
    def corner_normals(self) -> Floats:
        """(F, 3, 3) unit normals of each face's corners."""
        return self.mesh.normals[self.mesh.faces] if self.normals is None else self.normals
