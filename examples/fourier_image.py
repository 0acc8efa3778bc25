"""An image from a prompt, optimised as a spectrum: all scales move at once, where single pixels move one by one."""

import argparse
from pathlib import Path

import imageio.v3 as imageio
import torch

from representations.images.pixels import FourierImage
from sds.engine import ScoreDistillation, Settings
from sds.guidance import Guidance
from sds.prompts import PromptSet, condition_for
from sds.ramps import Ramp, TimeRange
from sds.teachers.embedded import load_embedded_teacher


def draw(prompt: str, path: Path, steps: int = 800) -> None:
    """Write a picture of ``prompt`` to ``path``."""
    teacher = load_embedded_teacher().with_one_object(prompt)
    image = FourierImage(teacher.shape[-1], torch.Generator().manual_seed(0))
    distillation = ScoreDistillation(
        image,
        teacher,
        told=lambda count: condition_for(teacher, PromptSet(prompt), None, count),
        optimizer=torch.optim.Adam(image.parameter_groups()),
        settings=Settings(
            steps=steps,
            guidance=Guidance(2.0, limit=1.0),
            times=TimeRange(lowest=Ramp(0.3, 0.1), highest=Ramp(0.98, 0.7)),
        ),
    )
    for _ in range(steps):
        distillation.step()
    picture = image.image()[0].detach().permute(1, 2, 0)
    imageio.imwrite(path, (picture * 255).round().byte().numpy())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompt", nargs="?", default="a red sports car")
    parser.add_argument("--out", type=Path, default=Path("car.png"))
    parser.add_argument("--steps", type=int, default=800)
    options = parser.parse_args()
    draw(options.prompt, options.out, options.steps)
    print(options.out)
