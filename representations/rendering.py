"""What cameras see of a representation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Rendering:
    """What B cameras see.

    Attributes:
        image: (B, 3, H, W) colour over the cameras' background, in [0, 1].
        opacity: (B, 1, H, W) in [0, 1].
        depth: (B, 1, H, W) mean distance along the ray where anything is seen, else 0.
        normal: (B, 3, H, W) unit outward normals in the world where anything is seen; None unless shading needed them.
    """

    image: Tensor
    opacity: Tensor
    depth: Tensor
    normal: Tensor | None
