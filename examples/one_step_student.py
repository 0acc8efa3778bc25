"""A teacher of many steps becomes a generator of one: Diff-Instruct, on the very loop that makes meshes from prompts.

The student starts as a copy of the teacher's network and is asked once, at pure noise; a critic, another copy, learns
what the student draws; and the difference of what teacher and critic would like to see is the student's gradient. The
picture shows eight images each of the teacher's first guess, of the student, and of fifty steps of the teacher.
"""

import argparse
from pathlib import Path

import imageio.v3 as imageio
import torch
from torch import Tensor

from sds.guidance import Guidance
from sds.ramps import Ramp
from sds.sampling import sample
from sds.teachers.embedded import load_embedded_teacher
from sds.teachers.shape_teacher import ShapeTeacher
from students.generator import FewStepGenerator, LatentDraw
from students.methods.distribution_matching import MatchingSettings, diff_instruct
from students.prompts import Prompts, StoredView
from students.student import Student

COUNT = 8


def from_one_side(count: int, rng: torch.Generator) -> StoredView:
    """A camera that never moves: half from the left, slightly from above, over white."""
    del rng
    return StoredView(torch.full((count,), 0.5), torch.full((count,), 0.25), torch.ones(count, 3))


def distil(prompt: str, steps: int) -> list[Tensor]:
    """Three rows of `COUNT` images (3, H, W) in [0, 1]: before, after, and the teacher's own."""
    teacher = load_embedded_teacher()
    generator = FewStepGenerator(Student(teacher), teacher.shape, Prompts(teacher, [prompt], from_one_side))
    settings = MatchingSettings(steps, batch_size=COUNT, guidance=Guidance(2.0), decay=Ramp(1.0, 0.1, begin=0.5))
    draw = generator.draw(COUNT, torch.Generator().manual_seed(1))
    before = drawn(teacher, generator, draw)
    training = diff_instruct(generator, teacher, settings)
    for _ in range(steps):
        training.step()
    many = sample(teacher, draw.conditions, settings.guidance, torch.Generator().manual_seed(1), steps=50)
    return [before, drawn(teacher, generator, draw), many]


@torch.no_grad()
def drawn(teacher: ShapeTeacher, generator: FewStepGenerator, draw: LatentDraw) -> Tensor:
    """The student's images (count, 3, H, W) in [0, 1]."""
    return teacher.decode(generator(draw)).clamp(0, 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompt", nargs="?", default="a red chair")
    parser.add_argument("--out", type=Path, default=Path("student.png"))
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    rows = distil(options.prompt, options.steps)
    picture = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
    imageio.imwrite(options.out, (picture.permute(1, 2, 0) * 255).round().byte().numpy())
    print(options.out)
