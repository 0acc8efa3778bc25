"""How near the meshes of a folder of runs are to the real models of their nouns: outlines, and normals.

    python examples/gallery/beside_models.py outputs/gallery --catalogues /usr/share/sweethome3d/furniture

Of all models of the noun, those that were held out among them, the one with the most similar outlines counts. Nothing
is aligned: teacher and models agree on where the front is. Prompts that ask for several things, for another shape
("tall") or for what has no model are left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import mean

import torch

from cli.scenes.judging import cameras_for, judge_for
from cli.scenes.loading import load_object
from cli.scenes.run_folder import RunFolder
from representations.likeness import Likeness, nearest, seen_from
from sds.teachers.embedded_words import Lexicon

sys.path.append(str(Path(__file__).parents[1] / "train_teacher"))  # examples import each other as scripts do

from real_models import RealModels


def likeness_of(folder: RunFolder, models: RealModels) -> Likeness | None:
    """Of a run's mesh and the nearest model of its noun; None if there is none, or nothing to compare."""
    loaded = load_object(folder, torch.device("cpu"))
    judge = judge_for(loaded.request)
    if judge is None:
        return None
    things = Lexicon.load().only(judge.recogniser.nouns).understand(loaded.request.prompt).things
    if len(things) > 1 or things[0].count > 1 or things[0].proportions:
        return None
    cameras = cameras_for(judge)
    real = models.seen(judge.noun, cameras)
    return nearest(seen_from(loaded.solid.surface(), cameras), real)[1] if real else None


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="a folder of runs")
    parser.add_argument("--catalogues", type=Path, required=True, help="folder of Sweet Home 3D libraries (*.sh3f)")
    options = parser.parse_args()
    folders = [RunFolder(path) for path in sorted(options.runs.iterdir()) if RunFolder(path).mesh.exists()]
    found = []
    with tempfile.TemporaryDirectory() as extracted:
        models = RealModels(options.catalogues, Path(extracted))
        for folder in folders:
            if (alike := likeness_of(folder, models)) is not None:
                found.append(alike)
                print(f"{folder.path.name}: {sentence(alike.overlap, alike.angle)}", flush=True)
    if not found:
        sys.exit(f"{options.runs} holds no run of one thing that has a model")
    overlap, angle = mean(one.overlap for one in found), mean(one.angle for one in found)
    print(f"{len(found)} meshes: {sentence(overlap, angle)}")


def sentence(overlap: float, angle: float) -> str:
    """What is said of a mesh, or of the mean of all."""
    return f"outlines overlap by {overlap:.2f}, normals are off by {angle:.0f}°"


if __name__ == "__main__":
    main()
