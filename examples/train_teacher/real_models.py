"""The real models of a noun, as cameras see them: what generated shapes are compared with."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from catalogue import read_catalogues
from curation import CuratedObject, curate
from meshes import load_mesh
from render import FIELD_OF_VIEW, ViewAngles
from render_looks import LookRenderer

from representations.cameras import Cameras
from representations.likeness import SeenShape

_HERE = Path(__file__).parent


class RealModels:
    """The models that the embedded teacher was trained on, by their nouns.

    Args:
        catalogues: a folder of Sweet Home 3D catalogues.
        extracted: where models are unpacked to, once.
        table: what each is called.

    Raises:
        FileNotFoundError: if there is no catalogue.
    """

    def __init__(self, catalogues: Path, extracted: Path, table: Path = _HERE / "curation.csv") -> None:
        self._objects: list[CuratedObject] = curate(read_catalogues(catalogues, extracted), table)
        self._loaded: dict[str, list[LookRenderer]] = {}

    def seen(self, noun: str, cameras: Cameras) -> list[SeenShape]:
        """Every model of a noun; none if there is none. They stand as the teacher learned them, see `meshes`."""
        if noun not in self._loaded:
            own = [item for item in self._objects if item.noun == noun]
            self._loaded[noun] = [LookRenderer(load_mesh(item.entry)) for item in own]
        return [seen_by(renderer, cameras) for renderer in self._loaded[noun]]


def seen_by(renderer: LookRenderer, cameras: Cameras) -> SeenShape:
    """The model of a renderer, as cameras see it.

    Raises:
        ValueError: if the cameras' field of view is another than the one that models are rendered with.
    """
    if not bool((cameras.field_of_view - FIELD_OF_VIEW).abs().max() < 1e-5):
        raise ValueError(f"models are rendered through {math.degrees(FIELD_OF_VIEW):g} degrees")
    masks, normals = [], []
    for azimuth, elevation, distance in zip(
        cameras.azimuth.tolist(), cameras.elevation.tolist(), cameras.distance.tolist(), strict=True
    ):
        seen = renderer.see(ViewAngles(azimuth, elevation, distance), cameras.size)
        picture = np.zeros((*seen.mask.shape, 3), np.float32)
        picture[seen.mask] = seen.normal
        masks.append(seen.mask)
        normals.append(picture)
    return SeenShape(np.stack(masks), np.stack(normals))
