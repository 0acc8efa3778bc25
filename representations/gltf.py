"""Meshes as binary glTF 2.0 (Khronos specification, sections 3.7 and 4.4).

Written here because vertex colours are linear in glTF, and the eight bits that mesh libraries give them are too few for
dark colours: one step of linear 8-bit colour is thirteen steps of sRGB near black. Sixteen bits are enough.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from representations.mesh import Floats, Mesh

_MAGIC, _VERSION = 0x46546C67, 2
_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942
_FLOAT, _UNSIGNED_SHORT, _UNSIGNED_INT = 5126, 5123, 5125
_VERTEX_BUFFER, _INDEX_BUFFER = 34962, 34963


def srgb_to_linear(colour: Floats) -> Floats:
    """IEC 61966-2-1: sRGB values in [0, 1], as on screens and in images, to linear light in [0, 1]."""
    return np.where(colour <= 0.04045, colour / 12.92, ((np.maximum(colour, 0.04045) + 0.055) / 1.055) ** 2.4)


def glb_bytes(mesh: Mesh) -> bytes:
    """A GLB file: one mesh with normals, and a matte material that shows its vertex colours."""
    positions = mesh.vertices.astype("<f4")
    extent = {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()}
    parts: list[tuple[np.ndarray, dict[str, Any]]] = [
        (mesh.faces.astype("<u4").reshape(-1), {"componentType": _UNSIGNED_INT, "type": "SCALAR"}),
        (positions, {"componentType": _FLOAT, "type": "VEC3", **extent}),
        (mesh.normals.astype("<f4"), {"componentType": _FLOAT, "type": "VEC3"}),
    ]
    attributes = {"POSITION": 1, "NORMAL": 2}
    if mesh.colours is not None:
        opaque = np.concatenate([srgb_to_linear(mesh.colours), np.ones((len(mesh.colours), 1))], axis=1)
        colours = np.round(opaque * 65535).astype("<u2")
        parts.append((colours, {"componentType": _UNSIGNED_SHORT, "normalized": True, "type": "VEC4"}))
        attributes["COLOR_0"] = 3
    views, accessors, binary = [], [], b""
    for number, (array, accessor) in enumerate(parts):
        target = _INDEX_BUFFER if number == 0 else _VERTEX_BUFFER
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": array.nbytes, "target": target})
        accessors.append({"bufferView": number, "count": len(array), **accessor})
        binary += _padded(array.tobytes(), b"\0")
    document = {
        "asset": {"version": "2.0", "generator": "scoresmith"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": 0, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.9}}],
        "buffers": [{"byteLength": len(binary)}],
        "bufferViews": views,
        "accessors": accessors,
    }
    header = _padded(json.dumps(document, separators=(",", ":")).encode(), b" ")
    chunks = _chunk(_JSON_CHUNK, header) + _chunk(_BINARY_CHUNK, binary)
    return struct.pack("<III", _MAGIC, _VERSION, 12 + len(chunks)) + chunks


def _chunk(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", len(content), kind) + content


def _padded(content: bytes, filler: bytes) -> bytes:
    """Extended to a multiple of four bytes, as both chunks and vertex attributes must be."""
    return content + filler * (-len(content) % 4)
