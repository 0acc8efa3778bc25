"""A prompt becomes a mesh, through the Python API: what `scoresmith generate` does, without the command line."""

import argparse
from pathlib import Path

import torch
from tqdm import trange

from representations.assets.writing import write_mesh
from representations.cameras import CameraSampler
from representations.fields.nerf import NeRF
from representations.fields.surface import extract_mesh
from sds.engine import ScoreDistillation, Settings
from sds.guidance import Guidance
from sds.prompts import PromptSet, condition_for
from sds.ramps import Ramp, TimeRange
from sds.teachers.embedded import load_embedded_teacher


def text_to_mesh(prompt: str, path: Path, steps: int = 240) -> None:
    """Write a mesh of ``prompt`` to ``path``."""
    teacher = load_embedded_teacher().with_one_object(prompt)
    nerf = NeRF(sampler=CameraSampler(size=teacher.shape[-1]))
    distillation = ScoreDistillation(
        nerf,
        teacher,
        told=lambda cameras: condition_for(teacher, PromptSet(prompt), cameras, len(cameras)),
        optimizer=torch.optim.Adam(nerf.parameter_groups(), betas=(0.9, 0.99)),
        settings=Settings(
            steps=steps,
            guidance=Guidance(scale=2.0, limit=1.0),
            times=TimeRange(lowest=Ramp(0.3, 0.1), highest=Ramp(0.98, 0.7)),
        ),
        penalty=nerf.penalty,
    )
    for step in trange(steps):
        nerf.update_occupancy(step)
        distillation.step()
    write_mesh(extract_mesh(nerf), path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompt", nargs="?", default="a teddy bear")
    parser.add_argument("--out", type=Path, default=Path("teddy.glb"))
    parser.add_argument("--steps", type=int, default=240)
    options = parser.parse_args()
    text_to_mesh(options.prompt, options.out, options.steps)
    print(options.out)
