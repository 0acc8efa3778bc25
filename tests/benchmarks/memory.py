"""Peak memory of one rendering with its gradient, at growing image sizes.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.memory

Each size runs in a process of its own. The gradient is the two-pass one that `NeRF` takes for images with more rays
than `rays_at_once`; with "one-pass" that is switched off, and the same rays go through plain torch, as in most NeRF
code.
"""

import subprocess
import sys

import torch

import representations.fields.field
from representations.cameras import CameraSampler
from representations.fields.nerf import NeRF
from representations.fields.volume import render_volume_torch
from tests.benchmarks.measure import peak_memory

SIZES = (64, 128, 256, 512)
TARGET = 1.2


def render_and_differentiate(size: int, views: int, two_pass: bool) -> None:
    """Prints the peak memory of this process in MiB, before and after."""
    nerf = NeRF(sampler=CameraSampler(size=size), rays_at_once=64 * 64 * views if two_pass else 10**9)
    if not two_pass:
        representations.fields.field.render_volume = render_volume_torch
    generator = torch.Generator().manual_seed(0)
    before = peak_memory()
    rendering = nerf(nerf.draw(views, generator))
    # Like a score: one gradient for the whole image, computed from the whole image.
    rendering.image.backward(rendering.image.detach() - rendering.image.detach().mean())
    print(before, peak_memory())


def measure(size: int, views: int, mode: str) -> tuple[float, float]:
    command = [sys.executable, "-m", "tests.benchmarks.memory", mode, str(size), str(views)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(output[0]), float(output[1])


def main() -> None:
    if len(sys.argv) == 4:
        render_and_differentiate(int(sys.argv[2]), int(sys.argv[3]), two_pass=sys.argv[1] == "two-pass")
        return
    for mode, views, sizes in (("two-pass", 1, SIZES), ("two-pass", 4, SIZES), ("one-pass", 1, SIZES[:3])):
        print(f"{mode}: {views} view(s), peak memory of the process (of which before rendering)")
        peaks = []
        for size in sizes:
            before, peak = measure(size, views, mode)
            peaks.append(peak)
            print(f"  {size:4d} px   {peak:7.0f} MiB ({before:.0f})   x {peak / peaks[0]:.2f}")
    print(f"target: two-pass within x {TARGET}")


if __name__ == "__main__":
    main()
