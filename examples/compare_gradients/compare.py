"""Every score gradient on one teacher, for equal seconds of one processor: a table and a page of pictures.

    python examples/compare_gradients/compare.py --out outputs/gradients

Each method makes a radiance field of each prompt from each seed, by its own recipe, in as many steps as fit into the
seconds: what a step costs is measured first, and its schedules are stretched over them. Then the fields are judged from
all sides by a classifier that never saw anything generated. What is finished is not done again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor

from cli.pictures import write_sheet
from cli.scenes.judging import JUDGED_SIZE, judge_for, judged_cameras
from cli.scenes.request import Request
from cli.scenes.results import imagined
from cli.scenes.scene import Scene, build_scene
from cli.scenes.stage import stages_of
from cli.teachers import load_teacher
from sds.baselines import METHODS
from sds.view_agreement import view_agreement

PROMPTS = ("a red armchair", "a teddy bear", "a blue car", "a wooden table")
SEEDS = (0, 1, 2)
MEASURED_STEPS = 4
"""By which the seconds of a step are measured; two more come first, in which everything is compiled and loaded."""


@dataclass(frozen=True)
class Result:
    """One object.

    Attributes:
        method, prompt, seed: what was made, and how.
        steps: that fitted into the seconds.
        recognition: probability of the noun, averaged over all sides.
        colour: distance of the object's mean colour from that of the teacher's own pictures, in [0, 1] a channel.
        janus: share of side and back views that look like the front to the teacher.
    """

    method: str
    prompt: str
    seed: int
    steps: int
    recognition: float
    colour: float
    janus: float


def main() -> None:
    """Compare what was asked for, as far as it is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs/gradients"))
    parser.add_argument("--seconds", type=float, default=30.0, help="of processor time for each object (default: 30)")
    parser.add_argument("--prompts", nargs="+", default=PROMPTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    results = []
    for method in options.methods:
        for prompt in options.prompts:
            for seed in options.seeds:
                results.append(made(method, prompt, seed, options.seconds, options.out))
    (options.out / "results.json").write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    (options.out / "table.md").write_text(table(results, options.out, options.seconds))
    rows = [
        torch.stack([fronts(options.out, method, prompt, seed) for prompt in options.prompts for seed in options.seeds])
        for method in options.methods
    ]
    write_sheet(options.out / "page.png", rows, size=96)
    print(options.out / "table.md", options.out / "page.png", sep="\n")


def made(method: str, prompt: str, seed: int, seconds: float, out: Path) -> Result:
    """One object, made or read from where it was made before."""
    path = out / f"{method}-{prompt.replace(' ', '-')}-{seed}"
    if path.with_suffix(".json").exists():
        return Result(**json.loads(path.with_suffix(".json").read_text()))
    request = Request(prompt, method=method, stages=("nerf",), seed=seed)
    steps = max(1, int(seconds / seconds_of_a_step(request)))
    scene = begun(Request(prompt, method=method, stages=("nerf",), seed=seed, steps=steps))
    for _ in range(steps):
        scene.step()
    result, pictures = judged(scene, request, steps)
    torch.save(pictures, path.with_suffix(".pt"))
    path.with_suffix(".json").write_text(json.dumps(asdict(result)) + "\n")
    print(f"{method:8}{prompt:20}{seed}  {steps} steps, recognised {result.recognition:.2f}", flush=True)
    return result


def begun(request: Request) -> Scene:
    """A run of the first stage, before its first step."""
    teacher = load_teacher(request.teacher, torch.device("cpu"))
    return build_scene(request, stages_of(request, teacher)[0], torch.device("cpu"))


def seconds_of_a_step(request: Request) -> float:
    """Processor time of a step in the middle of a run, when most of space is known to be empty."""
    scene = begun(request)
    for _ in range(2):
        scene.step()
    started = time.process_time()
    for _ in range(MEASURED_STEPS):
        scene.step()
    return (time.process_time() - started) / MEASURED_STEPS


@torch.no_grad()
def judged(scene: Scene, request: Request, steps: int) -> tuple[Result, Tensor]:
    """What is measured of an object, and its pictures (B, 3, H, W) from all sides."""
    cameras = judged_cameras(JUDGED_SIZE)
    pictures = scene.shown(cameras).image
    judge = judge_for(request)
    wished = imagined(scene, cameras)
    distance = (mean_colour(pictures) - mean_colour(wished)).square().mean().sqrt()
    sides = view_agreement(scene.teacher, pictures, request.prompt, cameras)
    recognition = judge.recognition(pictures) if judge else float("nan")
    result = Result(
        request.method, request.prompt, request.seed, steps, recognition, float(distance), float(sides.janus_score)
    )
    return result, pictures


def mean_colour(pictures: Tensor) -> Tensor:
    """(3,) of what is not the white ground, by how far it is from white."""
    weight = (1 - pictures.amin(1, keepdim=True)).clamp(0, 1)
    return (pictures * weight).sum((0, 2, 3)) / weight.sum().clamp(min=1e-6)


def pictures_of(out: Path, method: str, prompt: str, seed: int) -> Tensor:
    """The pictures of an object that was made."""
    loaded: Tensor = torch.load(out / f"{method}-{prompt.replace(' ', '-')}-{seed}.pt", weights_only=True)
    return loaded


def fronts(out: Path, method: str, prompt: str, seed: int) -> Tensor:
    """(3, H, W): the object half from the side."""
    return pictures_of(out, method, prompt, seed)[1]


def diversity(out: Path, method: str, prompt: str, seeds: Sequence[int]) -> float:
    """Root mean square of the differences between the pictures of a prompt's seeds, over all pairs; 0 of one seed."""
    each = [pictures_of(out, method, prompt, seed) for seed in seeds]
    pairs = [float((a - b).square().mean().sqrt()) for i, a in enumerate(each) for b in each[:i]]
    return mean(pairs) if pairs else 0.0


def table(results: Sequence[Result], out: Path, seconds: float) -> str:
    """Markdown: a row for each method, means over prompts and seeds."""
    lines = [
        f"Radiance fields in {seconds:g} seconds of one core each, {len({r.prompt for r in results})} prompts, "
        f"{len({r.seed for r in results})} seeds.",
        "",
        "| method | steps | recognised | colour off by | Janus | difference between seeds |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for method in dict.fromkeys(result.method for result in results):
        own = [result for result in results if result.method == method]
        seeds = sorted({result.seed for result in own})
        spread = mean(diversity(out, method, prompt, seeds) for prompt in dict.fromkeys(r.prompt for r in own))
        lines.append(
            f"| {method} | {mean(r.steps for r in own):.0f} | {mean(r.recognition for r in own):.2f} | "
            f"{mean(r.colour for r in own):.3f} | {mean(r.janus for r in own):.2f} | {spread:.3f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
