"""Hash-grid encoding, forward and backward: the compiled kernels against plain autograd.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.hash_encoding

"Plain autograd" is the form that text-to-3D code falls back to without tiny-cuda-nn: all levels and corners gathered
at once from the table. It computes the same values; the largest difference is printed.
"""

import torch
from torch import Tensor

from representations.fields.encodings import HashEncoding, encode_torch
from tests.benchmarks.measure import cpu_seconds

POINTS = 200_000
TARGET = 20.0


def encode_all_levels(table: Tensor, points: Tensor, encoding: HashEncoding, with_embedding: bool) -> Tensor:
    """All levels at once in one indexing operation, (P, levels, 8, features) of it in memory."""
    levels = encoding.levels
    scale = torch.tensor([level.scale for level in levels], dtype=points.dtype)
    resolution = torch.tensor([level.resolution for level in levels])[:, None]
    start, size = (torch.tensor([getattr(level, name) for level in levels])[:, None] for name in ("start", "size"))
    hashed = torch.tensor([level.is_hashed for level in levels])[:, None]
    corners = torch.tensor([[c & 1, (c >> 1) & 1, c >> 2] for c in range(8)])
    position = points[:, None] * scale[:, None] + 0.5
    cell = position.floor()
    fraction = (position - cell)[:, :, None]
    x, y, z = (cell.long()[:, :, None] + corners).unbind(dim=-1)
    dense = x + resolution * (y + resolution * z)
    spread = (x ^ (y * 2654435761) ^ (z * 805459861)) & 0xFFFFFFFF
    index = start + torch.where(hashed, spread, dense) % size
    weight = torch.where(corners.bool(), fraction, 1 - fraction).prod(dim=-1)
    values = torch.nn.functional.embedding(index, table) if with_embedding else table[index]
    return (values * weight[..., None]).sum(dim=2).flatten(1)


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(POINTS, 3, generator=generator)
    for log2_table_size in (16, 19):
        encoding = HashEncoding(log2_table_size=log2_table_size, generator=generator)
        upstream = torch.randn(POINTS, encoding.width, generator=generator)
        forms = {
            "compiled (ours)": lambda e=encoding: e(points),
            "torch, level by level": lambda e=encoding: encode_torch(e.table, points, e.levels),
            "torch, all levels, table[index]": lambda e=encoding: encode_all_levels(e.table, points, e, False),
            "torch, all levels, F.embedding": lambda e=encoding: encode_all_levels(e.table, points, e, True),
        }
        expected = encoding(points)
        ours = 0.0
        print(f"{POINTS} points, 16 levels, 2 features, 2^{log2_table_size} rows, {torch.get_num_threads()} thread(s)")
        for name, form in forms.items():
            difference = (form() - expected).abs().max().item() / expected.abs().max().item()  # relative
            repeats = 5 if not ours else 2
            seconds = cpu_seconds(lambda f=form, e=encoding, u=upstream: torch.autograd.grad(f(), e.table, u), repeats)
            ours = ours or seconds
            print(f"  {name:32s} {1000 * seconds:8.0f} ms   x {seconds / ours:6.1f}   difference {difference:.1e}")
        print(f"  target: the last two at least x {TARGET:.0f}")


if __name__ == "__main__":
    main()
