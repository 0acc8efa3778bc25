"""Which cells of space hold anything, so that rays can skip the others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from representations.fields.field import Field

# Fractions of the plastic number's powers: successive multiples fill the unit cube evenly (Roberts' R3 sequence).
_EVEN_STEPS = (0.8191725134, 0.6710436067, 0.5497004779)


class OccupancyGrid(nn.Module):
    """A remembered density for each cell of [-1, 1]^3 and whether it is enough to be looked at. All of it is state.

    Args:
        resolution: cells along one side.
        threshold: density, per object unit, below which a cell is taken for empty.
    """

    density: Tensor
    """(R, R, R) remembered density, indexed [z, y, x]."""
    binaries: Tensor
    """(R, R, R) bool; all True until the first update."""

    def __init__(self, resolution: int, threshold: float = 0.25):
        super().__init__()
        self.threshold = threshold
        self.register_buffer("density", torch.zeros(resolution, resolution, resolution))
        self.register_buffer("binaries", torch.ones(resolution, resolution, resolution, dtype=torch.bool))

    @torch.no_grad()
    def update(self, field: Field, step: int) -> None:
        """Looks at the field again; `step` decides where in its cell each look goes, so that a resumed run repeats it.

        A cell counts as occupied if it or one of its 26 neighbours holds enough density, so that surfaces can grow.
        A field
        that is thin everywhere keeps the cells above its mean: it must not vanish for good.
        """
        resolution = self.density.shape[0]
        offset = torch.tensor(_EVEN_STEPS, device=self.density.device) * (step + 1) % 1
        seen = field.cell_density(resolution, offset)
        self.density.copy_(torch.maximum(self.density * field.occupancy_decay, seen))
        enough = self.density >= torch.clamp(self.density.mean(), max=self.threshold)
        grown = F.max_pool3d(enough[None].float(), kernel_size=3, stride=1, padding=1)[0]
        self.binaries.copy_(grown > 0)
