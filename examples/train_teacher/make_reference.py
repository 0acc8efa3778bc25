"""Writes what students of a teacher are measured against: features of real renders from views nobody trained on.

``scoresmith evaluate STUDENT`` finds the file in the teacher's folder, so that nobody needs the renders themselves.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from export_pictures import pictures

from cli.trainings.student_metrics import RECOGNISER_FEATURES, recogniser_features
from sds.recognition import Recogniser
from students.measures.reference import REFERENCE, Reference
from students.prompts import StoredView


def make_reference(data: Path, recogniser: Recogniser, size: int, count: int, held_out_pairs: Path) -> Reference:
    """Features of ``count`` renders of held-out views at ``size`` pixels, captioned and coloured as in training."""
    features_of = recogniser_features(recogniser)
    features, prompts, azimuth, elevation, background = [], [], [], [], []
    for batch in pictures(data, size, count, seed=0, held_out_views=True, held_out_pairs=held_out_pairs):
        features.append(features_of(batch.picture[:, 0]))
        prompts += batch.captions
        azimuth.append(batch.azimuth[:, 0])
        elevation.append(batch.elevation[:, 0])
        background.append(batch.background[:, 0])
    view = StoredView(torch.cat(azimuth), torch.cat(elevation), torch.cat(background))
    images = f"renders of real models at {size} px, from views that nothing was trained on"
    return Reference(torch.cat(features), prompts, view, RECOGNISER_FEATURES, images)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="what build_dataset.py wrote")
    parser.add_argument("--teacher", type=Path, required=True, help="the teacher's folder")
    parser.add_argument("--size", type=int, default=32, help="side of the teacher's pictures")
    parser.add_argument("--count", type=int, default=4096, help="number of renders")
    parser.add_argument("--held-out", type=Path, default=Path(__file__).parent / "held_out.csv")
    arguments = parser.parse_args()
    recogniser = Recogniser.load(arguments.teacher)
    reference = make_reference(arguments.data, recogniser, arguments.size, arguments.count, arguments.held_out)
    reference.save(arguments.teacher / REFERENCE)
    print(arguments.teacher / REFERENCE)


if __name__ == "__main__":
    main()
