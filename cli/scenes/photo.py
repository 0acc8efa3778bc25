"""A user's picture of one object: cut out, in the middle, on white; and the wish that the object look like it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor

from cli.errors import UserError
from cli.pictures import read_picture
from representations.cameras import DEFAULT_DISTANCE, DEFAULT_FIELD_OF_VIEW, Cameras

FORMATS = ("PNG", "JPEG", "WEBP")

NOT_SHOWN = "--image needs a teacher that draws other views of a picture: --teacher FOLDER with a Zero123 in it"

SIDE = 512
"""Pixels along one side of a picture that was prepared."""

FILLED = 0.8
"""The share of that side which the object takes, as in the pictures that Zero123 is shown."""

EVEN = 0.12
"""By how much the colours at the edge of a picture may differ, if they are to be one background."""

LEAST, MOST = 0.005, 0.98
"""Shares of a picture that an object may fill."""


@dataclass(frozen=True)
class Photo:
    """What is known of an object.

    Attributes:
        image: (3, SIDE, SIDE) in [0, 1], on white.
        mask: (1, SIDE, SIDE) in [0, 1], where the object is.
    """

    image: Tensor
    mask: Tensor


def read_photo(path: Path, mask: Path | None = None) -> Photo:
    """The object in a picture: by a mask, or else by its transparency, or else before a background of one colour.

    Raises UserError if the picture cannot be read, or what belongs to the object cannot be told.
    """
    picture = read_picture(path, FORMATS)
    colours = as_shares(picture.convert("RGBA"))
    if mask is not None:
        given = read_picture(mask, FORMATS).convert("L").resize(picture.size, Image.Resampling.BILINEAR)
        share = as_shares(given)
    elif colours[..., 3].min() < 0.5:
        share = colours[..., 3]
    else:
        share = before_one_colour(colours[..., :3], path)
    found = np.argwhere(share > 0.5)
    if not LEAST < len(found) / share.size < MOST:
        raise UserError(f"{path}: the object fills {len(found) / share.size:.1%} of the picture; {ADVICE}")
    return in_the_middle(colours[..., :3], share, found)


def as_shares(picture: Image.Image) -> NDArray[np.float32]:
    """Its values in [0, 1]."""
    return (np.asarray(picture) / 255).astype(np.float32)


ADVICE = "give a PNG that is transparent around the object, or --image-mask FILE, white where it is"


def before_one_colour(colours: NDArray[np.float32], path: Path) -> NDArray[np.float32]:
    """1 for the object and 0 for what is joined to the edge and of its colour, shape (height, width).

    Raises UserError if the edge is of several colours.
    """
    edge = np.concatenate([colours[0], colours[-1], colours[:, 0], colours[:, -1]])
    usual = np.median(edge, axis=0)
    spread = float(np.quantile(np.abs(edge - usual).max(axis=1), 0.95))
    if spread > EVEN:
        raise UserError(f"{path}: the background is not of one colour, so the object cannot be told from it; {ADVICE}")
    parts, _ = ndimage.label(np.abs(colours - usual).max(axis=2) < max(EVEN / 2, 1.5 * spread))
    at_edge = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    return 1 - np.isin(parts, at_edge[at_edge > 0]).astype(np.float32)


def in_the_middle(colours: NDArray[np.float32], share: NDArray[np.float32], found: NDArray[np.int64]) -> Photo:
    """The object at `FILLED` of a square; ``found`` are the rows and columns of its pixels."""
    (top, left), (bottom, right) = found.min(axis=0), found.max(axis=0) + 1
    cut = np.concatenate([colours * share[..., None], share[..., None]], axis=2)[top:bottom, left:right]
    scale = FILLED * SIDE / max(cut.shape[:2])
    size = tuple(max(1, round(scale * length)) for length in cut.shape[:2])
    small = F.interpolate(torch.from_numpy(cut).permute(2, 0, 1)[None], size, mode="bilinear", antialias=True)[0]
    above, before = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    whole = F.pad(small, (before, SIDE - size[1] - before, above, SIDE - size[0] - above)).clamp(0, 1)
    return Photo(whole[:3] + 1 - whole[3:], whole[3:])


COLOUR_WEIGHT, MASK_WEIGHT = 5000.0, 500.0
"""Of the mean squared differences, beside a score of weight 1: threestudio's ratios for Stable Zero123."""


class LikeThePhoto:
    """A `sds.engine.Term`: from where the picture was taken, the object shall look like it.

    Args:
        generator: from cameras to a `Rendering`.
        photo: what it shall look like.
        elevation: of the camera that took it, radians; its azimuth is 0, the front.
        size: pixels along one side at which they are compared.
        device: of the generator.
    """

    def __init__(self, generator: Any, photo: Photo, elevation: float, size: int, device: torch.device) -> None:
        self.generator, self.size, self.device, self.elevation = generator, size, device, elevation
        cut = (photo.image + photo.mask - 1)[None]  # colours times mask
        self.cut, self.mask = (
            F.interpolate(value, (size, size), mode="bilinear", antialias=True).to(device)
            for value in (cut, photo.mask[None])
        )

    def __call__(self, draw: Any, x: Tensor, progress: float, rng: torch.Generator) -> Tensor:
        """The weighted squared differences, before a gray that is drawn anew."""
        del draw, x, progress
        gray = torch.rand(1, generator=rng).expand(1, 3)
        camera = Cameras(
            azimuth=torch.zeros(1),
            elevation=torch.tensor([self.elevation]),
            distance=torch.tensor([DEFAULT_DISTANCE]),
            field_of_view=torch.tensor([DEFAULT_FIELD_OF_VIEW]),
            background=gray,
            size=self.size,
        ).to(self.device)
        seen = self.generator(camera)
        wanted = self.cut + (1 - self.mask) * gray.to(self.device)[..., None, None]
        colour, mask = F.mse_loss(seen.image, wanted), F.mse_loss(seen.opacity, self.mask)
        return COLOUR_WEIGHT * colour + MASK_WEIGHT * mask

    def state_dict(self) -> dict[str, Any]:
        """Nothing changes."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to continue from."""
