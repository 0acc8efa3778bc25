"""What tiny-cuda-nn's Python package does with a hash grid of three dimensions, by its documented formulas in NumPy.

Written from `grid.h` and `common_device.h`, independent of `representations.fields.encodings`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.card.tensors import held

FACTORS = np.array([1, 2654435761, 805459861], np.uint32)
OPTIONS = {"otype", "n_levels", "n_features_per_level", "log2_hashmap_size", "base_resolution", "per_level_scale"}


class Encoding(nn.Module):
    """Its class of that name: `params` in one row, float16 unless another type is asked for."""

    def __init__(
        self, n_input_dims: int, encoding_config: dict[str, Any], seed: int = 1337, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        assert n_input_dims == 3
        assert encoding_config.keys() == OPTIONS
        assert encoding_config["otype"] == "HashGrid"
        if encoding_config["n_features_per_level"] not in (1, 2, 4, 8):
            raise RuntimeError("GridEncoding: n_features_per_level must be 1, 2, 4, or 8.")
        self.dtype, self.features = dtype or torch.float16, encoding_config["n_features_per_level"]
        growth = np.log2(np.float32(encoding_config["per_level_scale"]))
        base = np.float32(encoding_config["base_resolution"])
        levels = np.arange(encoding_config["n_levels"], dtype=np.float32)
        self.scales = np.exp2(levels * growth) * base - np.float32(1)
        self.nodes = np.ceil(self.scales).astype(np.int64) + 1
        padded = (self.nodes**3 + 7) // 8 * 8
        self.rows = np.minimum(padded, 1 << encoding_config["log2_hashmap_size"])
        self.params = nn.Parameter(torch.zeros(int(self.rows.sum()) * self.features))

    def forward(self, points: Tensor) -> Tensor:
        """(points, levels * features) of its type."""
        tables = self.params.to(self.dtype).reshape(-1, self.features).split(self.rows.tolist())
        where = held(points).detach().numpy().astype(np.float32)
        shares = [torch.from_numpy(self.shares(level, where)).to(table) for level, table in enumerate(tables)]
        return torch.cat([share @ table for share, table in zip(shares, tables, strict=True)], dim=1)

    def shares(self, level: int, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """The weight of each row of a level for each point."""
        found = np.zeros((len(points), self.rows[level]), np.float32)
        at = self.scales[level] * points + np.float32(0.5)
        cells = np.floor(at)
        for corner in np.ndindex(2, 2, 2):
            weights = np.where(corner, at - cells, 1 - (at - cells)).prod(axis=1)
            rows = self.row_of(level, cells.astype(np.uint32) + np.array(corner, np.uint32))
            np.add.at(found, (np.arange(len(points)), rows), weights)
        return found

    def row_of(self, level: int, nodes: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """A place of its own for each node if there are as many rows, or else one by its hash."""
        side, rows = self.nodes[level], np.uint32(self.rows[level])
        if rows < side**3:
            return np.bitwise_xor.reduce(nodes * FACTORS, axis=1) % rows
        return (nodes @ np.array([1, side, side**2], np.uint32)) % rows
