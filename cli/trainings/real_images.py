"""A folder of pictures for methods that learn from real images: what they show is read from their names."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cli.errors import UserError
from cli.pictures import read_picture
from sds.denoiser import NeuralTeacher
from students.methods.adversarial import FEWEST_REAL_IMAGES
from students.prompts import StoredView
from students.teachers import GuidedTeacher
from students.training.real_images import RealImages

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")

VIEWS = "views.csv"
"""For teachers that know views: columns file, azimuth and elevation in degrees, background as six digits."""

LATENT_SCALE = 8
"""Pixels to one latent of the codecs of the field; pictures are kept at the size that fits their teacher's x."""


def load_real_images(folder: Path, teacher: NeuralTeacher, guidance_scale: float) -> RealImages:
    """All pictures in ``folder`` and its sub folders, cut to squares.

    Args:
        folder: the name of a sub folder is the caption of all pictures in it; elsewhere the file's own name is,
            without digits at its end.
        teacher: of the student.
        guidance_scale: that the student learns, which conditions of the guided teacher carry.

    Raises:
        UserError: if there are too few pictures, one cannot be read, or the views do not fit the pictures.
    """
    if not folder.is_dir():
        raise UserError(f"--images {folder}: there is no such folder")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    if len(paths) < FEWEST_REAL_IMAGES:
        raise UserError(
            f"--images {folder}: {len(paths)} pictures ({', '.join(sorted(ENDINGS))}) are too few to learn from, "
            f"a student needs at least {FEWEST_REAL_IMAGES}"
        )
    channels, side = teacher.shape[0], teacher.shape[-1]
    size = side if channels == 3 else side * LATENT_SCALE
    pictures = torch.from_numpy(np.stack([read_square(path, size) for path in paths])).permute(0, 3, 1, 2).contiguous()
    captions = [caption_of(path, folder) for path in paths]
    return RealImages(pictures, captions, GuidedTeacher(teacher, guidance_scale), read_views(folder, paths, teacher))


def read_square(path: Path, size: int) -> np.ndarray:
    """The middle of a picture as uint8 (size, size, 3), over white where it is transparent."""
    picture = read_picture(path.resolve(), FORMATS).convert("RGBA")  # a data set may be made of links
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    cut = picture.crop((left, top, left + side, top + side))
    return np.asarray(cut.resize((size, size), Image.Resampling.LANCZOS))


def caption_of(path: Path, folder: Path) -> str:
    """What a picture shows: chair/01.png "chair", a_red_chair_12.png "a red chair". Raises UserError for neither."""
    inside = path.parent != folder
    words = re.sub(r"[\W_]+", " ", path.parent.name if inside else path.stem).strip()
    caption = words if inside else re.sub(r"\s*\d+$", "", words).strip()
    if not caption:
        raise UserError(f"{path}: its name does not say what it shows; put it in a sub folder that does")
    return caption


def read_views(folder: Path, paths: list[Path], teacher: NeuralTeacher) -> StoredView | None:
    """The views of the pictures from the folder's views.csv; None if the teacher knows no views."""
    path = folder / VIEWS
    if not teacher.knows_views:
        return None
    if not path.is_file():
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
