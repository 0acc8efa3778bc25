"""From a detailed surface to what is delivered: fewer faces, texture coordinates, maps."""

from __future__ import annotations

import numpy as np
import torch

from representations.asset import Asset
from representations.mesh import Floats, simplified
from representations.solid import Solid
from representations.texture_baking import ColourAt, baked
from representations.uv_unwrapping import unwrap

FACES = 10_000
"""Triangles of a textured mesh: what a normal map shows needs none, and unwrapping takes half a second."""

RESOLUTION = 1024
"""Texels along one side of a texture."""

_POINTS_AT_ONCE = 2**16


def textured(
    detailed: Asset, faces: int = FACES, resolution: int = RESOLUTION, colour_at: ColourAt | None = None
) -> Asset:
    """A mesh of about so many faces whose maps show the detailed one; see `representations.texture_baking.baked`.

    Raises:
        representations.uv_unwrapping.UnwrappingUnavailableError: if xatlas is not installed.
        representations.mesh.MeshError: if it cannot be simplified or unwrapped.
    """
    mesh = detailed.mesh
    coarse = simplified(mesh, faces) if faces < len(mesh.faces) else mesh
    return baked(coarse, unwrap(coarse, resolution).uv, detailed, resolution, colour_at)


def colours_of_solid(solid: Solid, device: torch.device) -> ColourAt:
    """A solid's colours, for `textured`; ``device`` is where the solid is."""

    def colour_at(points: Floats, normals: Floats) -> Floats:
        both = torch.from_numpy(np.concatenate([points, normals], axis=1)).float()
        seen = [solid.seen_color(*part.to(device).split(3, dim=1)).cpu() for part in both.split(_POINTS_AT_ONCE)]
        return torch.cat(seen).clamp(0, 1).double().numpy()

    return colour_at
