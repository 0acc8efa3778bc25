"""Measures a teacher: are its pictures recognised, from every side, in the right colour, also in pairs it never saw?

Everything is judged by the recogniser in the teacher's folder, which was trained on real renders; its score on real
renders of views that nobody trained on is the ceiling. Writes ``metrics.json`` and sheets of samples.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from captions import COLOURS, read_held_out
from dataset import ViewDataset
from PIL import Image, ImageDraw
from torch import Tensor
from train_recogniser import ceiling

from sds.recognition import Recogniser
from sds.teachers.embedded_pipeline import EmbeddedPipeline

AZIMUTHS = (0.0, 45.0, 90.0, 135.0, 180.0, 225.0, 270.0, 315.0)
_BATCH = 32
_LABEL_HEIGHT = 12


@dataclass(frozen=True)
class Request:
    """One picture to be drawn: a prompt, and the camera's azimuth in degrees."""

    prompt: str
    azimuth: float


class Sampler:
    """Draws many pictures with one pipeline, over white, 15 degrees from above."""

    def __init__(self, folder: Path, guidance_scale: float, steps: int, seed: int) -> None:
        self.pipeline = EmbeddedPipeline.from_pretrained(folder)
        self.pipeline.set_progress_bar_config(disable=True)
        self.guidance_scale = guidance_scale
        self.steps = steps
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, requests: list[Request]) -> Tensor:
        """(len(requests), 3, S, S) in [0, 1]."""
        pictures = []
        for start in range(0, len(requests), _BATCH):
            part = requests[start : start + _BATCH]
            drawn = self.pipeline(
                [request.prompt for request in part],
                azimuth=[request.azimuth for request in part],
                guidance_scale=self.guidance_scale,
                num_inference_steps=self.steps,
                generator=self.generator,
                output_type="pt",
            )
            pictures.append(drawn.images)
        return torch.cat(pictures)


def colour_of(picture: Tensor) -> str:
    """The colour name nearest to what fills a picture (3, S, S) over white, by hue and lightness of its object."""
    pixels = picture.flatten(1).T
    coloured = pixels[(1 - pixels).abs().amax(1) > 0.12]
    if len(coloured) < 8:
        return "white"
    names = list(COLOURS)
    table = torch.tensor([COLOURS[name] for name in names])
    # Shading scales a colour; compare each pixel with lit and shaded versions, and let the pixels vote.
    shaded = table[None] * torch.tensor([1.0, 0.8, 0.6])[:, None, None]
    distance = torch.cdist(coloured[None].expand(3, -1, -1), shaded).amin(0)
    votes = torch.bincount(distance.argmin(1), minlength=len(names))
    return names[int(votes.argmax())]


def recognition(recogniser: Recogniser, pictures: Tensor, nouns: list[str]) -> dict[str, float]:
    """Shares of pictures whose noun is ranked first, and among the first five."""
    ranks = torch.stack([recogniser.rank(p[None], noun)[0] for p, noun in zip(pictures, nouns, strict=True)])
    return {"top1": float((ranks == 0).float().mean()), "top5": float((ranks < 5).float().mean())}


def by_noun(sampler: Sampler, recogniser: Recogniser, data: ViewDataset) -> dict[str, object]:
    """Recognition of every noun from four sides, which nouns are never recognised, and recognition by azimuth."""
    nouns = [noun.name for noun in data.nouns]
    requests = [Request(noun, azimuth) for noun in nouns for azimuth in AZIMUTHS[1::2]]
    labels = [noun for noun in nouns for _ in AZIMUTHS[1::2]]
    pictures = sampler.draw(requests)
    hit = (recogniser.logits(pictures).argmax(1) == torch.tensor([recogniser.nouns.index(n) for n in labels])).float()
    share = hit.view(len(nouns), -1).mean(1)
    return {
        "samples": recognition(recogniser, pictures, labels),
        "recognised from at least half of the sides": float((share >= 0.5).float().mean()),
        "never recognised": [noun for noun, value in zip(nouns, share.tolist(), strict=True) if value == 0],
    }


@torch.no_grad()
def camera_obeyed(sampler: Sampler, data: ViewDataset) -> dict[str, object]:
    """For nouns with one model that looks different from every side: is the sample nearest to the right real view?

    Each sample is compared with real held-out views of the model; it counts if the nearest is within 45 degrees of the
    azimuth asked for. Chance is about a quarter.
    """
    count: dict[str, int] = {}
    for item in data.objects:
        count[item["noun"]] = count.get(item["noun"], 0) + 1
    right: dict[float, list[bool]] = {azimuth: [] for azimuth in AZIMUTHS}
    white = np.ones((1, 16, 3), np.float32)
    for i, item in enumerate(data.objects):
        if count[item["noun"]] > 1:
            continue
        real = data.compose(np.array([i]), np.arange(16)[None], [""], [None], white)
        views, angles = real.picture[0], real.azimuth[0]
        around = (views[:, None] - views[None]).square().mean((2, 3, 4))
        if float(around.mean()) < 0.02:
            continue
        drawn = sampler.draw([Request(item["noun"], azimuth) for azimuth in AZIMUTHS])
        nearest = (drawn[:, None] - views[None]).square().mean((2, 3, 4)).argmin(1)
        for azimuth, index in zip(AZIMUTHS, nearest, strict=True):
            difference = float(angles[index]) - np.radians(azimuth)
            right[azimuth].append(bool(np.cos(difference) > np.cos(np.pi / 4)))
    if not right[0.0]:
        return {}
    return {
        "objects": len(right[0.0]),
        "within 45 degrees": float(np.mean([np.mean(hits) for hits in right.values()])),
        "by azimuth": {str(int(azimuth)): round(float(np.mean(hits)), 3) for azimuth, hits in right.items()},
    }


