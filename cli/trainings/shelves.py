"""Where real pictures lie, with what each shows: folders, webdataset shards (.tar), parquet files.

A shelf knows all captions and how to fetch any picture, one at a time: nothing but the captions is held in memory, and
since any picture can be fetched at any time, a run that resumes sees the pictures that it would have seen.
"""

from __future__ import annotations

import csv
import json
import os
import re
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cli.errors import UserError
from cli.files import LARGEST_TEXT, read_ordinary
from cli.pictures import LARGEST_PICTURE

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
LONGEST_CAPTION = 100_000
"""Bytes of a text beside a picture."""

METADATA = ("metadata.jsonl", "metadata.csv")
"""In a folder, as Hugging Face's image folders have it: a line for each picture, ``file_name`` and a caption."""

CAPTIONS = ("caption", "text", "prompt", "label_name", "label")
"""What a caption is called in metadata, in the JSON beside a picture, and in a table: the first that is there."""


@dataclass(frozen=True)
class Shelf:
    """Pictures somewhere.

    Attributes:
        names: of each, for messages.
        captions: of each.
        fetch: number -> the content of the picture's file. Raises UserError if it is not there any more.
        paths: of pictures in a folder, by which views are found; else None.
    """

    names: Sequence[str]
    captions: Sequence[str]
    fetch: Callable[[int], bytes]
    paths: Sequence[Path] | None = None

    def __len__(self) -> int:
        return len(self.names)


def open_shelf(place: Path, option: str = "--images") -> Shelf:
    """All pictures in a folder, in its shards, or in its parquet files; or in one such file.

    Raises UserError, which speaks of ``option``, if there are none, or one has no caption.
    """
    if not place.exists():
        raise UserError(f"{option} {place}: there is no such folder")
    inside = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
    for ending, shelf in ((".tar", of_shards), (".parquet", of_tables)):
        files = [path for path in inside if path.suffix.lower() == ending]
        if files:
            return shelf(files)
    if not place.is_dir():
        raise UserError(f"{option} {place}: give a folder of pictures, a .tar of webdataset, or a .parquet file")
    return of_folder(place, [path for path in inside if path.suffix.lower() in ENDINGS])


def of_folder(folder: Path, paths: list[Path]) -> Shelf:
    """Pictures in a folder. Their captions: in the folder's metadata, in a .txt beside each, or in their names."""
    told = metadata_of(folder)

    def caption(path: Path) -> str:
        known = told.get(path.relative_to(folder).as_posix())
        beside = path.with_suffix(".txt")
        if known is None and beside.is_file():
            known = read_ordinary(beside.resolve(), LONGEST_CAPTION).decode("utf-8", "replace")
        return plain(known) if known and plain(known) else caption_of(path, folder)

    # a data set may be made of links
    return Shelf(
        [str(path) for path in paths],
        [caption(path) for path in paths],
        lambda number: read_ordinary(paths[number].resolve(), LARGEST_PICTURE),
        paths,
    )


def metadata_of(folder: Path) -> dict[str, str]:
    """Captions by the names of pictures, from the folder's metadata; empty if there is none."""
    path = next((folder / name for name in METADATA if (folder / name).is_file()), None)
    if path is None:
        return {}
    lines = read_ordinary(path, 64 * LARGEST_TEXT).decode("utf-8", "replace").splitlines()
    try:
        rows = csv.DictReader(lines) if path.suffix == ".csv" else [json.loads(line) for line in lines if line.strip()]
        return {row["file_name"]: text for row in rows if (text := caption_in(row)) is not None}
    except (KeyError, TypeError, ValueError, RecursionError, csv.Error) as error:
        raise UserError(
            f"{path} must say file_name and one of {', '.join(CAPTIONS)} for each picture; problem: {error}"
        ) from None


def caption_of(path: Path, folder: Path) -> str:
    """What a picture shows: chair/01.png "chair", a_red_chair_12.png "a red chair". Raises UserError for neither."""
    inside = path.parent != folder
    words = re.sub(r"[\W_]+", " ", path.parent.name if inside else path.stem).strip()
    caption = words if inside else re.sub(r"\s*\d+$", "", words).strip()
    if not caption:
        raise UserError(f"{path}: its name does not say what it shows; put it in a sub folder that does")
    return caption


def caption_in(row: Any) -> str | None:
    """The caption of a row of metadata; None if it has none."""
    value = next((row[name] for name in CAPTIONS if name in row), None)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def plain(text: str) -> str:
    """A caption in one line."""
    return " ".join(text.split())


@dataclass(frozen=True)
class Place:
    """Where a file's content lies inside a shard.

    Attributes:
        shard: its number.
        offset: of the first byte.
        size: in bytes.
    """

    shard: int
    offset: int
    size: int


