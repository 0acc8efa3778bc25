"""Pictures of a run: a sheet of views, and a turntable."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from cli.errors import UserError
from cli.files import read_ordinary
from sds.checkpoint import written_whole

MARGIN = 4
"""Pixels of white between the pictures of a sheet."""


def write_sheet(path: Path, rows: list[Tensor], size: int = 160) -> None:
    """Write a PNG of rows of pictures.

    Args:
        path: of the PNG.
        rows: each (count, 3, height, width) in [0, 1]; every picture is scaled to ``size`` pixels.
        size: height and width of each picture on the sheet.
    """
    with written_whole(path) as temporary:
        imageio.imwrite(temporary, to_bytes(sheet(rows, size)))


def sheet(rows: list[Tensor], size: int) -> Tensor:
    """Rows of pictures as one picture (3, height, width) on white."""
    cell = size + 2 * MARGIN
    canvas = torch.ones(3, len(rows) * cell, max(len(row) for row in rows) * cell)
    for y, row in enumerate(rows):
        scaled = F.interpolate(row.float().cpu(), size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)
        for x, picture in enumerate(scaled):
            top, left = y * cell + MARGIN, x * cell + MARGIN
            canvas[:, top : top + size, left : left + size] = picture
    return canvas


def pictures_of_sheet(path: Path, rows: int) -> list[list[bytes]]:
    """The pictures that `write_sheet` has put together, row by row, as PNG files.

    Args:
        path: of the sheet.
        rows: that it has. Its cells are squares, so this says how many are in a row.
    """
    whole = np.asarray(read_picture(path, ("PNG",)).convert("RGB"))
    cell = whole.shape[0] // rows
    if cell <= 2 * MARGIN or whole.shape[1] < cell:
        raise UserError(f"{path} is no sheet of {rows} rows of pictures")
    return [
        [
            imageio.imwrite("<bytes>", cut(whole, row * cell, column * cell, cell), extension=".png")
            for column in range(whole.shape[1] // cell)
        ]
        for row in range(rows)
    ]


LARGEST_PICTURE, MOST_PIXELS = 64 * 2**20, 64 * 10**6
"""Bytes of a picture's file, and pixels in it; more would take memory out of proportion."""


def read_picture(path: Path, formats: Sequence[str]) -> Image.Image:
    """A picture in one of the formats that are expected; no other decoder is tried, whatever the file's name.

    Pillow would hand an EPS file to Ghostscript, for instance.

    Raises:
        FileNotFoundError: if there is none.
        UserError: if it is a link, no ordinary file, of another format, damaged or too large.
    """
    return decoded(read_ordinary(path, LARGEST_PICTURE), formats, str(path))


def decoded(content: bytes, formats: Sequence[str], name: str) -> Image.Image:
    """The picture that a file's content is, see `read_picture`. Raises UserError, which calls the picture ``name``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(content), formats=formats)
            if picture.width * picture.height > MOST_PIXELS:
                raise UserError(f"{name} has {picture.width} x {picture.height} pixels; that is too many")
            picture.load()
    except UserError:
        raise
    except UnidentifiedImageError:
        raise UserError(f"{name} is no picture ({', '.join(formats)})") from None
    except Exception as error:  # decoders of damaged files fail in ways of their own
        raise UserError(f"{name} is no picture ({', '.join(formats)}) that can be read: {error}") from None
    return picture


def animation(path: Path) -> bytes:
    """The bytes of a GIF that is small enough to be written into a page. Raises UserError if it is something else."""
    content = read_ordinary(path, LARGEST_PICTURE)
    if not content.startswith((b"GIF87a", b"GIF89a")):
        raise UserError(f"{path} is no GIF")
    return content


def cut(sheet: np.ndarray, top: int, left: int, cell: int) -> np.ndarray:
    """The picture of the cell at a corner, without its margin."""
    return sheet[top + MARGIN : top + cell - MARGIN, left + MARGIN : left + cell - MARGIN]


def write_turntable(path_of: Callable[[str], Path], frames: Tensor, frames_per_second: int = 24) -> list[Path]:
    """Write frames (count, 3, height, width) in [0, 1] as an MP4 and a looping GIF; returns their paths.

    ``path_of`` maps a suffix to the path to write.
    """
    pictures = np.stack([to_bytes(frame) for frame in frames])
    video, animation = path_of(".mp4"), path_of(".gif")
    with written_whole(video) as temporary:
        # yuv420p and a quality that shows no blocks: what every player and browser can open
        imageio.imwrite(
            temporary, pictures, fps=frames_per_second, codec="libx264", quality=8, macro_block_size=2, plugin="FFMPEG"
        )
    with written_whole(animation) as temporary:
        imageio.imwrite(temporary, pictures[::2], duration=2000 / frames_per_second, loop=0)
    return [video, animation]


def to_bytes(picture: Tensor) -> np.ndarray:
    """(3, height, width) in [0, 1] as (height, width, 3) bytes."""
    return (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
