"""The parts of a glTF 2.0 or GLB file (Khronos specification): its JSON, its numbers and its images.

Everything in a file is doubted: every number that says where something is, is checked against what is there.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from representations.assets.asset import Image
from representations.assets.textures import decoded_image
from representations.geometry.mesh import Floats

Resolve = Callable[[str], bytes]
"""The content of a file that is named relative to the one that is read."""

_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942
_COMPONENTS: dict[int, Any] = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_MOST_IMPLIED_BYTES = 2**28
"""An accessor may stand for zeros without data; so many at most."""


class GltfError(ValueError):
    """A glTF file that is damaged or needs what is not supported; the message says what."""


@dataclass
class Document:
    """The JSON part and what it names.

    Attributes:
        content: the parsed JSON.
        binary: the GLB's own chunk, or None.
        resolve: reads other files.
        buffers, images: what was read already, by number.
    """

    content: dict[str, Any]
    binary: bytes | None
    resolve: Resolve
    buffers: dict[int, bytes] = field(default_factory=dict)
    images: dict[int, Image] = field(default_factory=dict)

    def item(self, kind: str, number: Any) -> dict[str, Any]:
        """One entry of a list of the document."""
        entries = self.content.get(kind, [])
        if not isinstance(number, int) or not isinstance(entries, list) or not 0 <= number < len(entries):
            raise GltfError(f"it names {kind}[{number}], which does not exist")
        if not isinstance(entries[number], dict):
            raise GltfError(f"{kind}[{number}] is not an object")
        return entries[number]

    def buffer(self, number: int) -> bytes:
        """The bytes of a buffer."""
        if number not in self.buffers:
            entry = self.item("buffers", number)
            uri = entry.get("uri")
            if uri is None and number == 0 and self.binary is not None:
                self.buffers[number] = self.binary
            else:
                self.buffers[number] = self.uri_bytes(uri)
        return self.buffers[number]

    def uri_bytes(self, uri: Any) -> bytes:
        """What a URI names: data within the document, or a file beside it."""
        if not isinstance(uri, str):
            raise GltfError("a buffer or image has neither data nor the name of a file")
        if uri.startswith("data:"):
            try:
                return base64.b64decode(uri.partition(",")[2], validate=True)
            except binascii.Error:
                raise GltfError("data within it is not valid base64") from None
        return self.resolve(urllib.parse.unquote(uri))

    def view(self, number: Any) -> tuple[bytes, int]:
        """The bytes of a buffer view, and its stride (0: tightly packed)."""
        entry = self.item("bufferViews", number)
        content = self.buffer(entry.get("buffer", -1))
        start, length = whole(entry.get("byteOffset", 0)), whole(entry.get("byteLength", 0))
        if start + length > len(content):
            raise GltfError(f"bufferViews[{number}] ends after its buffer; the file may be cut off")
        return content[start : start + length], whole(entry.get("byteStride", 0))

    def accessor(self, number: Any) -> Floats:
        """(N, width) the values of an accessor; integers that are marked as normalised come as floats."""
        entry = self.item("accessors", number)
        kind, width = _COMPONENTS.get(entry.get("componentType", 0)), _WIDTHS.get(entry.get("type", ""))
        if kind is None or width is None:
            raise GltfError(f"accessors[{number}] has an unknown type")
        dtype, count = np.dtype(kind), whole(entry.get("count", 0))
        if "bufferView" in entry:
            values = self._strided(number, entry, dtype, width, count)
        elif count * width * dtype.itemsize <= _MOST_IMPLIED_BYTES:
            values = np.zeros((count, width), dtype)
        else:
            raise GltfError(f"accessors[{number}] claims {count} values without data")
        if "sparse" in entry:
            values = self._replaced(values, entry["sparse"], dtype, width)
        if entry.get("normalized") and dtype.kind in "iu":
            return np.maximum(values / np.iinfo(dtype).max, -1.0)
        return values

    def _strided(self, number: Any, entry: dict[str, Any], dtype: np.dtype, width: int, count: int) -> Floats:
        content, stride = self.view(entry["bufferView"])
        start, size = whole(entry.get("byteOffset", 0)), width * dtype.itemsize
        stride = stride or size
        if stride < size or (count and start + (count - 1) * stride + size > len(content)):
            raise GltfError(f"accessors[{number}] reads beyond its data; the file may be cut off")
        values = np.ndarray((count, width), dtype, content, start, (stride, dtype.itemsize))
        return values.copy()

    def _replaced(self, values: Floats, sparse: Any, dtype: np.dtype, width: int) -> Floats:
        count = whole(part(sparse, "count"))
        where, what = part(sparse, "indices"), part(sparse, "values")
        kind = _COMPONENTS.get(where.get("componentType", 0))
        if kind is None:
            raise GltfError("sparse indices have an unknown type")
        index = self._strided("sparse", where, np.dtype(kind), 1, count)[:, 0]
        if count and int(index.max()) >= len(values):
            raise GltfError("sparse indices lie outside their accessor")
        values[index] = self._strided("sparse", what, dtype, width, count)
        return values

    def image(self, reference: Any) -> Image:
        """The image of a texture reference, as (H, W, 3)."""
        texture = self.item("textures", part(reference, "index"))
        number = texture.get("source", -1)
        entry = self.item("images", number)
        if number not in self.images:
            content = self.view(entry["bufferView"])[0] if "bufferView" in entry else self.uri_bytes(entry.get("uri"))
            self.images[number] = decoded_image(content)
        return self.images[number]


def parse_document(content: bytes, resolve: Resolve) -> Document:
    """The JSON part of a .glb or .gltf file, and what is needed to follow it. Raises GltfError."""
    binary = None
    if content[:4] == b"glTF":
        content, binary = _chunks(content)
    try:
        parsed = json.loads(content.decode("utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise GltfError(f"its JSON part cannot be read ({error})") from None
    if not isinstance(parsed, dict) or not str(parsed.get("asset", {}).get("version", "")).startswith("2"):
        raise GltfError("it is not glTF of version 2")
    return Document(parsed, binary, resolve)


def _chunks(content: bytes) -> tuple[bytes, bytes | None]:
    """The JSON chunk and the binary chunk of a GLB."""
    if len(content) < 20 or struct.unpack_from("<I", content, 8)[0] > len(content):
        raise GltfError("it is shorter than it says; it was cut off")
    length, kind = struct.unpack_from("<II", content, 12)
    if kind != _JSON_CHUNK or 20 + length > len(content):
        raise GltfError("its first chunk is not JSON")
    binary, start = None, 20 + length
    if start + 8 <= len(content):
        size, kind = struct.unpack_from("<II", content, start)
        if kind == _BINARY_CHUNK:
            binary = content[start + 8 : start + 8 + size]
    return content[20 : 20 + length], binary


def part(entry: dict[str, Any], name: str) -> Any:
    """A member that must be there."""
    if name not in entry:
        raise GltfError(f"an entry lacks its {name}")
    return entry[name]


def whole(value: Any) -> int:
    """A number that must be a count."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise GltfError(f"{value!r} stands where a count should")
    return value
