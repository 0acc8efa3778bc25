"""The fused renderer against plain torch, and what one step of the radiance field costs beside the teacher.

OMP_NUM_THREADS=1 python -m tests.benchmarks.volume_rendering
"""

from collections.abc import Callable

import torch

from representations.cameras import Cameras, CameraSampler
from representations.fields.nerf import NeRF
from representations.fields.volume import render_volume, render_volume_torch
from representations.rays import Marching, RayIntegral, Rays
from tests.benchmarks.measure import cpu_seconds

VIEWS = 4


def main() -> None:
    for size in (32, 64):
        nerf = NeRF(sampler=CameraSampler(size=size), marching=Marching(2 / 40))
        nerf.update_occupancy(16)
        cameras = nerf.draw(VIEWS, torch.Generator().manual_seed(0))
        origins, directions = cameras.rays()
        rays = Rays(origins.reshape(-1, 3), directions.reshape(-1, 3), cameras.sample_offsets().reshape(-1))
        grid = nerf.field.grid().detach().requires_grad_()
        upstream = torch.randn(len(rays), 3, generator=torch.Generator().manual_seed(1))
        occupied = nerf.occupancy.binaries.float().mean().item()
        print(f"{VIEWS} views, {size} x {size}, 40 samples across, 64^3 voxels, {100 * occupied:.0f}% occupied")
        print(f"  {torch.get_num_threads()} thread(s), processor time")

        def integrate(
            render: Callable[..., RayIntegral], grid: torch.Tensor = grid, rays: Rays = rays, nerf: NeRF = nerf
        ) -> RayIntegral:
            return render(grid, rays, nerf.occupancy.binaries, nerf.marching)

        seconds = {}
        for name, render in (("compiled", render_volume), ("torch", render_volume_torch)):
            forward = cpu_seconds(lambda r=render: integrate(r))
            both = cpu_seconds(lambda r=render, g=grid, u=upstream: torch.autograd.grad(integrate(r).features, g, u))
            seconds[name] = both
            print(f"  {name:9s} forward {1000 * forward:7.2f} ms   forward and backward {1000 * both:7.2f} ms")
        print(f"  ratio {seconds['torch'] / seconds['compiled']:.1f}")
        still = [{**group, "lr": 0.0} for group in nerf.parameter_groups()]  # every repetition measures the same scene
        optimizer = torch.optim.Adam(still, betas=(0.9, 0.99), fused=True)

        def step(nerf: NeRF = nerf, optimizer: torch.optim.Optimizer = optimizer, cameras: Cameras = cameras) -> None:
            rendering = nerf(cameras)
            loss = (rendering.image - 0.5).square().sum() + nerf.penalty(rendering, 0.5)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        whole = cpu_seconds(step, repeats=10)
        print(f"  whole step (render, penalties, backward, Adam; no teacher) {1000 * whole:7.2f} ms")


if __name__ == "__main__":
    main()
