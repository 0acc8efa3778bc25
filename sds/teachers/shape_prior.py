"""What a named thing is in space: a small generative network from a code to a field of distances, colours and normals.

Each noun has a few *variants*, codes that one network shared by all things turns into three feature planes (Chan et al.
2022, EG3D, section 4) and a point on them into what is there. Nothing of a training model is kept beside its code.
What the field looks like from a camera is computed (`sds.teachers.volume`), and so it is the same thing from all sides.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from scipy import ndimage
from torch import Tensor, nn

HALF_SIDE = 0.95
"""The field fills the cube [-HALF_SIDE, HALF_SIDE]^3."""
TRUNCATION = 0.05
"""Distances are known up to this."""
CHANNELS = 9
"""Distance in units of `TRUNCATION` (within [-1, 1], negative inside), colour (3), painted, luminance, normal (3)."""

_COARSE = 32
_FAR = 0.97
_SEED_SIDE = 6
_CRUMB = 0.002
_OCTAVES = 4
"""Of the sines of a point's coordinates; the finest is a quarter of the cube long."""


class _Grow(nn.Module):
    """Twice the resolution; the code scales and shifts the features."""

    def __init__(self, inside: int, outside: int, code_width: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(code_width, 2 * outside)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.enter = nn.Conv2d(inside, 4 * outside, 1)
        self.norm = nn.GroupNorm(8, outside)
        self.leave = nn.Conv2d(outside, outside, 3, padding=1)

    def forward(self, planes: Tensor, code: Tensor) -> Tensor:
        hidden = F.pixel_shuffle(self.enter(planes), 2).contiguous(memory_format=torch.channels_last)
        scale, shift = self.modulation(code)[:, :, None, None].chunk(2, dim=1)
        hidden = F.silu(self.norm(hidden) * (1 + scale) + shift)
        return hidden + F.silu(self.leave(hidden))


class ShapePrior(ModelMixin, ConfigMixin):
    """Codes of named things, and the network that turns them into fields.

    Args:
        variants: names of the things, one entry a variant: a noun with three variants is listed three times. Entry 0
            of the codes is none of them but anything at all, the null prompt.
        fine_names: for each variant its finer name, or "".
        sizes: for each variant the length of its longest side in metres; 0 where it is not known.
        code_width: numbers that describe a thing.
        channels: of the planes, from `_SEED_SIDE` pixels along a side upwards, each twice as fine.
        features: channels of the finished planes, once more twice as fine.
        hidden, layers: of the network that reads the planes at a point.
    """

    @register_to_config
    def __init__(
        self,
        variants: Sequence[str],
        fine_names: Sequence[str],
        sizes: Sequence[float],
        code_width: int = 512,
        channels: Sequence[int] = (128, 144, 96, 64),
        features: int = 32,
        hidden: int = 128,
        layers: int = 3,
    ) -> None:
        super().__init__()
        if not len(variants) == len(fine_names) == len(sizes):
            raise ValueError("a shape prior needs a finer name and a size for each of its variants")
        self.code = nn.Embedding(len(variants) + 1, code_width)
        # Small at first: what is normalised afterwards learns at a rate relative to its size.
        nn.init.normal_(self.code.weight, std=0.15)
        self.norm = nn.LayerNorm(code_width)
        self.seed = nn.Linear(code_width, 3 * channels[0] * _SEED_SIDE**2)
        self.grow = nn.ModuleList(
            _Grow(inside, outside, code_width) for inside, outside in itertools.pairwise(channels)
        )
        self.finish = nn.Conv2d(channels[-1], 4 * features, 3, padding=1)
        self.enter = nn.Linear(3 * features + 6 * _OCTAVES, hidden)
        self.read = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers - 1))
        self.leave = nn.Linear(hidden, CHANNELS)

    def planes(self, code: Tensor) -> Tensor:
        """Codes (N, `code_width`) -> feature planes (N, 3, C, R, R): the planes xy, xz and yz."""
        code = self.norm(code)
        count, first = len(code), self.config.channels[0]
        planes = self.seed(code).view(3 * count, first, _SEED_SIDE, _SEED_SIDE)
        planes = planes.contiguous(memory_format=torch.channels_last)
        for grow in self.grow:
            planes = grow(planes, code.repeat_interleave(3, dim=0))
        return F.pixel_shuffle(self.finish(planes), 2).unflatten(0, (count, 3))

    def at(self, planes: Tensor, points: Tensor) -> Tensor:
        """The field at points (N, P, 3) in the cube: (N, P, `CHANNELS`), normals not of unit length."""
        place = points / HALF_SIDE
        pairs = torch.stack([place[..., [0, 1]], place[..., [0, 2]], place[..., [1, 2]]], dim=1)
        flat = planes.flatten(0, 1).float()
        read = F.grid_sample(flat, pairs.flatten(0, 1)[:, None], mode="bilinear", align_corners=False)
        features = read[:, :, 0].unflatten(0, planes.shape[:2]).permute(0, 3, 1, 2).flatten(2)
        phase = place[..., None] * (torch.pi * 2.0 ** torch.arange(_OCTAVES, device=place.device))
        waves = torch.cat([phase.sin(), phase.cos()], dim=-1).flatten(2)
        hidden = F.silu(self.enter(torch.cat([features, waves], dim=2)))
        for layer in self.read:
            hidden = hidden + F.silu(layer(hidden))
        out = self.leave(hidden).float()
        return torch.cat([out[..., :1].tanh(), out[..., 1:4].sigmoid(), out[..., 4:6].sigmoid(), out[..., 6:]], dim=2)

    @torch.no_grad()
    def field(self, code: Tensor, side: int) -> Tensor:
        """One thing's field on a grid of cell centres; fully computed only near the surface.

        Args:
            code: (`code_width`,).
            side: cells along each side, at least `_COARSE`.

        Returns:
            (`CHANNELS`, side, side, side) over z, y, x.
        """
        planes = self.planes(code[None])
        coarse = self._at_all(planes, cell_centres(_COARSE, code.device)).T.unflatten(1, (_COARSE,) * 3)
        # Beyond the truncation nothing is known but the sign: cells with no neighbour nearer than that are left as is.
        near = F.max_pool3d((coarse[None, :1].abs() < _FAR).float(), 3, stride=1, padding=1)
        field = F.interpolate(coarse[None], size=(side,) * 3, mode="trilinear", align_corners=False)[0]
        fine = (F.interpolate(near, size=(side,) * 3, mode="nearest")[0, 0] > 0).flatten()
        flat = field.flatten(1)
        flat[:, fine] = self._at_all(planes, cell_centres(side, code.device)[fine]).T
        return without_crumbs(flat.unflatten(1, (side,) * 3))

    def _at_all(self, planes: Tensor, points: Tensor) -> Tensor:
        return torch.cat([self.at(planes, part[None])[0] for part in points.split(2**15)])


def without_crumbs(field: Tensor) -> Tensor:
    """The field (`CHANNELS`, S, S, S), in place, without specks in the air that a network leaves where it was not sure.

    A speck is a connected part of the inside that is smaller than `_CRUMB` of all that is inside.
    """
    inside = (field[0] < 0).cpu().numpy()
    labels, count = ndimage.label(inside, structure=np.ones((3, 3, 3)))
    cells = np.bincount(labels.ravel(), minlength=count + 1)
    small = cells < _CRUMB * inside.sum()
    small[0] = False
    if small.any():
        around = ndimage.binary_dilation(small[labels], structure=np.ones((3, 3, 3)))
        # What is near a larger part as well stays as it is.
        around &= ~inside | small[labels]
        field[0][torch.from_numpy(around).to(field.device)] = 1.0
    return field


def cell_centres(side: int, device: torch.device) -> Tensor:
    """(side^3, 3) x, y, z of the cells' centres, x running fastest."""
    axis = ((torch.arange(side, device=device) + 0.5) * 2 / side - 1) * HALF_SIDE
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")[::-1], dim=-1).reshape(-1, 3)