def of_shards(shards: list[Path]) -> Shelf:
    """Pictures in tar archives as webdataset has them: files of one name up to the first dot belong together.

    A caption is the .txt, .caption or .json (by one of `CAPTIONS`) beside the picture, or its .cls, a number. The
    archives are read once for what is where, and then a picture at a time; nothing is unpacked.
    """
    names, captions, places = [], [], []
    for number, shard in enumerate(shards):
        for key, parts in parts_of(shard, number).items():
            picture = next((part for ending, part in parts.items() if f".{ending}" in ENDINGS), None)
            if picture is None:
                continue
            names.append(f"{shard}: {key}")
            captions.append(caption_beside(shard, key, parts))
            places.append(picture)
    return Shelf(names, captions, lambda i: content_at(shards[places[i].shard], places[i], LARGEST_PICTURE))


def parts_of(shard: Path, number: int) -> dict[str, dict[str, Place]]:
    """Where the files of a tar archive are, by key and ending. Raises UserError if it cannot be read."""
    found: dict[str, dict[str, Place]] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                key, _, ending = name.name.partition(".")
                if member.isreg() and not member.issparse() and ending:
                    place = Place(number, member.offset_data, member.size)
                    found.setdefault((name.parent / key).as_posix(), {})[ending.lower()] = place
    except (tarfile.TarError, OSError, ValueError) as error:
        raise UserError(f"{shard} is no tar archive that can be read (compressed ones cannot): {error}") from None
    return found


def caption_beside(shard: Path, key: str, parts: dict[str, Place]) -> str:
    """What the files beside a picture say. Raises UserError if none says anything."""
    for ending in ("txt", "caption", "json", "cls"):
        if ending not in parts:
            continue
        text: str | None = content_at(shard, parts[ending], LONGEST_CAPTION).decode("utf-8", "replace")
        if ending == "json":
            try:
                text = caption_in(json.loads(text or ""))
            except (ValueError, TypeError, RecursionError):
                text = None
        if text and plain(text):
            return plain(text)
    raise UserError(
        f"{shard}: {key} has no caption beside it (.txt, .caption, .json with {' or '.join(CAPTIONS)}, .cls)"
    )


def content_at(path: Path, place: Place, most: int) -> bytes:
    """A part of a file. Raises UserError if it is too large, or the file has become shorter."""
    if place.size > most:
        raise UserError(f"{path} holds a file of {place.size} bytes, which is too large")
    with path.open("rb") as file:
        content = os.pread(file.fileno(), place.size, place.offset)
    if len(content) < place.size:
        raise UserError(f"{path} ends before what it holds does")
    return content


def of_tables(tables: list[Path]) -> Shelf:
    """Pictures in parquet files as Hugging Face's data sets have them: a column of pictures and one of `CAPTIONS`.

    They are brought once into the memory-mapped files of the `datasets` library, in its own cache.
    Raises UserError if that library is missing, or the columns are.
    """
    try:
        import datasets
    except ImportError:
        raise UserError('parquet files need the datasets library: pip install "scoresmith[data]"') from None
    datasets.disable_progress_bars()
    try:
        rows = datasets.Dataset.from_parquet([str(path) for path in tables])
    except Exception as error:  # pyarrow's and datasets' errors have nothing in common
        raise UserError(
            f"{tables[0]}: not parquet files that can be read: {' '.join(str(error).split())[:200]}"
        ) from None
    pictures = next((name for name, kind in rows.features.items() if is_picture(kind)), None)
    told = next((name for name in CAPTIONS if name in rows.features), None)
    if pictures is None or told is None:
        raise UserError(
            f"{tables[0]} must have a column of pictures and one of {', '.join(CAPTIONS)}; it has "
            f"{', '.join(rows.features)}"
        )
    kind = rows.features[told]
    numbers = isinstance(kind, datasets.ClassLabel)
    captions = [kind.int2str(value) if numbers else plain(str(value)) for value in rows[told]]
    files = rows.cast_column(pictures, datasets.Image(decode=False))

    def fetch(number: int) -> bytes:
        content = files[number][pictures]["bytes"]  # a path in its place would lead anywhere
        if not content:
            raise UserError(f"{tables[0]}: row {number} holds no picture, only the name of one")
        return content

    return Shelf([f"{tables[0]}: row {i}" for i in range(len(rows))], captions, fetch)


def is_picture(kind: Any) -> bool:
    """Whether a column of a table holds pictures: said to be, or as bytes beside a path."""
    return type(kind).__name__ == "Image" or (isinstance(kind, dict) and "bytes" in kind)