def pairs(
    sampler: Sampler, recogniser: Recogniser, chosen: list[tuple[str, str]]
) -> dict[str, dict[str, float] | float]:
    """Recognition of (colour, noun) prompts from two sides, and how often the colour is the one asked for."""
    requests = [Request(f"a {colour} {noun}", azimuth) for colour, noun in chosen for azimuth in (45.0, 315.0)]
    pictures = sampler.draw(requests)
    colours = [colour for colour, _ in chosen for _ in range(2)]
    right = [colour_of(picture) == colour for picture, colour in zip(pictures, colours, strict=True)]
    nouns = [noun for _, noun in chosen for _ in range(2)]
    return {"noun": recognition(recogniser, pictures, nouns), "colour": float(np.mean(right))}


def sheet(sampler: Sampler, prompts: list[str], columns: int, path: Path) -> None:
    """A contact sheet: every prompt from four sides, doubled in size under its words, `columns` prompts a row."""
    sides = (30.0, 120.0, 210.0, 300.0)
    pictures = sampler.draw([Request(prompt, side) for prompt in prompts for side in sides])
    pictures = F.interpolate(pictures, scale_factor=2, mode="nearest")
    size = pictures.shape[-1]
    width, height = len(sides) * size + 8, size + _LABEL_HEIGHT
    canvas = Image.new("RGB", (columns * width, -(-len(prompts) // columns) * height), "white")
    pen = ImageDraw.Draw(canvas)
    for i, prompt in enumerate(prompts):
        left, top = i % columns * width, i // columns * height
        pen.text((left, top), prompt, fill="black")
        for j in range(len(sides)):
            pixels = (pictures[i * len(sides) + j] * 255).round().byte().permute(1, 2, 0).numpy()
            canvas.paste(Image.fromarray(pixels), (left + j * size, top + _LABEL_HEIGHT))
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path, quality=85)


def pairs_of_same_nouns(held_out: list[tuple[str, str]], generator: np.random.Generator) -> list[tuple[str, str]]:
    """For each held-out (colour, noun) pair one of the same noun that training does show."""
    shown = []
    for _, noun in held_out:
        colours = [colour for colour in COLOURS if (colour, noun) not in held_out]
        shown.append((str(generator.choice(colours)), noun))
    return shown


def evaluate(arguments: argparse.Namespace) -> dict[str, object]:
    """All measurements; those for which the data set has nothing to show are left out."""
    recogniser = Recogniser.load(arguments.teacher)
    sampler = Sampler(arguments.teacher, arguments.guidance_scale, arguments.steps, arguments.seed)
    size = sampler.pipeline.unet.config["sample_size"] * 4
    data = ViewDataset(arguments.data, size, held_out=True)
    nouns = [noun.name for noun in data.nouns]
    result: dict[str, object] = {
        "real renders of unseen views (ceiling)": ceiling(recogniser, data, size, arguments.measured),
        **by_noun(sampler, recogniser, data),
    }
    sheet(sampler, nouns, 8, arguments.sheets / "nouns.jpg")
    if camera := camera_obeyed(sampler, data):
        result["camera"] = camera
    if held_out := sorted(pair for pair in read_held_out(arguments.held_out) if pair[1] in nouns):
        shown = pairs_of_same_nouns(held_out, np.random.default_rng(arguments.seed))
        result["coloured prompts held out of training"] = pairs(sampler, recogniser, held_out)
        result["coloured prompts of the same nouns seen in training"] = pairs(sampler, recogniser, shown)
        sheet(sampler, [f"{colour} {noun}" for colour, noun in held_out], 8, arguments.sheets / "held_out_pairs.jpg")
    return result


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="what build_dataset.py wrote")
    parser.add_argument("--teacher", type=Path, required=True, help="the teacher's folder")
    parser.add_argument("--sheets", type=Path, required=True, help="where metrics.json and the sheets go")
    parser.add_argument("--held-out", type=Path, default=Path(__file__).parent / "held_out.csv")
    parser.add_argument("--guidance-scale", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=20, help="DDIM steps")
    parser.add_argument("--measured", type=int, default=5120, help="real renders for the ceiling")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    result = evaluate(arguments)
    text = json.dumps(result, indent=1)
    (arguments.sheets / "metrics.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
