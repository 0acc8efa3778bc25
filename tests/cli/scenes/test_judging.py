"""What an object looks like to a classifier of single things: of several, each by itself."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from cli.scenes.judging import JUDGED_SIZE, Judge, judge_for
from cli.scenes.request import Request
from sds.recognition import Recogniser


class OneBlob(Recogniser):
    """Is sure of a "blob" where a picture shows one dark thing, and of a "pair" where it shows two."""

    def __init__(self) -> None:
        super().__init__({noun: [noun] for noun in ("blob", "pair", "ring")}, channels=(8,) * 5)

    def logits(self, images: Tensor) -> Tensor:
        dark = (images.mean(1) < 0.5).any(1).int()  # (B, W): which columns show something
        count = (dark.diff(dim=1, prepend=torch.zeros_like(dark[:, :1])) > 0).sum(1)
        return torch.stack([(count == 1) * 5.0, (count == 2) * 5.0, torch.full_like(count, 1.0)], dim=1).float()


def pictures(blobs: int) -> Tensor:
    images = torch.ones(3, 3, 64, 64)
    for blob in range(blobs):
        images[:, :, 20:44, 8 + 28 * blob : 28 + 28 * blob] = 0.1
    return images


@pytest.mark.parametrize(
    ("several", "blobs", "recognised"), [(False, 1, True), (False, 2, False), (True, 2, True), (True, 0, False)]
)
def test_of_several_things_a_part_must_show_one(several: bool, blobs: int, recognised: bool) -> None:
    verdict = Judge(OneBlob(), "blob", Path(), several=several).verdict(pictures(blobs))
    assert verdict["recognised"] is recognised
    assert verdict["views_recognised"] == float(recognised)


@pytest.mark.parametrize(
    ("prompt", "noun", "others", "finer"),
    [
        ("a red chair", "chair", (), 1),
        ("two striped chairs", "chair", (), 2),
        ("a cat on a chair", "cat", ("chair",), 2),
    ],
)
def test_pictures_of_several_things_are_finer(prompt: str, noun: str, others: tuple[str, ...], finer: int) -> None:
    judge = judge_for(Request(prompt))
    assert judge is not None
    assert (judge.noun, judge.others, judge.size) == (noun, others, finer * JUDGED_SIZE)
