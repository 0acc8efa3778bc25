"""Where does a score gradient rest, and does it point home? Measured on the embedded teacher's own pictures.

    python examples/compare_gradients/at_rest.py "a red armchair"

At a picture that the teacher itself has drawn a gradient should vanish. The same picture, half-way to white, should be
pulled back to where it was: "home" is the cosine between the gradient and the way.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cli.scenes.judging import JUDGED_SIZE, judged_cameras
from cli.scenes.request import Request
from cli.scenes.results import imagined
from cli.scenes.scene import Scene, build_scene
from cli.scenes.stage import stages_of
from cli.teachers import EMBEDDED, load_teacher
from sds.baselines import Method, bridge, csd, ism, sds
from sds.guidance import Guidance, PromptConditions
from sds.noising import DDIMInversion, FreshNoise, Noising
from sds.score import score_gradient
from sds.teachers.layers import LOOKS, Look

TIMES = (0.5, 0.85)


@dataclass(frozen=True)
class Choice:
    """A gradient, and how it is used; see `sds.score.score_gradient`."""

    name: str
    method: Method
    noising: Noising = FreshNoise()  # noqa: RUF009 - it has no state
    scale: float = 1.0
    progress: float = 0.0


CHOICES = (
    Choice("SDS, guidance 1", sds),
    Choice("SDS, guidance 2", sds, scale=2.0),
    Choice("SDI, 3 steps, null path", sds, DDIMInversion(3, 0.0)),
    Choice("SDI, 2 steps, own path", sds, DDIMInversion(2, 1.0)),
    Choice("SDI, 1 step, own path from 0.002", sds, DDIMInversion(1, 1.0, begin=0.002)),
    Choice("ISM, 2 steps, null path, interval 0.08", ism, DDIMInversion(2, 0.0, interval=0.08)),
    Choice("ISM, 1 step, null path from 0.002", ism, DDIMInversion(1, 0.0, begin=0.002)),
    Choice("ISM, 1 step, own path from 0.002", ism, DDIMInversion(1, 1.0, begin=0.002)),
    Choice("bridge, second stage, from the prompt", bridge, progress=1.0),
    Choice("CSD", csd),
)


def main() -> None:
    """One line for each gradient."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompt", nargs="?", default="a red armchair")
    prompt = parser.parse_args().prompt
    request = Request(prompt, method="csd", stages=("nerf",))  # which asks for the null prompt's prediction too
    teacher = load_teacher(EMBEDDED, torch.device("cpu"))
    scene = build_scene(request, stages_of(request, teacher)[0], torch.device("cpu"))
    cameras = judged_cameras(JUDGED_SIZE)[::4].showing(LOOKS.index(Look.ALBEDO))
    told = scene.told(cameras, len(cameras))
    told = replace(told, negative=told.conditional)  # what there is, to a bridge
    own = scene.teacher.encode(imagined(scene, cameras))
    away = 0.5 * own + 0.5
    for choice in CHOICES:
        rests, homes = [], []
        for t in TIMES:
            rests.append(float(pull(scene, choice, own, t, told).square().mean().sqrt()))
            homes.append(cosine(pull(scene, choice, away, t, told), away - own))
        numbers = [", ".join(f"{number:.3f}" for number in several) for several in (rests, homes)]
        print(f"{choice.name:40} at rest {numbers[0]:14} home {numbers[1]}", flush=True)


@torch.no_grad()
def pull(scene: Scene, choice: Choice, images: Tensor, level: float, told: PromptConditions) -> Tensor:
    """The gradient at encoded images (B, C, H, W) at one noise level."""
    t = torch.full((len(images),), level, dtype=torch.float64)
    noised = choice.noising(scene.teacher, images, t, told, torch.Generator().manual_seed(0))
    return score_gradient(
        scene.teacher,
        images,
        noised.noise,
        t,
        told,
        Guidance(choice.scale, limit=1.0),
        choice.method,
        previous=noised.previous,
        progress=choice.progress,
    ).gradient


def cosine(one: Tensor, other: Tensor) -> float:
    """Of the angle between two batches of images; 0 where one vanishes."""
    return float((one * other).sum() / (one.norm() * other.norm()).clamp(min=1e-12))


if __name__ == "__main__":
    main()
