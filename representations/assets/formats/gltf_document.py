"""The parts of a glTF 2.0 or GLB file (Khronos specification): its JSON, its numbers and its images.

Everything in a file is doubted: every number that says where something is, is checked against what is there.
"""

from __future__ import annotations

import base64
import json
import struct
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from representations.assets.formats.gltf_compression import MESHOPT, decoded_view
from representations.assets.formats.gltf_numbers import GltfError, entries, extension, members, part, whole
from representations.geometry.mesh import Floats, Integers

Resolve = Callable[[str], bytes]
"""The content of a file that is named relative to the one that is read."""

_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942
_COMPONENTS: dict[int, Any] = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_MOST_IMPLIED_BYTES = 2**27
"""Accessors may stand for zeros without data, and compressed views for much more than they hold; so many at most."""


@dataclass(frozen=True)
class Values:
    """What an accessor holds.

    Attributes:
        stored: (N, width), as in the file; not a copy.
        normalized: whether integers stand for numbers in [-1, 1] or [0, 1].
    """

    stored: np.ndarray
    normalized: bool

    def __len__(self) -> int:
        return len(self.stored)

    def at(self, rows: Integers) -> Floats:
        """(len(rows), width) as numbers."""
        values, dtype = self.stored[rows], self.stored.dtype
        if self.normalized and dtype.kind in "iu":
            return np.maximum(values / np.iinfo(dtype).max, -1.0)
        return values.astype(np.float64)


@dataclass
class Document:
    """The JSON part and what it names.

    Attributes:
        content: the parsed JSON.
        binary: the GLB's own chunk, or None.
        resolve: reads other files.
        buffers, views: what was read already, by number.
    """

    content: dict[str, Any]
    binary: bytes | None
    resolve: Resolve
    buffers: dict[int, bytes] = field(default_factory=dict)
    views: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    _values: dict[int, Values] = field(default_factory=dict)
    _implied: int = 0

    def item(self, kind: str, number: Any) -> dict[str, Any]:
        """One entry of a list of the document."""
        found = self.content.get(kind, [])
        if not isinstance(number, int) or not isinstance(found, list) or not 0 <= number < len(found):
            raise GltfError(f"it names {kind}[{str(number)[:20]}], which does not exist")
        if not isinstance(found[number], dict):
            raise GltfError(f"{kind}[{number}] is not an object")
        return found[number]

    def extensions(self, kind: str) -> list[str]:
        """The names in "extensionsUsed" or "extensionsRequired"."""
        return [str(name) for name in entries(self.content, kind)]

    def buffer(self, number: Any) -> bytes:
        """The bytes of a buffer."""
        entry = self.item("buffers", number)
        if number not in self.buffers:
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
        if not uri.startswith("data:"):
            return self.resolve(urllib.parse.unquote(uri))
        kind, _, data = uri.partition(",")
        if not kind.endswith(";base64"):
            return urllib.parse.unquote_to_bytes(data)
        try:
            return base64.b64decode(data, validate=True)
        except ValueError:
            raise GltfError("data within it is not valid base64") from None

    def view(self, number: Any) -> tuple[bytes, int]:
        """The bytes of a buffer view, and its stride (0: tightly packed)."""
        entry = self.item("bufferViews", number)
        if number in self.views:
            return self.views[number]
        compressed = next((found for name in MESHOPT if (found := extension(entry, name)) is not None), None)
        if compressed is not None:
            self._imply(whole(part(compressed, "count")) * whole(part(compressed, "byteStride")), "a compressed view")
            source = self._range(number, compressed)
            self.views[number] = decoded_view(source, compressed), whole(compressed.get("byteStride", 0))
            return self.views[number]
        return self._range(number, entry), whole(entry.get("byteStride", 0))

    def _range(self, number: int, entry: dict[str, Any]) -> bytes:
        content = self.buffer(entry.get("buffer", -1))
        start, length = whole(entry.get("byteOffset", 0)), whole(entry.get("byteLength", 0))
        if start + length > len(content):
            raise GltfError(f"bufferViews[{number}] ends after its buffer; the file may be cut off")
        return content[start : start + length] if (start, length) != (0, len(content)) else content

    def accessor(self, number: Any) -> Values:
        """The values of an accessor."""
        entry = self.item("accessors", number)
        if number not in self._values:
            self._values[number] = self._accessor(number, entry)
        return self._values[number]

    def _accessor(self, number: int, entry: dict[str, Any]) -> Values:
        kind, width = _COMPONENTS.get(entry.get("componentType", 0)), _WIDTHS.get(entry.get("type", ""))
        if kind is None or width is None:
            raise GltfError(f"accessors[{number}] has an unknown type")
        dtype, count = np.dtype(kind), whole(entry.get("count", 0))
        if "bufferView" in entry:
            values = self._strided(number, entry, dtype, width, count)
        else:
            self._imply(count * width * dtype.itemsize, f"accessors[{number}] claims {count} values without data:")
            values = np.zeros((count, width), dtype)
        if "sparse" in entry:
            values = self._replaced(values, members(entry, "sparse"), dtype, width)
        return Values(values, bool(entry.get("normalized")))

    def _imply(self, size: int, what: str) -> None:
        """Counts what a file stands for without holding it."""
        self._implied += size
        if self._implied > _MOST_IMPLIED_BYTES:
            raise GltfError(f"{what} more than {_MOST_IMPLIED_BYTES // 2**20} MB that are not in the file")

    def _strided(self, number: Any, entry: dict[str, Any], dtype: np.dtype, width: int, count: int) -> np.ndarray:
        content, stride = self.view(part(entry, "bufferView"))
        start, size = whole(entry.get("byteOffset", 0)), width * dtype.itemsize
        stride = stride or size
        if stride < size or start + max(count - 1, 0) * stride + (size if count else 0) > len(content):
            raise GltfError(f"accessors[{number}] reads beyond its data; the file may be cut off")
        if not count:
            return np.zeros((0, width), dtype)
        return np.ndarray((count, width), dtype, content, start, (stride, dtype.itemsize))

    def _replaced(self, values: np.ndarray, sparse: dict[str, Any], dtype: np.dtype, width: int) -> np.ndarray:
        count = whole(part(sparse, "count"))
        where, what = members(sparse, "indices"), members(sparse, "values")
        kind = _COMPONENTS.get(where.get("componentType", 0))
        if kind is None or np.dtype(kind).kind != "u":
            raise GltfError("sparse indices have an unknown type")
        index = self._strided("sparse", where, np.dtype(kind), 1, count)[:, 0]
        if count and int(index.max()) >= len(values):
            raise GltfError("sparse indices lie outside their accessor")
        self._imply(values.nbytes, "a sparse accessor repeats")
        values = values.copy()
        values[index] = self._strided("sparse", what, dtype, width, count)
        return values


