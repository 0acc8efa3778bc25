"""Pictures for methods that learn from real images, in memory or read when they are wanted."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cli.errors import UserError
from cli.pictures import decoded
from cli.trainings.shelves import ENDINGS, Shelf, open_shelf
from sds.denoiser import NeuralTeacher
from students.guided_teacher import GuidedTeacher
from students.methods.adversarial import FEWEST_REAL_IMAGES
from students.prompts import StoredView
from students.training.real_images import Pictures, RealImages

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")

IN_MEMORY = 256 * 2**20
"""Bytes of pictures that are held in memory, three for each pixel."""

READERS = 4
"""Threads that read pictures."""

VIEWS = "views.csv"
"""For teachers that know views: columns file, azimuth and elevation in degrees, background as six digits."""

LATENT_SCALE = 8
"""Pixels to one latent of the codecs of the field; pictures are kept at the size that fits their teacher's x."""


def load_real_images(
    place: Path, teacher: NeuralTeacher, guidance_scale: float, option: str = "--images"
) -> RealImages:
    """All pictures in ``place``, see `cli.trainings.shelves`, cut to squares.

    Where they fit into `IN_MEMORY` they are read at once, and a damaged one is an error; of more than that, those of
    each batch are read when it is drawn.

    Args:
        place: a folder, or a file that holds pictures.
        teacher: of the student.
        guidance_scale: that the student learns, which conditions of the guided teacher carry.
        option: by which the user named them.

    Raises:
        UserError: if there are too few pictures, one cannot be read, or the views do not fit the pictures.
    """
    shelf = open_shelf(place, option)
    if len(shelf) < FEWEST_REAL_IMAGES:
        raise UserError(
            f"{option} {place}: {len(shelf)} pictures ({', '.join(sorted(ENDINGS))}) are too few to learn from, "
            f"a student needs at least {FEWEST_REAL_IMAGES}"
        )
    channels, side = teacher.shape[0], teacher.shape[-1]
    size = side if channels == 3 else side * LATENT_SCALE
    pictures: Pictures = OnShelf(shelf, size)
    if len(shelf) * 3 * size**2 <= IN_MEMORY:
        pictures = pictures[torch.arange(len(shelf))]
    return RealImages(
        pictures, shelf.captions, GuidedTeacher(teacher, guidance_scale), read_views(place, shelf.paths, teacher)
    )


class OnShelf:
    """Pictures that are read when they are asked for: `students.training.real_images.Pictures`.

    Args:
        shelf: where they lie.
        size: height and width to which they are brought.
    """

    def __init__(self, shelf: Shelf, size: int) -> None:
        self.shelf, self.size = shelf, size

    def __len__(self) -> int:
        return len(self.shelf)

    def __getitem__(self, chosen: Tensor) -> Tensor:
        """Pictures by their numbers, uint8 (chosen, 3, size, size). Raises UserError for one that cannot be read."""
        with ThreadPoolExecutor(READERS) as readers:  # decoders let other threads work meanwhile
            squares = list(readers.map(self._square, chosen.tolist()))
        return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()

    def _square(self, number: int) -> np.ndarray:
        return square(decoded(self.shelf.fetch(number), FORMATS, self.shelf.names[number]), self.size)


def square(picture: Image.Image, size: int) -> np.ndarray:
    """The middle of a picture as uint8 (size, size, 3), over white where it is transparent."""
    picture = picture.convert("RGBA")
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    cut = picture.crop((left, top, left + side, top + side))
    return np.asarray(cut.resize((size, size), Image.Resampling.LANCZOS))


def read_views(folder: Path, paths: Sequence[Path] | None, teacher: NeuralTeacher) -> StoredView | None:
    """The views of the pictures from the folder's views.csv; None if the teacher knows no views."""
    path = folder / VIEWS
    if not teacher.knows_views:
        return None
    if paths is None or not path.is_file():
        raise UserError(
            f"this teacher draws objects from a camera, so {path} must say from where each picture sees its object: "
            "a line for each, with the columns file, azimuth and elevation in degrees, and perhaps background (ff8000)"
        )
    try:
        with path.open(newline="") as file:
            rows = {row["file"]: row for row in csv.DictReader(file)}
        told = [rows[picture.relative_to(folder).as_posix()] for picture in paths]
        angles = torch.tensor([[float(row["azimuth"]), float(row["elevation"])] for row in told]) * (math.pi / 180)
        colours = torch.tensor([list(bytes.fromhex(row.get("background") or "ffffff")) for row in told]) / 255
        return StoredView(angles[:, 0], angles[:, 1], colours.reshape(len(paths), 3))
    except (KeyError, ValueError, TypeError, RuntimeError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path} must have a line for each picture, with the columns file, azimuth and elevation in degrees, and "
            f"perhaps background (like ff8000); problem: {error}"
        ) from None
