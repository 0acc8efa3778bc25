"""Clothes, 28 x 28 pixels (Fashion-MNIST, Xiao et al. 2017, MIT), and a diffusion teacher of them.

The 70,000 pictures are a Debian package; nothing else is downloaded::

    sudo apt install dataset-fashion-mnist
    python examples/compare_students/clothes.py --out outputs/clothes

About an hour on one core. The four files, from elsewhere, may be in another folder (`--data`).
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
import torch
from classifier import described, load_classifier, save_classifier, share_right, train_classifier
from diffusers import UNet2DModel
from subject import Labelled, Subject
from teaching import train_teacher
from torch import Tensor

DATA = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts its files."""

NAMES = ("top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")

HERE = Path(__file__).parent / "clothes"
"""The teacher, the classifier that describes pictures, and what the comparison found."""

SIDE = 28

HELD_OUT = 500
"""Pictures by which who draws is judged."""

HEADERS = {2051: 16, 2049: 8}
"""Bytes before the values, by the magic number that an IDX file begins with: pictures, labels."""


def read_idx(path: Path) -> np.ndarray:
    """The values of a compressed IDX file, uint8, flat. Raises FileNotFoundError, and ValueError for anything else."""
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is not there; on Debian: apt install dataset-fashion-mnist, else --data FOLDER"
        )
    data = gzip.decompress(path.read_bytes())
    header = HEADERS.get(int.from_bytes(data[:4], "big"))
    if header is None:
        raise ValueError(f"{path} is no IDX file of pictures or labels")
    return np.frombuffer(data, np.uint8, offset=header)


def labelled(data: Path, part: str) -> Labelled:
    """Pictures (count, 3, 28, 28) in [0, 1], three times the same gray, and their kinds."""
    pixels = read_idx(data / f"{part}-images-idx3-ubyte.gz").reshape(-1, 1, SIDE, SIDE)
    kinds = read_idx(data / f"{part}-labels-idx1-ubyte.gz")
    return torch.from_numpy(pixels.astype(np.float32) / 255).expand(-1, 3, -1, -1), torch.from_numpy(
        kinds.astype(np.int64)
    )


def new_unet() -> UNet2DModel:
    """A UNet of 2.4 million weights that is told the class."""
    return UNet2DModel(
        sample_size=SIDE,
        in_channels=3,
        out_channels=3,
        block_out_channels=(16, 48, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=32,
        num_class_embeds=len(NAMES) + 1,
    )


def clothes(data: Path = DATA, classifier: Path = HERE / "classifier.safetensors") -> Subject:
    """The 60,000 to learn from, and of the other 10,000 the first `HELD_OUT`.

    They are judged by a classifier's features, centred on the mean of what is held out and divided by their deviation:
    distances are told in variances of real clothes.
    """
    pictures, kinds = labelled(data, "t10k")
    pictures, kinds = pictures[:HELD_OUT], kinds[:HELD_OUT]
    judge = load_classifier(classifier)
    real = described(judge, pictures)
    mean, deviation = real.mean(0), real.std(0).square().mean().sqrt()

    def features(drawn: Tensor) -> Tensor:
        return (described(judge, drawn) - mean) / deviation

    seen, unit = labelled(data, "train"), 1 / real.shape[1]
    return Subject("clothes", NAMES, seen, (pictures, kinds), new_unet, features, HERE / "teacher", unit, draws=2)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for `classifier.safetensors` and `teacher`")
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of the four files (default: {DATA})")
    parser.add_argument("--steps", type=int, default=3600, help="of the teacher, 32 pictures each")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    judge = arguments.out / "classifier.safetensors"
    if not judge.exists():
        classifier = train_classifier(labelled(arguments.data, "train"), seed=arguments.seed)
        save_classifier(classifier, judge)
        print(f"classifier: {share_right(classifier, labelled(arguments.data, 't10k')):.1%} of unseen pictures right")
    subject, out = clothes(arguments.data, judge), arguments.out / "teacher"
    print(train_teacher(subject, out, arguments.steps, batch_size=32, rate=1e-3, seed=arguments.seed))


if __name__ == "__main__":
    main()
