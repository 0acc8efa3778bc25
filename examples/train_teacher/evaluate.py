"""Measures a teacher: are its pictures recognised, from every side, in the right colour, also in pairs it never saw?

Everything is judged by the recogniser in the teacher's folder, which was trained on real renders under many lights; its
score on real renders of views that nobody trained on is the ceiling. Writes ``metrics.json`` and sheets of samples.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captions import COLOURS, Caption, read_held_out
from look_data import LookDataset
from objects import read_held_out_models, read_objects, trained_on
from pairs import colour_of, related_pairs, two_things
from sampling_sheets import SIDES, Request, Sampler, from_all_sides, write_labelled
from torch import Tensor
from train_recogniser import ceiling

from cli.trainings.reference import recogniser_features
from sds.recognition import Recogniser
from sds.teachers.layers import LOOKS, Look
from sds.teachers.shape_pipeline import LookingView

_VIEWS = 12
_HERE = Path(__file__).parent


def recognition(recogniser: Recogniser, pictures: Tensor, nouns: list[str]) -> dict[str, float]:
    """Shares of pictures whose noun is ranked first, and among the first five."""
    ranks = torch.stack([recogniser.rank(p[None], noun)[0] for p, noun in zip(pictures, nouns, strict=True)])
    return {"top1": float((ranks == 0).float().mean()), "top5": float((ranks < 5).float().mean())}


def by_noun(recogniser: Recogniser, nouns: list[str], pictures: Tensor) -> dict[str, object]:
    """Recognition of every noun in its pictures from all sides, and which nouns are never recognised."""
    labels = [noun for noun in nouns for _ in SIDES]
    numbers = torch.tensor([recogniser.nouns.index(noun) for noun in labels])
    share = (recogniser.logits(pictures).argmax(1) == numbers).float().view(len(nouns), -1).mean(1)
    return {
        "samples": recognition(recogniser, pictures, labels),
        "recognised from at least half of the sides": float((share >= 0.5).float().mean()),
        "never recognised": [noun for noun, value in zip(nouns, share.tolist(), strict=True) if value == 0],
    }


def camera_obeyed(sampler: Sampler, data: LookDataset, most: int) -> dict[str, object]:
    """For nouns with one model that looks different from every side: is the sample nearest to the right real view?

    The teacher draws each real held-out view of the model from that view's own angles; a sample counts if the real view
    nearest to it is within 45 degrees of its azimuth. Chance is about a quarter.
    """
    count = Counter(variant.noun for variant in data.variants)
    right: list[float] = []
    for i, variant in enumerate(data.variants):
        if count[variant.noun] > 1 or len(right) >= most:
            continue
        views, azimuth = _white_views(data, i)
        if float((views[:, None] - views[None]).square().mean()) < 0.02:
            continue
        angles = zip(torch.rad2deg(azimuth).tolist(), np.rad2deg(data.cameras[i, :, 1]).tolist(), strict=True)
        drawn = sampler.draw([Request(variant.noun, a, elevation=e) for a, e in angles])
        nearest = (drawn[:, None] - views[None]).square().mean((2, 3, 4)).argmin(1)
        right.append(float((torch.cos(azimuth[nearest] - azimuth) > np.cos(np.pi / 4)).float().mean()))
    return {"objects": len(right), "within 45 degrees": float(np.mean(right))} if right else {}


def _white_views(data: LookDataset, number: int) -> tuple[Tensor, Tensor]:
    """Lit views (V, 3, S, S) of an object as it is, over white, and their azimuths."""
    count = data.layers.shape[1]
    plain = [Caption("", None)] * count
    lit = np.full(count, LOOKS.index(Look.LIT))
    drawn = data.compose(np.full(count, number), np.arange(count), plain, lit, np.ones((count, 3), np.float32))
    return drawn.picture, drawn.azimuth


def coloured(sampler: Sampler, recogniser: Recogniser, chosen: list[tuple[str, str]]) -> dict[str, object]:
    """Recognition of (colour, noun) prompts from two sides, and how often the colour is the one asked for."""
    requests = [Request(f"a {colour} {noun}", azimuth) for colour, noun in chosen for azimuth in (45.0, 315.0)]
    nouns = [noun for _, noun in chosen for _ in range(2)]
    recognised = recognition(recogniser, sampler.draw(requests), nouns)
    unlit = sampler.draw([Request(request.prompt, request.azimuth, Look.ALBEDO) for request in requests])
    asked = [colour for colour, _ in chosen for _ in range(2)]
    right = [colour_of(picture) == colour for picture, colour in zip(unlit, asked, strict=True)]
    return {"noun": recognised, "colour": float(np.mean(right))}


def nearness(sampler: Sampler, recogniser: Recogniser, data: LookDataset, most: int) -> dict[str, float]:
    """Median distances, by the recogniser's features, from samples and from real renders to the nearest other model.

    If samples were copies, the first number would be near 0 beside the second.
    """
    views = [_white_views(data, i)[0][:4] for i in range(len(data.variants))]
    embed = recogniser_features(recogniser)
    features = torch.stack([embed(view).mean(0) for view in views])
    between = torch.cdist(features, features).fill_diagonal_(torch.inf).amin(1)
    nouns = sorted({variant.noun for variant in data.variants})[:most]
    drawn = from_all_sides(sampler, nouns)
    samples = embed(drawn).unflatten(0, (len(nouns), -1)).mean(1)
    return {
        "sample to nearest training model": float(torch.cdist(samples, features).amin(1).median()),
        "training model to nearest other": float(between.median()),
    }


def pairs_of_same_nouns(held_out: list[tuple[str, str]], generator: np.random.Generator) -> list[tuple[str, str]]:
    """For each held-out (colour, noun) pair one of the same noun that training does show."""
    shown = []
    for _, noun in held_out:
        colours = [colour for colour in COLOURS if (colour, noun) not in held_out]
        shown.append((str(generator.choice(colours)), noun))
    return shown


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    """All measurements; those for which there is no data set, or it has nothing to show, are left out."""
    recogniser = Recogniser.load(arguments.teacher)
    sampler = Sampler(arguments.teacher, arguments.steps, arguments.seed)
    result = of_prompts(sampler, recogniser, arguments)
    return result if arguments.data is None else result | beside_models(sampler, recogniser, arguments)


def of_prompts(sampler: Sampler, recogniser: Recogniser, arguments: argparse.Namespace) -> dict[str, Any]:
    """What the recogniser makes of samples of nouns, of coloured things and of two things."""
    known = sorted(set(sampler.teacher.shape_prior.config["variants"]))
    nouns = known[:: max(1, len(known) // arguments.nouns)]
    pictures = from_all_sides(sampler, nouns)
    write_labelled(arguments.sheets / "nouns.jpg", nouns, pictures, 8)
    result: dict[str, Any] = by_noun(recogniser, nouns, pictures)
    if held_out := sorted(pair for pair in read_held_out(arguments.held_out) if pair[1] in known)[: arguments.most]:
        shown = pairs_of_same_nouns(held_out, np.random.default_rng(arguments.seed))
        result["coloured prompts held out of training"] = coloured(sampler, recogniser, held_out)
        result["coloured prompts of the same nouns seen in training"] = coloured(sampler, recogniser, shown)
        prompts = [f"{colour} {noun}" for colour, noun in held_out]
        write_labelled(arguments.sheets / "held_out_pairs.jpg", prompts, from_all_sides(sampler, prompts), 8)
    if chosen := related_pairs(known):
        result["two things"] = two_things(sampler, recogniser, chosen)
        prompts = [pair.prompt for pair in chosen]
        write_labelled(arguments.sheets / "two_things.jpg", prompts, from_all_sides(sampler, prompts), 4)
    return result


def beside_models(sampler: Sampler, recogniser: Recogniser, arguments: argparse.Namespace) -> dict[str, Any]:
    """What samples are beside renders of the models that taught the teacher, and of those that were held out."""
    objects, kinds = read_objects(arguments.data)
    trained = trained_on(objects, read_held_out_models(_HERE / "held_out_models.csv"))
    data = LookDataset(arguments.data, trained, _VIEWS, held_out=True)
    errors = {"models seen": surprise(sampler, data, arguments.most)}
    if unseen := [item for item in objects if item not in trained]:
        other = LookDataset(arguments.data, unseen, _VIEWS, held_out=True)
        errors["models held out"] = surprise(sampler, other, arguments.most)
    result: dict[str, Any] = {
        "real renders of unseen views (ceiling)": ceiling(recogniser, data, kinds, sampler.size, arguments.measured),
        "error of x0 at t = 0.5": errors,
        "nearness": nearness(sampler, recogniser, data, arguments.most),
    }
    if camera := camera_obeyed(sampler, data, arguments.most):
        result["camera"] = camera
    return result


@torch.no_grad()
def surprise(sampler: Sampler, data: LookDataset, most: int) -> float:
    """Root of the mean squared error of x0 at t = 0.5 on held-out views of models, told no more than their noun."""
    generator = torch.Generator().manual_seed(0)
    errors = []
    for i in range(min(most, len(data.variants))):
        picture, azimuth = _white_views(data, i)
        count = len(picture)
        elevation = torch.from_numpy(data.cameras[i, :, 1])
        view = LookingView(azimuth, elevation, torch.ones(count, 3), Look.LIT)
        told = sampler.teacher.condition([data.variants[i].noun] * count, view)
        t = torch.full((count,), 0.5, dtype=torch.float64)
        x0 = sampler.teacher.encode(picture)
        x_t = sampler.teacher.schedule.add_noise(x0, torch.randn(x0.shape, generator=generator), t)
        errors.append((sampler.teacher(x_t, t, told) - x0).square().mean())
    return float(torch.stack(errors).mean().sqrt())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="what build_fields.py wrote; without it, only what needs no models")
    parser.add_argument("--teacher", type=Path, required=True, help="the teacher's folder")
    parser.add_argument("--sheets", type=Path, required=True, help="where metrics.json and the sheets go")
    parser.add_argument("--held-out", type=Path, default=_HERE / "held_out.csv")
    parser.add_argument("--steps", type=int, default=12, help="DDIM steps")
    parser.add_argument("--measured", type=int, default=2560, help="real renders for the ceiling")
    parser.add_argument("--most", type=int, default=100, help="objects for the costlier measurements")
    parser.add_argument("--nouns", type=int, default=10**6, help="about as many of them, spread over the alphabet")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    result = evaluate(arguments)
    text = json.dumps(result, indent=1)
    (arguments.sheets / "metrics.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