def parse_document(content: bytes, resolve: Resolve) -> Document:
    """The JSON part of a .glb or .gltf file, and what is needed to follow it. Raises GltfError."""
    binary = None
    if content[:4] == b"glTF":
        content, binary = _chunks(content)
    try:
        parsed = json.loads(content.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except GltfError:
        raise
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or a number of thousands of digits
        raise GltfError(f"its JSON part cannot be read ({str(error)[:100]})") from None
    asset = parsed.get("asset") if isinstance(parsed, dict) else None
    if not isinstance(asset, dict) or not str(asset.get("version", "")).startswith("2"):
        raise GltfError("it is not glTF of version 2")
    return Document(parsed, binary, resolve)


def _refuse_constant(name: str) -> None:
    raise GltfError(f"its JSON part has {name} where a number should be")


def _chunks(content: bytes) -> tuple[bytes, bytes | None]:
    """The JSON chunk and the binary chunk of a GLB."""
    if len(content) < 20 or struct.unpack_from("<I", content, 8)[0] > len(content):
        raise GltfError("it is shorter than it says; it was cut off")
    if struct.unpack_from("<I", content, 4)[0] != 2:
        raise GltfError("it is not glTF of version 2")
    length, kind = struct.unpack_from("<II", content, 12)
    if kind != _JSON_CHUNK or 20 + length > len(content):
        raise GltfError("its first chunk is not JSON")
    binary, start = None, 20 + length
    while start + 8 <= len(content):
        size, kind = struct.unpack_from("<II", content, start)
        if kind == _BINARY_CHUNK:
            binary = content[start + 8 : start + 8 + size]
            break
        start += 8 + size
    return content[20 : 20 + length], binary
