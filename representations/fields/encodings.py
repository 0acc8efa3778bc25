"""The multi-resolution hash encoding of Müller et al. 2022 ("Instant Neural Graphics Primitives"), section 3.

Parameters are laid out as in tiny-cuda-nn's `HashGrid` (`grid.h`), so that tables can be exchanged with it. Rows,
values and gradients are those of its own kernels, compiled for the CPU (`tests/external/test_tiny_cuda_nn.py`); on a
card it has not been seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from representations.accelerators import WARP, WARP_SOURCE, Accelerator
from representations.fields.hash_kernels import hash_kernels
from representations.threads import run_parts, split

_PRIMES = (1, 2654435761, 805459861)

_TINYCUDANN_FEATURES, _TINYCUDANN_LEVELS = (1, 2, 4, 8), 128
"""The numbers of features that tiny-cuda-nn was compiled for, and its most levels."""


@dataclass(frozen=True)
class Level:
    """One resolution of a hash grid.

    Attributes:
        scale: from [0, 1] to cells.
        resolution: nodes along one side.
        start, size: its rows in the table.
    """

    scale: float
    resolution: int
    start: int
    size: int

    @property
    def rows(self) -> slice:
        """Its rows in the table."""
        return slice(self.start, self.start + self.size)

    @property
    def is_hashed(self) -> bool:
        """Whether there are more nodes than rows."""
        return self.resolution**3 > self.size


def hash_levels(levels: int, base_resolution: int, per_level_scale: float, log2_table_size: int) -> list[Level]:
    """The geometry of tiny-cuda-nn's grid: level l has scale 2^(l log2(per_level_scale)) * base_resolution - 1.

    In float32, as there: where a scale is nearly a whole number, its rounding decides how many nodes a level has.
    """
    result: list[Level] = []
    growth = np.log2(np.float32(per_level_scale))
    for number in range(levels):
        scale = float(np.exp2(np.float32(number) * growth) * np.float32(base_resolution) - np.float32(1))
        resolution = math.ceil(scale) + 1
        size = min(-(-(resolution**3) // 8) * 8, 2**log2_table_size)
        start = result[-1].start + result[-1].size if result else 0
        result.append(Level(scale, resolution, start, size))
    return result


class HashEncoding(nn.Module):
    """Learned features of points in [0, 1]^3: trilinear interpolation in tables of many resolutions, concatenated.

    Compiled on the CPU; on CUDA by tiny-cuda-nn if it works there (`TINYCUDANN`), or else by Warp (`WARP_HASHING`), or
    else plain torch. No card was at hand: Warp's kernels were compared with those of the CPU on the CPU. The gradient
    reaches the table only, not the points.

    Args:
        levels: how many resolutions.
        features: per level.
        log2_table_size: each level has at most 2^log2_table_size rows.
        base_resolution, finest_resolution: of the first and the last level.
        generator: draws the initial table, uniformly within +-1e-4.
    """

    def __init__(
        self,
        levels: int = 16,
        features: int = 2,
        log2_table_size: int = 19,
        base_resolution: int = 16,
        finest_resolution: int = 2048,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        if levels < 1 or features < 1 or not 2 <= base_resolution <= finest_resolution:
            raise ValueError(
                "A HashEncoding needs at least one level and feature, and 2 <= base_resolution <= finest_resolution; "
                f"not {levels}, {features}, {base_resolution}, {finest_resolution}."
            )
        self.features = features
        self.per_level_scale = (finest_resolution / base_resolution) ** (1 / max(levels - 1, 1))
        self.base_resolution, self.log2_table_size = base_resolution, log2_table_size
        self.levels = hash_levels(levels, base_resolution, self.per_level_scale, log2_table_size)
        rows = self.levels[-1].start + self.levels[-1].size
        self.table = nn.Parameter(torch.empty(rows, features).uniform_(-1e-4, 1e-4, generator=generator))

    @property
    def width(self) -> int:
        """Features of a point: levels * features."""
        return len(self.levels) * self.features

    def forward(self, points: Tensor) -> Tensor:
        """(P, levels * features) for points (P, 3) in [0, 1].

        Raises:
            ValueError: if the points have no three columns, or one lies outside or is not finite.
        """
        if points.dim() != 2 or points.shape[1] != 3:
            raise ValueError(f"Points to encode must have the shape (P, 3), not {tuple(points.shape)}.")
        if not bool(((points >= 0) & (points <= 1)).all()):
            raise ValueError("Some points to encode are not finite or lie outside [0, 1]^3.")
        if points.device.type == "cpu":
            return _CompiledEncoding.apply(self.table, points, self.levels)
        if self.suits_tinycudann and TINYCUDANN.works_for(points):
            return self._encode_with_tinycudann(points)
        if self.table.dtype is torch.float32 and WARP_HASHING.works_for(points):
            return encode_warp(self.table, points, self.levels)
        return encode_torch(self.table, points, self.levels)

    @property
    def suits_tinycudann(self) -> bool:
        """Whether tiny-cuda-nn has a grid of this kind; it raises an error for any other."""
        known = self.features in _TINYCUDANN_FEATURES and len(self.levels) <= _TINYCUDANN_LEVELS
        return known and self.table.dtype is torch.float32

    def _encode_with_tinycudann(self, points: Tensor) -> Tensor:
        import tinycudann

        configuration = {
            "otype": "HashGrid",
            "n_levels": len(self.levels),
            "n_features_per_level": self.features,
            "log2_hashmap_size": self.log2_table_size,
            "base_resolution": self.base_resolution,
            "per_level_scale": self.per_level_scale,
        }
        if "_tinycudann" not in self.__dict__:  # not a child module: the table stays the only parameter
            # By itself it computes in float16 on most cards, where gradients of a table near 0 are lost.
            self.__dict__["_tinycudann"] = tinycudann.Encoding(3, configuration, dtype=torch.float32)
        parameters = {"params": self.table.reshape(-1)}
        return torch.func.functional_call(self.__dict__["_tinycudann"], parameters, (points.detach(),))


def _try_tinycudann() -> tuple[Tensor, Tensor]:
    encoding = HashEncoding(4, 2, 8, 4, 16, torch.Generator().manual_seed(0)).to("cuda")
    with torch.no_grad():
        encoding.table.mul_(1e4)  # to values about 1
    points = torch.rand(10, 3, generator=torch.Generator().manual_seed(1)).to("cuda")

    def with_gradient(encoded: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(encoded.square().sum(), encoding.table)
        return torch.cat([encoded.detach().reshape(-1), gradient.reshape(-1)])

    theirs = encoding._encode_with_tinycudann(points)
    return with_gradient(theirs), with_gradient(encode_torch(encoding.table, points, encoding.levels))


TINYCUDANN = Accelerator("tinycudann", "hash grids on CUDA", _try_tinycudann)


def encode_torch(table: Tensor, points: Tensor, levels: list[Level]) -> Tensor:
    """`HashEncoding` in plain torch: what the kernels are tested against, and the form for other devices."""
    corners = torch.tensor([[c & 1, (c >> 1) & 1, c >> 2] for c in range(8)], device=points.device)
    encoded = []
    for level in levels:
        position = points * level.scale + 0.5
        cell = position.floor()
        fraction = (position - cell)[:, None]
        node = cell.long()[:, None] + corners
        weight = torch.where(corners.bool(), fraction, 1 - fraction).prod(dim=-1)
        if level.is_hashed:
            x, y, z = ((node[..., axis] * _PRIMES[axis]) & 0xFFFFFFFF for axis in range(3))
            row = x ^ y ^ z
        else:
            row = node[..., 0] + level.resolution * (node[..., 1] + level.resolution * node[..., 2])
        values = table[level.rows].index_select(0, (row % level.size).reshape(-1)).reshape(*row.shape, -1)
        encoded.append((weight[..., None] * values).sum(dim=1))
    return torch.cat(encoded, dim=1)


def encode_warp(table: Tensor, points: Tensor, levels: list[Level]) -> Tensor:
    """`HashEncoding` by NVIDIA Warp, in float32: on CUDA, or for tests on the CPU."""
    return _WarpEncoding.apply(table, points, tuple(levels))


class _CompiledEncoding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, points: Tensor, levels: list[Level]) -> Tensor:
        features = table.shape[1]
        rows, where = table.detach().contiguous().numpy(), points.detach().to(table.dtype).contiguous()
        encoded = table.new_empty(len(points), len(levels) * features)
        kernel = hash_kernels(features).forward

        def work(_: int, part: slice) -> None:
            out = encoded.numpy()[part]
            for number, level in enumerate(levels):
                columns = out[:, number * features : (number + 1) * features]
                geometry = (rows.dtype.type(level.scale), level.resolution, level.is_hashed)
                kernel(where.numpy()[part], rows[level.rows], *geometry, columns)

        run_parts(work, split(len(points)))
        ctx.levels, ctx.shape = levels, table.shape
        ctx.save_for_backward(where)
        return encoded

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (where,) = ctx.saved_tensors
        features = ctx.shape[1]
        points, upstream = where.numpy(), grad.contiguous().numpy()
        grad_table = where.new_zeros(ctx.shape)
        kernel = hash_kernels(features).backward

        def work(_: int, part: slice) -> None:  # each thread has its own levels, so no two write to one row
            for number in range(part.start, part.stop):
                level = ctx.levels[number]
                columns = upstream[:, number * features : (number + 1) * features]
                geometry = (points.dtype.type(level.scale), level.resolution, level.is_hashed)
                kernel(points, columns, *geometry, grad_table.numpy()[level.rows])

        run_parts(work, split(len(ctx.levels), smallest_part=1))
        return grad_table, None, None


class _WarpEncoding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, points: Tensor, levels: tuple[Level, ...]) -> Tensor:
        from representations import warp_arrays as warp
        from representations.fields import hash_warp

        where = points.detach().to(table.dtype).contiguous()
        encoded = table.new_empty(len(points), len(levels), table.shape[1])
        geometry = [warp.array(numbers) for numbers in _geometry(levels, table.device)]
        operands = warp.vectors(table.detach().contiguous()), warp.points(where), *geometry, warp.vectors(encoded)
        warp.launch(hash_warp.encode, (len(levels), len(points)), *operands)
        ctx.levels, ctx.shape = levels, table.shape
        ctx.save_for_backward(where)
        return encoded.reshape(len(points), -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        from representations import warp_arrays as warp
        from representations.fields import hash_warp

        (where,) = ctx.saved_tensors
        upstream = grad.contiguous().reshape(len(where), len(ctx.levels), ctx.shape[1])
        grad_table = where.new_zeros(ctx.shape)
        geometry = [warp.array(numbers) for numbers in _geometry(ctx.levels, where.device)]
        operands = warp.vectors(upstream), warp.points(where), *geometry, warp.vectors(grad_table)
        warp.launch(hash_warp.differentiate, (len(ctx.levels), len(where)), *operands)
        return grad_table, None, None


@cache
def _geometry(levels: tuple[Level, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """The scales (L,), and a row (resolution, start, size, whether hashed) a level, on a device."""
    rows = [[level.resolution, level.start, level.size, int(level.is_hashed)] for level in levels]
    scales = torch.tensor([level.scale for level in levels], dtype=torch.float32)
    return scales.to(device), torch.tensor(rows, dtype=torch.int32).to(device)


def _try_warp() -> tuple[Tensor, Tensor]:
    encoding = HashEncoding(4, 2, 8, 4, 16, torch.Generator().manual_seed(0)).to("cuda")
    points = torch.rand(10, 3, generator=torch.Generator().manual_seed(1)).to("cuda")

    def values_and_gradient(encode: Callable[..., Tensor]) -> Tensor:
        table = (1e4 * encoding.table.detach()).requires_grad_()  # values about 1
        encoded = encode(table, points, encoding.levels)
        encoded.square().sum().backward()
        assert table.grad is not None
        return torch.cat([encoded.detach().reshape(-1), table.grad.reshape(-1)])

    return values_and_gradient(encode_warp), values_and_gradient(encode_torch)


WARP_HASHING = Accelerator(WARP, "hash grids on CUDA", _try_warp, WARP_SOURCE)
