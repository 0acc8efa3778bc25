"""Renders curated models into a data set of layered views.

A folder: ``views.npy`` (objects, views, 8, size, size) uint8, ``cameras.npy`` (objects, views, 2)
azimuth and elevation in radians, ``objects.json``. The last `HELD_OUT_VIEWS` views of an object are for measuring only.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from catalogue import read_catalogues, read_mesh_folder
from curation import CuratedObject, Noun, Repaint, curate, name_by_file, read_nouns
from meshes import load_mesh
from numpy.typing import NDArray
from render import CHANNELS, LayeredRenderer, sample_views
from tqdm import tqdm

HELD_OUT_VIEWS = 16
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class RenderJob:
    """One object to render, with its own seed so that the order of work does not matter."""

    item: CuratedObject
    size: int
    views: int
    seed: int


def render_object(job: RenderJob) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Returns the layered views (views, 8, size, size) and the cameras (views, 2) of one object."""
    generator = np.random.default_rng(job.seed)
    renderer = LayeredRenderer(load_mesh(job.item.entry), job.size)
    views = sample_views(job.views, generator) + sample_views(HELD_OUT_VIEWS, generator)
    layers = np.stack([renderer.render(view) for view in views])
    return layers, np.array([(view.azimuth, view.elevation) for view in views], np.float32)


def build(objects: list[CuratedObject], nouns: list[Noun], out: Path, size: int, views: int, workers: int) -> None:
    """Renders every object and writes the data set; ``objects.json`` comes last: if it is there, all is there."""
    out.mkdir(parents=True, exist_ok=True)
    total = views + HELD_OUT_VIEWS
    layers = np.lib.format.open_memmap(
        out / "views.npy", mode="w+", dtype=np.uint8, shape=(len(objects), total, CHANNELS, size, size)
    )
    cameras = np.zeros((len(objects), total, 2), np.float32)
    jobs = [RenderJob(item, size, views, seed) for seed, item in enumerate(objects)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for i, (rendered, angles) in enumerate(tqdm(pool.imap(render_object, jobs), total=len(jobs), unit="object")):
            layers[i], cameras[i] = rendered, angles
    layers.flush()
    np.save(out / "cameras.npy", cameras)
    described = {
        "objects": [
            {
                "key": item.entry.key,
                "noun": item.noun,
                "fine_name": item.fine_name,
                "library": item.entry.library,
                "creator": item.entry.creator,
                "longest_side_m": max(item.entry.size) / 100 if item.entry.size else None,
            }
            for item in objects
        ],
        "nouns": [asdict(noun) | {"repaint": noun.repaint.value} for noun in nouns],
    }
    (out / "objects.json").write_text(json.dumps(described, indent=1), encoding="utf-8")


def nouns_of(described: dict[str, list[dict[str, object]]]) -> list[Noun]:
    """The nouns of a data set's ``objects.json``."""
    return [
        Noun(str(noun["name"]), tuple(map(str, noun["synonyms"])), Repaint(noun["repaint"]))  # type: ignore[call-overload]
        for noun in described["nouns"]
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--catalogues", type=Path, help="folder of Sweet Home 3D libraries (*.sh3f)")
    source.add_argument("--meshes", type=Path, help="folder of meshes; their file names are what they are called")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=64, help="side of a view in pixels")
    parser.add_argument("--views", type=int, default=96, help="training views an object")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.catalogues:
        entries = read_catalogues(arguments.catalogues, arguments.out / "models")
        objects, nouns = curate(entries, _HERE / "curation.csv"), read_nouns(_HERE / "nouns.csv")
    else:
        objects, nouns = name_by_file(read_mesh_folder(arguments.meshes))
    build(objects, nouns, arguments.out, arguments.size, arguments.views, arguments.workers)


if __name__ == "__main__":
    main()
