"""What follows a map's keyword in a Wavefront material library: options, and the name of a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from representations.assets.asset import Image, Sampling
from representations.assets.formats.looks import Place
from representations.assets.formats.obj_text import number

_OPTIONS = {
    "-blendu": 1,
    "-blendv": 1,
    "-bm": 1,
    "-boost": 1,
    "-cc": 1,
    "-clamp": 1,
    "-imfchan": 1,
    "-mm": 2,
    "-o": 3,
    "-s": 3,
    "-t": 3,
    "-texres": 1,
    "-type": 1,
}


@dataclass(frozen=True)
class MapLine:
    """What follows a map's keyword: options and the name of a file."""

    name: str
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    clamp: bool = False
    strength: float = 1.0
    ramp: tuple[float, float] = (0.0, 1.0)

    @property
    def place(self) -> Place:
        """Where it lies."""
        return Place(0, ((self.scale[0], 0.0, self.offset[0]), (0.0, self.scale[1], self.offset[1])))


def map_line(text: str) -> MapLine:
    """A map's options and the name of its file, which may have blanks and quotes. Raises ObjError."""
    words, values = text.split(), MapLine("")
    while words and words[0].lower() in _OPTIONS:
        option = words.pop(0).lower()
        given: list[str] = []
        while words and len(given) < _OPTIONS[option] and (not given or _is_number(words[0])):
            given.append(words.pop(0))
        values = _with_option(values, option, given)
    return replace(values, name=_rest(text, words).strip().strip('"'))


def _rest(text: str, words: list[str]) -> str:
    """The end of a text that has exactly these words, with the blanks between them."""
    end = len(text)
    for word in reversed(words):
        end = text.rindex(word, 0, end)
    return text[end:]


def _with_option(line: MapLine, option: str, given: list[str]) -> MapLine:
    if option in ("-s", "-o"):
        numbers = [number(word, option) for word in given] or [1.0 if option == "-s" else 0.0]
        usual = 1.0 if option == "-s" else 0.0
        pair = (numbers[0], numbers[1] if len(numbers) > 1 else usual)
        return replace(line, scale=pair) if option == "-s" else replace(line, offset=pair)
    if option == "-bm" and given:
        return replace(line, strength=number(given[0], option))
    if option == "-mm" and len(given) == 2:
        return replace(line, ramp=(number(given[0], option), number(given[1], option)))
    if option == "-clamp" and given:
        return replace(line, clamp=given[0].lower() == "on")
    return line


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def ramped(image: Image, line: MapLine) -> Image:
    """The picture with -mm base gain: base + gain x."""
    base, gain = line.ramp
    if (base, gain) == (0.0, 1.0):
        return image
    colours = np.clip(base + gain * (image[:, :, :3] / 255), 0, 1)
    return np.concatenate([np.round(colours * 255).astype(np.uint8), image[:, :, 3:]], axis=2)


def sampling_of(line: MapLine) -> Sampling:
    """How the picture goes on beyond its edges."""
    return Sampling(("clamp", "clamp")) if line.clamp else Sampling()


def quoted_words(text: str) -> list[str]:
    """Names apart by blanks; those in quotes may have some."""
    found, rest = [], text.strip()
    while rest:
        if rest[0] == '"' and '"' in rest[1:]:
            word, _, rest = rest[1:].partition('"')
        else:
            word, *more = rest.split(None, 1)
            rest = more[0] if more else ""
        found.append(word)
        rest = rest.strip()
    return found
