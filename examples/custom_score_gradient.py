"""A score gradient of one's own in ten lines: a method is a function that names its baseline.

This one blends two: SDS while the outline forms (the image itself is the baseline: steady, but noisy), CSD while the
detail forms (the unconditional prediction is the baseline: no noise, but no hold either).
"""

import argparse
from pathlib import Path

import imageio.v3 as imageio
import torch
from torch import Tensor

from representations.images.pixels import PixelImage
from sds.baselines import Baseline
from sds.engine import ScoreDistillation, Settings
from sds.guidance import Guidance
from sds.prompts import PromptSet, condition_for
from sds.teachers.embedded import load_embedded_teacher


def sds_then_csd(t: Tensor, progress: float) -> Baseline:
    """From SDS to half CSD over the run; shares of the baseline add up to one."""
    del t
    return Baseline(image=1 - progress / 2, unconditional=progress / 2)


def draw(prompt: str, path: Path, steps: int = 300) -> None:
    """Write a picture of ``prompt`` to ``path``."""
    teacher = load_embedded_teacher().with_one_object(prompt)
    image = PixelImage(size=teacher.shape[-1])
    distillation = ScoreDistillation(
        image,
        teacher,
        told=lambda count: condition_for(teacher, PromptSet(prompt), None, count),
        optimizer=torch.optim.Adam(image.parameter_groups()),
        settings=Settings(steps=steps, method=sds_then_csd, guidance=Guidance(2.0, limit=1.0)),
    )
    for _ in range(steps):
        distillation.step()
    picture = image.image()[0].detach().permute(1, 2, 0)
    imageio.imwrite(path, (picture * 255).round().byte().numpy())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompt", nargs="?", default="a cactus")
    parser.add_argument("--out", type=Path, default=Path("cactus.png"))
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    draw(options.prompt, options.out, options.steps)
    print(options.out)
