"""Fields with a closed form, and a prior that knows two of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sds.teachers.shape_prior import CHANNELS, TRUNCATION, cell_centres


def field_of(distance: Tensor, normal: Tensor, colour: tuple[float, float, float], painted: float, side: int) -> Tensor:
    """A field (9, side, side, side) from distances (P,) and normals (P, 3) at all cell centres."""
    values = torch.zeros(len(distance), CHANNELS)
    values[:, 0] = (distance / TRUNCATION).clamp(-1, 1)
    values[:, 1:4] = torch.tensor(colour)
    values[:, 4] = painted
    values[:, 5] = 1 / 1.2
    values[:, 6:9] = normal
    return values.T.unflatten(1, (side,) * 3).contiguous()


def ball(
    radius: float, side: int = 64, colour: tuple[float, float, float] = (0.2, 0.4, 0.6), painted: float = 0.0
) -> Tensor:
    """A ball in the middle."""
    points = cell_centres(side, torch.device("cpu"))
    length = points.norm(dim=1)
    return field_of(length - radius, points / length[:, None], colour, painted, side)


def box(
    half: tuple[float, float, float], side: int = 64, colour: tuple[float, float, float] = (0.5, 0.5, 0.5)
) -> Tensor:
    """A box in the middle, painted."""
    points = cell_centres(side, torch.device("cpu"))
    beyond = points.abs() - torch.tensor(half)
    distance = beyond.clamp(min=0).norm(dim=1) + beyond.amax(1).clamp(max=0)
    normal = nn.functional.one_hot(beyond.argmax(1), 3) * points.sign()
    return field_of(distance, normal.float(), colour, 1.0, side)


class TwoThings(nn.Module):
    """Stands in for a `ShapePrior`: a ball in two sizes, and a table that is a slab."""

    def __init__(self) -> None:
        super().__init__()
        self.config = {
            "variants": ["ball", "ball", "table"],
            "fine_names": ["", "small ball", ""],
            "sizes": [0.3, 0.1, 1.2],
            "code_width": 4,
        }
        self.code = nn.Embedding(4, 4)
        self.code.weight.data = torch.arange(4.0)[:, None].expand(4, 4).clone()
        self.norm = nn.Identity()

    def field(self, code: Tensor, side: int) -> Tensor:
        number = round(float(code[0].detach()))
        return [ball(0.7, side), ball(0.85, side), ball(0.4, side), box((0.8, 0.3, 0.4), side)][number]
