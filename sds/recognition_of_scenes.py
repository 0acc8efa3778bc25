"""Several things in one picture: a classifier of single things is shown the picture's parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sds.recognition import Recogniser, rank_in

SPLITS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Where a picture is cut in two, as shares of the width and the height of what it shows."""
_SEEN = 0.05
"""Pixels that differ by more than this from the white background show something."""
_MARGIN = 0.08
"""Beside a thing that is alone in its picture, as a share of its longest side."""


def halves(picture: Tensor) -> tuple[list[tuple[Tensor, Tensor]], list[tuple[Tensor, Tensor]]]:
    """A picture (3, H, W) over white, cut at each of `SPLITS`: into left and right parts, into upper and lower ones."""
    top, left, bottom, right = _box(picture)
    wide = [round(left + split * (right - left)) for split in SPLITS]
    high = [round(top + split * (bottom - top)) for split in SPLITS]
    return (
        [(picture[..., :at], picture[..., at:]) for at in wide],
        [(picture[:, :at], picture[:, at:]) for at in high],
    )


def _box(picture: Tensor) -> tuple[int, int, int, int]:
    """The first and last row and column (top, left, bottom, right; the last two excluded) that show something."""
    seen = ((1 - picture).abs().amax(0) > _SEEN).nonzero()
    if not len(seen):
        return 0, 0, picture.shape[1], picture.shape[2]
    (top, left), (bottom, right) = seen.amin(0).tolist(), seen.amax(0).tolist()
    return top, left, bottom + 1, right + 1


def alone(part: Tensor, side: int) -> Tensor:
    """What a part (3, H, W) over white shows, in the middle of a square (3, side, side), as things are seen alone."""
    if not part.numel() or not bool(((1 - part).abs() > _SEEN).any()):
        return torch.ones(3, side, side)
    top, left, bottom, right = _box(part)
    cut = part[:, top:bottom, left:right]
    longest = max(cut.shape[1:])
    horizontal, vertical = longest - cut.shape[2], longest - cut.shape[1]
    margin = round(_MARGIN * longest) + 1
    around = (
        horizontal // 2 + margin,
        horizontal - horizontal // 2 + margin,
        vertical // 2 + margin,
        vertical - vertical // 2 + margin,
    )
    return F.interpolate(F.pad(cut, around, value=1.0)[None], (side, side), mode="bilinear", antialias=True)[0]


@torch.no_grad()
def logits_of_parts(recogniser: Recogniser, picture: Tensor) -> Tensor:
    """Scores (P, number of nouns) of the whole of a picture (3, H, W) over white, and of all its `halves`."""
    parts = [picture, *(part for cuts in halves(picture) for pair in cuts for part in pair)]
    return recogniser.logits(torch.stack([alone(part, recogniser.side) for part in parts]))


def found_in_parts(recogniser: Recogniser, picture: Tensor, nouns: Sequence[str]) -> tuple[list[int], list[float]]:
    """For each noun, where it is seen best: its rank among all nouns there (0 is first), and its probability."""
    logits = logits_of_parts(recogniser, picture)
    numbers = [recogniser.nouns.index(noun) for noun in nouns]
    probabilities = logits.softmax(1)
    ranks = [int(rank_in(logits, number).min()) for number in numbers]
    return ranks, [float(probabilities[:, number].max()) for number in numbers]
