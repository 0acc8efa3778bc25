"""Renders curated models into the data set of a shape prior: views in layers without light, and fields at points.

A folder: ``objects/*.npz``, one a model, and ``objects.json``. Models that are there already are not made again, so the
command can be interrupted, and repeated when models have been added. The last `HELD_OUT_VIEWS` views of an object are
for measuring only.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from catalogue import read_catalogues, read_mesh_folder
from curation import CuratedObject, Noun, curate, name_by_file, read_nouns
from field_samples import sample_field
from meshes import load_mesh
from render import CAMERA_DISTANCE, sample_views
from render_looks import LookRenderer
from tqdm import tqdm

HELD_OUT_VIEWS = 12
FIELD_POINTS = 65536
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Extent:
    """How much is made of each object: training views of `size` pixels, and cameras that look for its field."""

    size: int
    views: int
    cameras: int


@dataclass(frozen=True)
class RenderJob:
    """One object to render; its randomness depends on nothing but its key."""

    item: CuratedObject
    extent: Extent
    file: Path


def render_object(job: RenderJob) -> None:
    """Writes an object's ``layers`` (views, channels, size, size), ``cameras``, ``points`` and ``values``."""
    if job.file.exists():
        return
    generator = np.random.default_rng(zlib.crc32(job.item.entry.key.encode()))
    renderer = LookRenderer(load_mesh(job.item.entry), job.extent.size)
    drawn = sample_views(job.extent.views, generator) + sample_views(HELD_OUT_VIEWS, generator)
    views = [replace(view, distance=CAMERA_DISTANCE) for view in drawn]
    layers = np.stack([renderer.render(view) for view in views])
    cameras = np.array([(view.azimuth, view.elevation) for view in views], np.float32)
    points, values = sample_field(renderer, FIELD_POINTS, generator, job.extent.cameras)
    partial = job.file.with_suffix(".partial.npz")
    np.savez(partial, layers=layers, cameras=cameras, points=points, values=values)
    os.replace(partial, job.file)


def object_file(folder: Path, key: str) -> Path:
    """Where an object is kept."""
    return folder / "objects" / f"{re.sub('[^A-Za-z0-9_-]+', '_', key)}.npz"


def build(objects: list[CuratedObject], nouns: list[Noun], out: Path, extent: Extent, workers: int) -> None:
    """Renders every object; ``objects.json`` comes last: if it is there, all is there."""
    (out / "objects").mkdir(parents=True, exist_ok=True)
    jobs = [RenderJob(item, extent, object_file(out, item.entry.key)) for item in objects]
    if workers == 1:
        for job in tqdm(jobs, unit="object", mininterval=5):
            render_object(job)
    else:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            for _ in tqdm(pool.imap_unordered(render_object, jobs), total=len(jobs), unit="object", mininterval=5):
                pass
    described = {
        "objects": [
            {
                "key": item.entry.key,
                "noun": item.noun,
                "fine_name": item.fine_name,
                "library": item.entry.library,
                "creator": item.entry.creator,
                "size_m": [side / 100 for side in item.entry.size] if item.entry.size else None,
            }
            for item in objects
        ],
        "nouns": [asdict(noun) | {"repaint": noun.repaint.value} for noun in nouns],
    }
    partial = out / "objects.partial"
    partial.write_text(json.dumps(described, indent=1), encoding="utf-8")
    os.replace(partial, out / "objects.json")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--catalogues", type=Path, help="folder of Sweet Home 3D libraries (*.sh3f)")
    source.add_argument("--meshes", type=Path, help="folder of meshes; their file names are what they are called")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=64, help="side of a view in pixels")
    parser.add_argument("--views", type=int, default=60, help="training views an object")
    parser.add_argument("--cameras", type=int, default=72, help="cameras all around that find out what is outside")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.catalogues:
        entries = read_catalogues(arguments.catalogues, arguments.out / "models")
        objects, nouns = curate(entries, _HERE / "curation.csv"), read_nouns(_HERE / "nouns.csv")
    else:
        objects, nouns = name_by_file(read_mesh_folder(arguments.meshes))
    extent = Extent(arguments.size, arguments.views, arguments.cameras)
    build(objects, nouns, arguments.out, extent, arguments.workers)


if __name__ == "__main__":
    main()
