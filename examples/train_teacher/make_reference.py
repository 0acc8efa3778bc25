"""Writes what students of a teacher are measured against: features of real renders from views nobody trained on.

``scoresmith evaluate STUDENT`` finds the file in the teacher's folder, so that nobody needs the renders themselves.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from export_pictures import lit_pictures

from cli.trainings.reference import RECOGNISER_FEATURES, recogniser_features
from sds.recognition import Recogniser
from students.measures.reference import REFERENCE, Reference
from students.prompts import StoredView


def make_reference(data: Path, recogniser: Recogniser, count: int, held_out_pairs: Path) -> Reference:
    """Features of ``count`` lit renders of held-out views, captioned and painted as in training."""
    features_of = recogniser_features(recogniser)
    features, prompts, azimuth, elevation, background = [], [], [], [], []
    for batch in lit_pictures(data, count, seed=0, held_out_views=True, held_out_pairs=held_out_pairs):
        features.append(features_of(batch.picture))
        prompts += [caption.text for caption in batch.captions]
        azimuth.append(batch.azimuth)
        elevation.append(batch.elevation)
        background.append(batch.background)
    view = StoredView(torch.cat(azimuth), torch.cat(elevation), torch.cat(background))
    images = f"renders of real models at {batch.picture.shape[-1]} px, from views that nothing was trained on"
    return Reference(torch.cat(features), prompts, view, RECOGNISER_FEATURES, images)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="what build_fields.py wrote")
    parser.add_argument("--teacher", type=Path, required=True, help="the teacher's folder")
    parser.add_argument("--count", type=int, default=4096, help="number of renders")
    parser.add_argument("--held-out", type=Path, default=Path(__file__).parent / "held_out.csv")
    arguments = parser.parse_args()
    recogniser = Recogniser.load(arguments.teacher)
    reference = make_reference(arguments.data, recogniser, arguments.count, arguments.held_out)
    reference.save(arguments.teacher / REFERENCE)
    print(arguments.teacher / REFERENCE)


if __name__ == "__main__":
    main()
