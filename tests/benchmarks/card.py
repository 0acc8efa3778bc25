"""A page about a graphics card: what a step takes there, in time and memory, to be pasted into the README.

    python -m tests.benchmarks.card            # `make test-cuda` prints it too, where there is a card

Stable Diffusion 1.5 and SDXL have their full size and random weights, which take as long as real ones. Without a card
the page is about the CPU and leaves them out.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import torch
import trimesh
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from cli.commands.doctor import accelerator_lines
from cli.scenes.request import Request
from cli.scenes.scene import build_scene
from cli.scenes.stage import stages_of
from cli.teachers import EMBEDDED, load_teacher
from representations.cameras import CameraSampler, turntable
from representations.fields.encodings import HashEncoding, encode_torch
from representations.fields.nerf import NeRF
from representations.fields.volume import render_volume, render_volume_torch
from representations.rays import Marching, RayIntegral, Rays
from representations.surfaces.differentiable_rasterizer import rasterize_fragments
from representations.surfaces.mesh_field import projected
from sds.precision import type_for
from sds.schedule import Prediction, tabulated_schedule
from sds.teachers.architectures import call_text_unet
from sds.teachers.conditioning import TextConditioner
from sds.teachers.connection import Connection, Told
from sds.teachers.diffusers import DiffusersTeacher
from sds.teachers.image_codec import LatentCodec
from tests.sds.test_memory_budget import SD_1_5, SDXL

Row = tuple[str, Callable[[], object]]

FULL = {"points": 200_000, "pixels": 512, "repeats": 10}
SMALL = {"points": 500, "pixels": 16, "repeats": 1}
"""For a look at whether it runs."""


def page(device: torch.device, sizes: Mapping[str, int] = FULL) -> str:
    """The table, in Markdown."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    lines = [f"{name}, torch {torch.__version__}, `python -m tests.benchmarks.card`", ""]
    lines += ["| | a second | of a step | most memory |", "|---|---:|---:|---:|"]
    for title, work in (*kernels(device, sizes), *steps(device, sizes)):
        with suppress(torch.OutOfMemoryError):
            seconds, memory = measured(work, device, sizes["repeats"])
            filled = "-" if memory is None else f"{memory:.2f} GiB"
            lines.append(f"| {title} | {1 / seconds:.3g} | {1000 * seconds:.2f} ms | {filled} |")
    return "\n".join([*lines, "", *(f"* {' '.join(line.split())}" for line in accelerator_lines())])


def measured(work: Callable[[], object], device: torch.device, repeats: int) -> tuple[float, float | None]:
    """Seconds of one call, the median of several after two that are not counted, and GiB of the card at most."""
    wait: Callable[[], object] = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    for _ in range(2 if repeats > 1 else 0):
        work()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(repeats):
        wait()
        begun = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - begun)
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None
    return sorted(times)[len(times) // 2], memory


def kernels(device: torch.device, sizes: Mapping[str, int]) -> Iterator[Row]:
    """The hot parts alone, forward and backward, beside plain torch."""
    pixels = sizes["pixels"]
    rng = torch.Generator().manual_seed(0)
    nerf = NeRF(sampler=CameraSampler(size=pixels), marching=Marching(2 / 96)).to(device)
    nerf.update_occupancy(16)
    origins, directions = (tensor.reshape(-1, 3).to(device) for tensor in nerf.draw(1, rng).rays())
    rays = Rays(origins, directions, torch.full((len(origins),), 0.5, device=device))
    grid = nerf.field.grid().detach().requires_grad_()  # type: ignore[attr-defined]

    def march(render: Callable[..., RayIntegral]) -> None:
        render(grid, rays, nerf.occupancy.binaries, nerf.marching).features.sum().backward()

    yield f"{pixels} px through 64^3 voxels", partial(march, render_volume)
    yield f"{pixels} px through 64^3 voxels, plain torch", partial(march, render_volume_torch)

    encoding = HashEncoding(generator=rng).to(device)
    points = torch.rand(sizes["points"], 3, generator=rng).to(device)
    yield f"{sizes['points']} points of a hash grid", lambda: encoding(points).sum().backward()
    yield (
        f"{sizes['points']} points of a hash grid, plain torch",
        lambda: encode_torch(encoding.table, points, encoding.levels).sum().backward(),
    )

    ball = trimesh.creation.icosphere(5, 0.7)
    vertices = torch.tensor(ball.vertices, dtype=torch.float32).to(device).requires_grad_()

    def draw() -> None:
        seen = rasterize_fragments(projected(vertices, turntable(1, 0.3, pixels).to(device)), ball.faces, pixels)
        shown = seen.images(seen.interpolate(vertices), torch.zeros(1, 3, device=device))
        seen.antialiased(shown).sum().backward()

    yield f"{pixels} px of a mesh of {len(ball.faces)} faces, silhouettes blended", draw


def steps(device: torch.device, sizes: Mapping[str, int]) -> Iterator[Row]:
    """Whole steps of `scoresmith generate`, in both stages."""
    teachers: dict[str, Callable[[], Any]] = {EMBEDDED: lambda: load_teacher(EMBEDDED, device)}
    if device.type == "cuda" and sizes is FULL:
        teachers |= {
            "Stable Diffusion 1.5": lambda: random_teacher(SD_1_5, device),
            "SDXL": lambda: random_teacher(SDXL, device),
        }
    for name, load in teachers.items():
        with suppress(torch.OutOfMemoryError):
            teacher = load()
            for stage in ("nerf", "mesh"):
                request = Request("a teddy bear", teacher=name, stages=(stage,))
                scene = build_scene(request, stages_of(request, teacher)[0], device)
                yield f"{name}: a step of {'a field' if stage == 'nerf' else 'a mesh'}", scene.step


def random_teacher(config: dict[str, Any], device: torch.device) -> DiffusersTeacher:
    """A UNet of Stable Diffusion and its autoencoder at full size, made on the card; what they are told is noise."""
    half = type_for(device)

    def made(build: Callable[[], Any]) -> Any:
        with torch.device(device):
            return build().to(half).eval().requires_grad_(False)

    autoencoder = made(
        lambda: AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
        )
    )
    autoencoder.enable_gradient_checkpointing(partial(checkpoint, use_reentrant=False, preserve_rng_state=False))
    big = "addition_embed_type" in config

    def told(prompt: str) -> dict[str, Tensor]:
        rng = torch.Generator().manual_seed(len(prompt))
        widths = {"text": (77, config["cross_attention_dim"])} | ({"pooled": (1280,), "size": (6,)} if big else {})
        return {name: torch.randn(*shape, generator=rng).to(device, half) for name, shape in widths.items()}

    table = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square(), 0)
    latents = LatentCodec(autoencoder, (config["sample_size"],) * 2)
    connection = Connection(call_with_size if big else call_text_unet, TextConditioner(told))
    return DiffusersTeacher(
        made(lambda: UNet2DConditionModel(**config)),
        tabulated_schedule(table),
        Prediction.EPSILON,
        latents,
        connection,
    )


def call_with_size(network: Any, x_t: Tensor, timestep: Tensor, told: Told) -> Tensor:
    """As SDXL's UNet is called."""
    added = {"text_embeds": told["pooled"], "time_ids": told["size"]}
    return network(x_t, timestep, encoder_hidden_states=told["text"], added_cond_kwargs=added).sample


if __name__ == "__main__":
    print(page(torch.device("cuda" if torch.cuda.is_available() else "cpu")))
