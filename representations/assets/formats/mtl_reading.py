"""Reading the materials of Wavefront OBJ, as other programs write and read them."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from representations.assets.asset import Image, MapName, Material
from representations.assets.colour_space import srgb_to_linear
from representations.assets.formats.looks import Look, MapUse, look_of
from representations.assets.formats.mtl_maps import MapLine, map_line, quoted_words, ramped, sampling_of
from representations.assets.formats.obj_text import ObjError, lines_of, number
from representations.assets.textures import ImageError, Images, ImageSizeError

Resolve = Callable[[str], bytes]

MOST_MATERIALS = 10_000
"""More are refused: each takes a part of its own."""

_MAPS = {
    "map_kd": "base_colour",
    "map_ke": "emission",
    "norm": "normal",
    "map_kn": "normal",
    "bump": "bump",
    "map_bump": "bump",
    "map_d": "opacity",
    "map_tr": "opacity",
    "map_opacity": "opacity",
    "map_pr": "roughness",
    "map_pm": "metallic",
}
_NOT_KEPT = {
    "map_ks": "specular maps",
    "map_ns": "shininess maps",
    "disp": "displacement maps",
    "decal": "decals",
    "refl": "reflection maps",
}
_USUAL_ROUGHNESS = 0.9


@dataclass
class Library:
    """Reads .mtl files; what is missing is said, and does without.

    Attributes:
        resolve: reads files by their names. Raises FileNotFoundError for what is not there.
        notes: what was missing or is not kept, in words.
    """

    resolve: Resolve
    images: Images = field(default_factory=Images)
    notes: list[str] = field(default_factory=list)
    looks: dict[str, Look] = field(default_factory=dict)

    def read(self, name: str) -> None:
        """Adds the materials of a library. `name` may be several names, with or without quotes."""
        for one in self._names(name):
            try:
                content = self.resolve(one)
            except FileNotFoundError as error:
                self.note(f"materials are missing: {error}")
                continue
            self._add(content, posixpath.dirname(one.replace("\\", "/")))

    def _names(self, name: str) -> list[str]:
        """The files that a statement names: one whose name has blanks, if it is there, else several."""
        whole = name.strip().strip('"')
        if len(whole.split()) < 2:
            return [whole]
        try:
            self.resolve(whole)
        except FileNotFoundError:
            return quoted_words(name)
        return [whole]

    def note(self, text: str) -> None:
        """Say something once."""
        if text not in self.notes:
            self.notes.append(text)

    def _add(self, content: bytes, folder: str) -> None:
        found: dict[str, dict[str, str]] = {}
        entry: dict[str, str] = {}
        for keyword, rest in lines_of(content):
            keyword = keyword.lower()
            if keyword == "newmtl":
                entry = found.setdefault(rest, {})
                if len(found) + len(self.looks) > MOST_MATERIALS:
                    raise ObjError(f"it has more than {MOST_MATERIALS:,} materials")
            else:
                entry[keyword] = rest
        for name, entry in found.items():
            self.looks[name] = _Entry(self, folder, name, entry).look()

    def image(self, name: str, folder: str) -> Image | None:
        """An image that is named in a library in `folder`; None with a note if there is none."""
        tried = [posixpath.join(folder, name), name] if folder else [name]
        for place in tried:
            try:
                return self.images.decoded(self.resolve(place))
            except FileNotFoundError as error:
                missing = error
            except ImageSizeError:
                raise
            except ImageError as error:
                self.note(f"the texture '{name[:60]}' was left out: {error}")
                return None
        self.note(f"a texture was left out: {missing}")
        return None


@dataclass
class _Entry:
    """One material while it is read."""

    library: Library
    folder: str
    name: str
    entry: dict[str, str]

    def look(self) -> Look:
        lines = {kind: map_line(self.entry[key]) for key, kind in _MAPS.items() if self.entry.get(key)}
        for key, what in _NOT_KEPT.items():
            if key in self.entry:
                self.library.note(f"{what} are not kept")
        maps: dict[MapName, MapUse] = {}
        for name in ("base_colour", "emission", "normal"):
            self._add(maps, name, lines.get(name))
        self._add_bump(maps, lines.get("bump"))
        opacity = self._opacity()
        transparent = opacity < 1 or self._add_opacity(maps, lines)
        colour = self._colour("kd", (1.0, 1.0, 1.0) if "kd" not in self.entry and maps else None)
        if "base_colour" in maps and colour == (0.0, 0.0, 0.0):
            self.library.note(f"the material '{self.name[:40]}' is black beside its texture: taken for white")
            colour = (1.0, 1.0, 1.0)
        emission = self._colour("ke", (1.0, 1.0, 1.0) if "emission" in maps else (0.0, 0.0, 0.0))
        if "emission" in maps and emission == (0.0, 0.0, 0.0):
            emission = (1.0, 1.0, 1.0)
        material = Material(
            roughness=self._share("pr", self._from_shininess()),
            metallic=self._share("pm", 0.0),
            base_factor=(*_linear(colour), opacity),
            emission_factor=_linear(emission),
            normal_scale=lines["normal" if "normal" in lines else "bump"].strength if "normal" in maps else 1.0,
            alpha_mode="blend" if transparent else "opaque",
            name=self.name[:200],
        )
        return look_of(self._add_surface(maps, lines, material), maps)

    def _add(self, maps: dict[MapName, MapUse], name: MapName, line: MapLine | None) -> None:
        image = self.library.image(line.name, self.folder) if line is not None else None
        if line is not None and image is not None:
            maps[name] = MapUse(ramped(image, line), sampling_of(line), line.place)

    def _add_bump(self, maps: dict[MapName, MapUse], line: MapLine | None) -> None:
        """Heights are not kept; many programs write normals under the same keyword, which are told by their blue."""
        image = self.library.image(line.name, self.folder) if line is not None and "normal" not in maps else None
        if line is None or image is None:
            return
        red, green, blue = image[::4, ::4, :3].reshape(-1, 3).mean(axis=0) if image.size else (0, 0, 0)
        if blue > 180 and abs(red - 128) < 40 and abs(green - 128) < 40:
            maps["normal"] = MapUse(image, sampling_of(line), line.place)
        else:
            self.library.note("bump maps that hold heights are not kept")

    def _opacity(self) -> float:
        if "d" in self.entry:
            words = [word for word in self.entry["d"].split() if word != "-halo"]
            return _share(words[0] if words else "1", "d")
        return 1 - _share(self.entry["tr"].split()[0], "Tr") if self.entry.get("tr") else 1.0

    def _add_opacity(self, maps: dict[MapName, MapUse], lines: dict[str, MapLine]) -> bool:
        """Puts an opacity map into the base colour's fourth channel; whether something in it is transparent."""
        line, base = lines.get("opacity"), maps.get("base_colour")
        image = self.library.image(line.name, self.folder) if line is not None else None
        if line is None or image is None:
            # Pictures with transparency of their own are shown so only where map_d names them.
            return False
        opacity = image[:, :, 3] if image.shape[2] == 4 else image[:, :, :3].max(axis=2)
        if base is None:
            white = np.full((*opacity.shape, 3), 255, np.uint8)
            maps["base_colour"] = MapUse(np.dstack([white, opacity]), sampling_of(line), line.place)
        elif base.place == line.place and base.image.shape[:2] == opacity.shape:
            maps["base_colour"] = replace(base, image=np.dstack([base.image[:, :, :3], opacity]))
        else:
            self.library.note("an opacity map of another size than its colour map is not kept")
            return False
        return bool((opacity < 255).any())

    def _add_surface(self, maps: dict[MapName, MapUse], lines: dict[str, MapLine], material: Material) -> Material:
        """Roughness and metallic maps in one, as glTF has them."""
        found: dict[str, tuple[MapLine, Image]] = {}
        for kind in ("roughness", "metallic"):
            image = self.library.image(lines[kind].name, self.folder) if kind in lines else None
            if image is not None:
                found[kind] = (lines[kind], image)
        if not found:
            return material
        line, first = next(iter(found.values()))
        if any(image.shape[:2] != first.shape[:2] or other.place != line.place for other, image in found.values()):
            self.library.note("roughness and metallic maps of different sizes are not kept")
            return material
        full = np.full(first.shape[:2], 255, np.uint8)
        channels = [found[kind][1][:, :, 0] if kind in found else full for kind in ("roughness", "metallic")]
        maps["metallic_roughness"] = MapUse(np.dstack([full, *channels]), sampling_of(line), line.place)
        given: dict[str, Any] = {
            kind: 1.0
            for kind, key in (("roughness", "pr"), ("metallic", "pm"))
            if kind in found and key not in self.entry
        }
        return replace(material, **given)

    def _colour(self, key: str, usual: tuple[float, float, float] | None) -> tuple[float, float, float]:
        usual = (1.0, 1.0, 1.0) if usual is None else usual
        words = self.entry.get(key, "").split()
        if not words or words[0] in ("spectral", "xyz"):
            return usual
        values = [_share(word, key) for word in words[:3]]
        values = values * 3 if len(values) == 1 else values
        if len(values) != 3:
            raise ObjError(f"a material's {key.capitalize()} has {len(values)} numbers, not 3")
        return values[0], values[1], values[2]

    def _share(self, key: str, usual: float) -> float:
        words = self.entry.get(key, "").split()
        return _share(words[0], key.capitalize()) if words else usual

    def _from_shininess(self) -> float:
        """The roughness whose highlight has the size of Blinn and Phong's: (2 / (Ns + 2))^(1/4), Walter et al. 2007."""
        words = self.entry.get("ns", "").split()
        shining = self._colour("ks", (0.0, 0.0, 0.0)) if "ks" in self.entry else (1.0, 1.0, 1.0)
        if not words or max(shining) <= 0:
            return _USUAL_ROUGHNESS
        return float((2 / (max(number(words[0], "Ns"), 0.0) + 2)) ** 0.25)


def _share(word: str, key: str) -> float:
    return min(max(number(word, key), 0.0), 1.0)


def _linear(colour: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = srgb_to_linear(np.array(colour))
    return float(red), float(green), float(blue)
