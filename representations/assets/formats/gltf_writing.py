"""Assets as binary glTF 2.0 (Khronos specification, sections 3.7 to 3.9 and 4.4).

Written here because vertex colours are linear in glTF, and the eight bits that mesh libraries give them are too few for
dark colours: one step of linear 8-bit colour is thirteen steps of sRGB near black. Sixteen bits are enough. Texture
images are sRGB.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from representations.assets.asset import Asset, Image, Material
from representations.assets.colour_space import srgb_to_linear
from representations.assets.textures import png_bytes
from representations.assets.unwrapping import is_inside_unit_square
from representations.assets.vertex_buffers import VertexBuffers, vertex_buffers

_MAGIC, _VERSION = 0x46546C67, 2
_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942
_UNSIGNED_SHORT, _UNSIGNED_INT, _FLOAT = 5123, 5125, 5126
_VERTEX_BUFFER, _INDEX_BUFFER = 34962, 34963
_LINEAR, _LINEAR_MIPMAP_LINEAR = 9729, 9987
_REPEAT, _CLAMP = 10497, 33071


def glb_bytes(asset: Asset, name: str = "object") -> bytes:
    """A GLB file: one mesh with normals and its material, +Y up, metres.

    It has a texture or vertex colours, never both, since viewers would multiply them; with a normal map it has the
    tangents that the map was made for. What is not watertight is shown from both sides.

    Args:
        asset: see `representations.assets.asset`.
        name: of the object, as programs list it.
    """
    buffers = vertex_buffers(asset)
    file = _File(repeats=asset.uv is not None and not is_inside_unit_square(asset.uv))
    attributes = _attributes(file, buffers, asset.material)
    material: dict[str, Any] = {
        "name": name,
        "pbrMetallicRoughness": {
            "metallicFactor": asset.material.metallic,
            "roughnessFactor": asset.material.roughness,
        },
        "doubleSided": not asset.mesh.is_watertight,
    }
    if buffers.uv is not None and asset.material.base_colour is not None:
        material["pbrMetallicRoughness"]["baseColorTexture"] = {"index": file.texture(asset.material.base_colour)}
    if buffers.uv is not None and asset.material.normal is not None:
        material["normalTexture"] = {"index": file.texture(asset.material.normal)}
    kind, dtype = (_UNSIGNED_SHORT, "<u2") if len(buffers.positions) < 2**16 else (_UNSIGNED_INT, "<u4")
    indices = file.accessor(buffers.faces.astype(dtype).reshape(-1), kind, "SCALAR", target=_INDEX_BUFFER)
    primitive = {"attributes": attributes, "indices": indices, "material": 0}
    document = {
        "asset": {"version": "2.0", "generator": "scoresmith"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name}],
        "meshes": [{"primitives": [primitive], "name": name}],
        "materials": [material],
        **file.document(),
    }
    header = _padded(json.dumps(document, separators=(",", ":")).encode(), b" ")
    chunks = _chunk(_JSON_CHUNK, header) + _chunk(_BINARY_CHUNK, bytes(file.binary))
    return struct.pack("<III", _MAGIC, _VERSION, 12 + len(chunks)) + chunks


@dataclass
class _File:
    """What grows while a file is put together: the binary chunk and the lists that point into it.

    Attributes:
        repeats: whether textures go on outside the unit square.
    """

    binary: bytearray = field(default_factory=bytearray)
    views: list[dict[str, Any]] = field(default_factory=list)
    accessors: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    repeats: bool = False

    def view(self, content: bytes, **more: Any) -> int:
        """Adds bytes; returns the number of their buffer view."""
        self.views.append({"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(content), **more})
        self.binary += _padded(content, b"\0")
        return len(self.views) - 1

    def accessor(self, values: np.ndarray, component: int, kind: str, target: int = _VERTEX_BUFFER, **more: Any) -> int:
        """Adds numbers; returns the number of their accessor."""
        view = self.view(values.tobytes(), target=target)
        self.accessors.append(
            {"bufferView": view, "componentType": component, "type": kind, "count": len(values), **more}
        )
        return len(self.accessors) - 1

    def texture(self, image: Image) -> int:
        """Adds an image (H, W, 3); returns the number of its texture."""
        self.images.append({"bufferView": self.view(png_bytes(image)), "mimeType": "image/png"})
        return len(self.images) - 1

    def document(self) -> dict[str, Any]:
        """The lists, as glTF names them; empty ones are not allowed."""
        lists: dict[str, Any] = {
            "buffers": [{"byteLength": len(self.binary)}],
            "bufferViews": self.views,
            "accessors": self.accessors,
        }
        if self.images:
            lists["images"] = self.images
            wrap = _REPEAT if self.repeats else _CLAMP
            filters = {"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP_LINEAR}
            lists["samplers"] = [{**filters, "wrapS": wrap, "wrapT": wrap}]
            lists["textures"] = [{"source": number, "sampler": 0} for number in range(len(self.images))]
        return lists


def _attributes(file: _File, buffers: VertexBuffers, material: Material) -> dict[str, int]:
    positions = buffers.positions.astype("<f4")
    extent = {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()}
    attributes = {
        "POSITION": file.accessor(positions, _FLOAT, "VEC3", **extent),
        "NORMAL": file.accessor(buffers.normals.astype("<f4"), _FLOAT, "VEC3"),
    }
    if buffers.uv is not None:
        downwards = np.stack([buffers.uv[:, 0], 1 - buffers.uv[:, 1]], axis=-1)
        attributes["TEXCOORD_0"] = file.accessor(downwards.astype("<f4"), _FLOAT, "VEC2")
    if buffers.tangents is not None:
        attributes["TANGENT"] = file.accessor(buffers.tangents.astype("<f4"), _FLOAT, "VEC4")
    if buffers.colours is not None and material.base_colour is None:
        opaque = np.concatenate([srgb_to_linear(buffers.colours), np.ones((len(buffers.colours), 1))], axis=1)
        colours = np.round(opaque * 65535).astype("<u2")
        attributes["COLOR_0"] = file.accessor(colours, _UNSIGNED_SHORT, "VEC4", normalized=True)
    return attributes


def _chunk(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", len(content), kind) + content


def _padded(content: bytes, filler: bytes) -> bytes:
    """Extended to a multiple of four bytes, as both chunks and vertex attributes must be."""
    return content + filler * (-len(content) % 4)
