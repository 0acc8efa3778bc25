"""Every score gradient on one teacher, for equal seconds of one processor: a table and a page of pictures.

    python examples/compare_gradients/compare.py --out outputs/gradients

Each method makes a radiance field of each prompt from each seed, by its own recipe, in as many steps as fit into the
seconds: what a step costs is measured first, and its schedules are stretched over them. Then the surfaces are judged
from all sides by a classifier that never saw anything generated, and compared with real models of the same noun, where
Sweet Home 3D's are (Debian: apt-get install sweethome3d-furniture). What is finished is not done again.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from statistics import mean

import torch
from measuring import RealModels, Result, diversity, measured
from PIL import Image, ImageDraw
from torch import Tensor

from cli.pictures import sheet, to_bytes
from cli.scenes.request import Request
from cli.scenes.scene import Scene, build_scene
from cli.scenes.stage import stages_of
from cli.teachers import EMBEDDED, load_teacher
from sds.baselines import METHODS
from sds.denoiser import NeuralTeacher

PROMPTS = ("a red armchair", "a teddy bear", "a blue car", "a wooden table")
SEEDS = (0, 1, 2)
MEASURED_STEPS = 4
"""By which the seconds of a step are measured; two more come first, in which everything is compiled and loaded."""

HALF_FROM_THE_SIDE = 1
"""The view that is shown of each object."""

NAMES_WIDTH = 60
"""Pixels of the page for the names of the methods."""


def main() -> None:
    """Compare what was asked for, as far as it is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs/gradients"))
    parser.add_argument("--seconds", type=float, default=30.0, help="of processor time for each object (default: 30)")
    parser.add_argument("--prompts", nargs="+", default=PROMPTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--models", type=Path, default=Path("/usr/share/sweethome3d/furniture"), help="real ones")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    models = RealModels(options.models, options.out / "models") if options.models.is_dir() else None
    # Methods take turns, so that what is there when the comparison is stopped compares all of them.
    results = [
        made(Request(prompt, method=method, stages=("nerf",), seed=seed), options.seconds, options.out, models)
        for seed in options.seeds
        for prompt in options.prompts
        for method in options.methods
    ]
    (options.out / "results.json").write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    (options.out / "table.md").write_text(table(results, options.out, options.seconds))
    write_page(results, options.out)
    print(options.out / "table.md", options.out / "page.png", sep="\n")


def made(request: Request, seconds: float, out: Path, models: RealModels | None) -> Result:
    """One object, made or read from where it was made before."""
    path = place(out, request.method, request.prompt, request.seed)
    if path.with_suffix(".json").exists():
        return Result(**json.loads(path.with_suffix(".json").read_text()))
    steps = max(1, int(seconds / seconds_of_a_step(request.method)))
    scene = begun(replace(request, steps=steps))
    for _ in range(steps):
        scene.step()
    result, pictures = measured(scene, request, steps, models)
    torch.save(pictures, path.with_suffix(".pt"))
    path.with_suffix(".json").write_text(json.dumps(asdict(result)) + "\n")
    print(f"{request.method:8}{request.prompt:20}{request.seed}  {steps} steps, {result.recognition:.0%}", flush=True)
    return result


def begun(request: Request) -> Scene:
    """A run of the first stage, before its first step."""
    return build_scene(request, stages_of(request, teacher())[0], torch.device("cpu"))


@cache
def teacher() -> NeuralTeacher:
    """The embedded teacher, loaded once."""
    return load_teacher(EMBEDDED, torch.device("cpu"))


@cache
def seconds_of_a_step(method: str) -> float:
    """Processor time of a step at the beginning of a run, which is a little dearer than later, when space is empty."""
    scene = begun(Request(PROMPTS[0], method=method, stages=("nerf",)))
    for _ in range(2):
        scene.step()
    started = time.process_time()
    for _ in range(MEASURED_STEPS):
        scene.step()
    return (time.process_time() - started) / MEASURED_STEPS


def place(out: Path, method: str, prompt: str, seed: int) -> Path:
    """Where an object's numbers and pictures are, but for the suffix."""
    return out / f"{method}-{prompt.replace(' ', '-')}-{seed}"


def pictures_of(out: Path, result: Result) -> Tensor:
    """The pictures of an object that was made."""
    path = place(out, result.method, result.prompt, result.seed).with_suffix(".pt")
    loaded: Tensor = torch.load(path, weights_only=True)
    return loaded


def table(results: Sequence[Result], out: Path, seconds: float) -> str:
    """Markdown: a row for each method, means over prompts and seeds."""
    lines = [
        f"Radiance fields in {seconds:g} seconds of one core each, {len({r.prompt for r in results})} prompts, "
        f"{len({r.seed for r in results})} seeds.",
        "",
        "| method | steps | views recognised | probability | colour off by | Janus | overlap with a real model "
        "| normals off by | difference between seeds |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for method in dict.fromkeys(result.method for result in results):
        own = [result for result in results if result.method == method]
        prompts = dict.fromkeys(result.prompt for result in own)
        spread = mean(diversity([pictures_of(out, r) for r in own if r.prompt == prompt]) for prompt in prompts)
        lines.append(
            f"| {method} | {mean(r.steps for r in own):.0f} | {mean(r.recognition for r in own):.0%} | "
            f"{mean(r.probability for r in own):.2f} | {mean(r.colour for r in own):.3f} | "
            f"{mean(r.janus for r in own):.2f} | {known_mean([r.overlap for r in own], '.2f')} | "
            f"{known_mean([r.angle for r in own], '.0f')}° | {spread:.3f} |"
        )
    return "\n".join(lines) + "\n"


def known_mean(numbers: Sequence[float], form: str) -> str:
    """The mean of the numbers that are none of nan, or a dash."""
    known = [number for number in numbers if not math.isnan(number)]
    return format(mean(known), form) if known else "-"


def write_page(results: Sequence[Result], out: Path, size: int = 96) -> None:
    """page.png: a row for each method, by its name, with one view of each object."""
    methods = list(dict.fromkeys(result.method for result in results))
    rows = [
        torch.stack([pictures_of(out, r)[HALF_FROM_THE_SIDE] for r in results if r.method == method])
        for method in methods
    ]
    pictures = Image.fromarray(to_bytes(sheet(rows, size)))
    page = Image.new("RGB", (NAMES_WIDTH + pictures.width, pictures.height), "white")
    page.paste(pictures, (NAMES_WIDTH, 0))
    pen, height = ImageDraw.Draw(page), pictures.height / len(methods)
    for number, method in enumerate(methods):
        pen.text((6, (number + 0.5) * height), method, fill="black", anchor="lm")
    page.save(out / "page.png")


if __name__ == "__main__":
    main()
