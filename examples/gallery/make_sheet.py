"""The picture of a gallery: each run of a folder, its mesh from two sides, its prompt, and whether it is recognised."""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from cli.scenes.loading import load_object
from cli.scenes.results import finished
from cli.scenes.run_folder import RunFolder
from representations.assets.studio import StudioLight, render_in_studio
from representations.cameras import DEFAULT_DISTANCE, DEFAULT_FIELD_OF_VIEW, Cameras

SIZE = 220
CAPTION = 34
COLUMNS = 3
AZIMUTHS = (-35.0, 145.0)


def from_two_sides(folder: RunFolder) -> Tensor:
    """(3, SIZE, 2 SIZE): the mesh from half left in front and from behind, the lamp always at the left."""
    asset = finished(load_object(folder, torch.device("cpu")).solid)
    pictures = []
    for azimuth in map(math.radians, AZIMUTHS):
        one = torch.ones(1)
        angles = azimuth * one, math.radians(18) * one, DEFAULT_DISTANCE * one, DEFAULT_FIELD_OF_VIEW * one
        camera = Cameras(*angles, background=torch.ones(1, 3), size=SIZE)
        pictures.append(render_in_studio(asset, camera, StudioLight().turned(azimuth))[0])
    return torch.cat(pictures, dim=2)


def caption(folder: RunFolder) -> str:
    """The prompt, and what the classifier took it for if that is nothing of the prompt."""
    prompt = folder.read_configuration()["prompt"]
    recognition = json.loads(folder.metrics.read_text()).get("recognition")
    if recognition is None or recognition["looks_most_like"][0] in recognition["noun"].split(" and "):
        return prompt
    return f"{prompt}\n(taken for: {recognition['looks_most_like'][0]})"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, help="a folder of runs")
    parser.add_argument("sheet", type=Path, help="the PNG to write")
    options = parser.parse_args()
    folders = [RunFolder(path) for path in sorted(options.runs.iterdir()) if RunFolder(path).mesh.exists()]
    rows = -(-len(folders) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * 2 * SIZE, rows * (SIZE + CAPTION)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for i, folder in enumerate(folders):
        left, top = i % COLUMNS * 2 * SIZE, i // COLUMNS * (SIZE + CAPTION)
        picture = (from_two_sides(folder).permute(1, 2, 0) * 255).round().byte().numpy()
        sheet.paste(Image.fromarray(np.ascontiguousarray(picture)), (left, top))
        draw.multiline_text((left + SIZE, top + SIZE), caption(folder), "black", font, anchor="ma", align="center")
    sheet.save(options.sheet, optimize=True)
    verdicts = [json.loads(folder.metrics.read_text()).get("recognition", {}) for folder in folders]
    print(f"{sum(bool(v.get('recognised')) for v in verdicts)} of {len(folders)} objects recognised")
    print(f"{np.mean([v.get('views_recognised', 0.0) for v in verdicts]):.0%} of their views recognised")


if __name__ == "__main__":
    main()
