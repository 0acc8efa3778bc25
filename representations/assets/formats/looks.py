"""What readers of several formats share: a material, and where its maps find their texture coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from representations.assets.asset import MAPS, Image, MapName, Material, Sampling
from representations.geometry.mesh import Floats

Affine = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Place:
    """Which texture coordinates a map has, and how they are moved first.

    Attributes:
        texcoord: the number of the file's set.
        transform: (2, 3) rows of an affine map, in the file's own axes.
    """

    texcoord: int = 0
    transform: Affine = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))

    def moved(self, uv: Floats) -> Floats:
        """(N, 2) coordinates, moved."""
        if self.transform == Place.transform:
            return uv
        matrix = np.array(self.transform)
        return uv @ matrix[:, :2].T + matrix[:, 2]


@dataclass(frozen=True)
class Look:
    """A material, and what its sets of texture coordinates are.

    Attributes:
        material: whose samplings count the places.
        places: of the sets 0, 1, ...
    """

    material: Material
    places: tuple[Place, ...] = (Place(),)

    def only(self, there: set[Place]) -> Look:
        """The look without the maps whose texture coordinates are not there."""
        if there.issuperset(self.places):
            return self
        kept = [place for place in self.places if place in there]
        samplings: dict[MapName, Sampling] = {}
        lost: dict[str, Any] = {}
        for name in self.material.maps:
            sampling = self.material.sampling(name)
            place = self.places[sampling.uv_set]
            if place in there:
                samplings[name] = replace(sampling, uv_set=kept.index(place))
            else:
                lost[name] = None
        return Look(replace(self.material, samplings=samplings, **lost), tuple(kept))


@dataclass(frozen=True)
class MapUse:
    """An image as a material uses it."""

    image: Image
    sampling: Sampling
    place: Place


def look_of(material: Material, maps: Mapping[MapName, MapUse]) -> Look:
    """A material with its maps; those at the same place share their texture coordinates."""
    order = [name for name in MAPS if name in maps]
    places = list(dict.fromkeys(maps[name].place for name in order))
    samplings = {name: replace(maps[name].sampling, uv_set=places.index(maps[name].place)) for name in order}
    with_opacity = ("base_colour",) if material.alpha_mode != "opaque" else ()
    images: dict[str, Any] = {
        name: maps[name].image if name in with_opacity else _opaque(maps[name].image) for name in order
    }
    return Look(replace(material, samplings=samplings, **images), tuple(places) or (Place(),))


def _opaque(image: Image) -> Image:
    """The image without its opacity; itself if it has none, so that it is known as the same."""
    return image if image.shape[2] == 3 else np.ascontiguousarray(image[:, :, :3])
