"""Folders as runs and trainings leave them, written in a moment."""

import json
from pathlib import Path

import numpy as np
import torch

from cli.pictures import write_sheet, write_turntable
from cli.scenes.curves import CurveLog, CurvePoint
from cli.scenes.run_folder import RunFolder, write_json
from representations.assets.asset import Asset
from representations.assets.writing import write_asset
from tests.cli.viewer.objects import ball

RAMP = {"start": 0.98, "end": 0.7, "begin": 0.0, "finish": 1.0}
RECIPE = {"steps": 20, "guidance": {"scale": 2.0, "limit": None}, "times": {"highest": RAMP}}


def run_folder(path: Path, prompt: str = "a red ball", finished: bool = True) -> RunFolder:
    """A run of two stages, 20 steps each; without its results if it is not ``finished``."""
    folder = RunFolder(path)
    path.mkdir()
    request = {"prompt": prompt, "method": "vsd", "teacher": "embedded", "seed": 7, "negative": ""}
    recipe = {"nerf": RECIPE, "mesh": RECIPE}
    versions = {"scoresmith": "0.1.0"}
    seconds = {"optimisation": 62.0, "results": 4.0}
    write_json(
        folder.configuration,
        {"prompt": prompt, "request": request, "recipe": recipe, "versions": versions, "seconds": seconds},
    )
    log = CurveLog(folder.curves, 0)
    for step in range(1, 41):
        recognition = step / 40 if step % 10 == 0 else None
        log.add(CurvePoint(step, "nerf" if step <= 20 else "mesh", 0.1 / step, 0.5, 1.0, 0.25, recognition))
    if not finished:
        return folder
    write_asset(Asset(ball((0.9, 0.1, 0.1))), folder.mesh)
    views = torch.linspace(0, 1, 8)[:, None, None, None].expand(8, 3, 32, 32)
    write_sheet(folder.preview, [views, 1 - views])
    write_turntable(folder.turntable, views)
    verdict = {
        "noun": "orange",
        "views_recognised": 0.75,
        "looks_most_like": ["orange", "ball", "apple"],
        "probabilities": np.linspace(0, 1, 8).tolist(),
    }
    size = {"x": 1.25, "y": 0.5, "z": 1.0}
    mesh = {"vertices": 642, "faces": 1280, "components": 1, "watertight": True, "texture": None, "size_m": size}
    write_json(folder.metrics, {"recognition": verdict, "sides": {"janus_score": 0.25}, "mesh": mesh})
    return folder


def student_folder(path: Path) -> Path:
    """A student whose training was resumed once, so that its log has step 20 twice."""
    training = path / "training"
    training.mkdir(parents=True)
    request = {"teacher": "embedded", "method": "dmd", "student_steps": 2, "prompts": ["<b>a cat</b>"]}
    (training / "run.json").write_text(json.dumps({"request": request, "versions": {"scoresmith": "0.1.0"}}))
    rows = [(10, 0.5, 1), (20, 0.4, None), (20, 0.3, 0.5), (30, 0.2, 0.25)]
    lines = [json.dumps({"step": step, "score_gradient": g, "critic_loss": loss}) for step, g, loss in rows]
    (training / "log.jsonl").write_text("\n".join(lines) + '\n{"step": 40, "score_gra')
    (training / "samples").mkdir()
    write_sheet(training / "samples" / "00000015.png", [torch.rand(2, 3, 8, 8)] * 3)
    write_sheet(training / "samples.png", [torch.rand(2, 3, 8, 8)] * 3)
    return path
