"""Assets as binary glTF 2.0 (Khronos specification, sections 3.7 to 3.9 and 4.4).

Written here because vertex colours are linear in glTF, and the eight bits that mesh libraries give them are too few for
dark colours: one step of linear 8-bit colour is thirteen steps of sRGB near black. Sixteen bits are enough. Texture
images are sRGB.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from representations.assets.asset import MAPS, Asset, Image, MapName, Material, Sampling
from representations.assets.colour_space import srgb_to_linear
from representations.assets.formats.digits import offset_for_floats
from representations.assets.repair import whole, with_faces
from representations.assets.textures import png_bytes
from representations.assets.unwrapping import is_inside_unit_square
from representations.assets.vertex_buffers import VertexBuffers, vertex_buffers

_MAGIC, _VERSION = 0x46546C67, 2
_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942
_UNSIGNED_SHORT, _UNSIGNED_INT, _FLOAT = 5123, 5125, 5126
_VERTEX_BUFFER, _INDEX_BUFFER = 34962, 34963
_LINEAR, _LINEAR_MIPMAP_LINEAR = 9729, 9987
_WRAPS = {"repeat": 10497, "clamp": 33071, "mirror": 33648}


def glb_bytes(asset: Asset, name: str = "object") -> bytes:
    """A GLB file: one mesh with normals, a primitive for each of its materials, +Y up, metres.

    With a normal map it has the tangents that the map was made for. What is not watertight is shown from both sides,
    unless its material says otherwise. Positions far from the origin are kept to their digits: the node moves them.

    Args:
        asset: see `representations.assets.asset`; sound (`representations.assets.inspection.asset_problems`).
        name: of the object, as programs list it, if the asset has no name of its own.
    """
    return scene_glb_bytes([Node(asset, asset.name or name)])


@dataclass(frozen=True)
class Node:
    """An object of a scene.

    Attributes:
        asset: in its own coordinates.
        name: as programs list it.
        position, turn, size: where it is, how far it is turned about +Y (radians, counter-clockwise seen from above),
            and how many times as large.
    """

    asset: Asset
    name: str
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn: float = 0.0
    size: float = 1.0


def scene_glb_bytes(nodes: Sequence[Node]) -> bytes:
    """A GLB file of several objects, each a node with a name. Raises ValueError if there is none."""
    if not nodes:
        raise ValueError("a scene has an object or more")
    file = _File()
    meshes: list[dict[str, Any]] = []
    placed: list[dict[str, Any]] = []
    for node in nodes:
        offset = offset_for_floats(node.asset.mesh.vertices)
        asset = replace(node.asset, mesh=replace(node.asset.mesh, vertices=node.asset.mesh.vertices - offset))
        two_sided = not asset.mesh.is_watertight
        primitives = []
        for part in _parts(asset):
            file.materials.append(_material(file, part, node.name, two_sided))
            primitives.append(_primitive(file, part, len(file.materials) - 1))
        placed.append({"mesh": len(meshes), "name": node.name} | _transform(node, offset))
        meshes.append({"primitives": primitives, "name": node.name})
    about = dict(nodes[0].asset.about) if len(nodes) == 1 else {}
    document = {
        "asset": {"version": "2.0", "generator": "scoresmith"} | ({"extras": about} if about else {}),
        **({"extensionsUsed": sorted(file.extensions)} if file.extensions else {}),
        "scene": 0,
        "scenes": [{"nodes": list(range(len(placed)))}],
        "nodes": placed,
        "meshes": meshes,
        "materials": file.materials,
        **file.document(),
    }
    header = _padded(json.dumps(document, separators=(",", ":"), allow_nan=False).encode(), b" ")
    chunks = _chunk(_JSON_CHUNK, header) + _chunk(_BINARY_CHUNK, bytes(file.binary))
    return struct.pack("<III", _MAGIC, _VERSION, 12 + len(chunks)) + chunks


def _transform(node: Node, offset: np.ndarray) -> dict[str, list[float]]:
    """What is not the identity of a node's translation, rotation and scale; ``offset`` is where its mesh begins."""
    sin, cos = math.sin(node.turn), math.cos(node.turn)
    turned = np.array([cos * offset[0] + sin * offset[2], offset[1], cos * offset[2] - sin * offset[0]])
    translation = np.asarray(node.position, dtype=float) + node.size * turned
    parts: dict[str, list[float]] = {}
    if translation.any():
        parts["translation"] = translation.tolist()
    if node.turn:
        parts["rotation"] = [0.0, math.sin(node.turn / 2), 0.0, math.cos(node.turn / 2)]
    if node.size != 1:
        parts["scale"] = [node.size] * 3
    return parts


def _parts(asset: Asset) -> list[Asset]:
    """One asset for each material that some face has."""
    if asset.material_of is None:
        return [asset]
    entire = whole(asset)
    used = np.unique(asset.material_of).tolist()
    return [
        replace(
            with_faces(entire, asset.faces_of(number)),
            material=asset.materials[number],
            more_materials=(),
            material_of=None,
        )
        for number in used
    ]


def _primitive(file: _File, part: Asset, material: int) -> dict[str, Any]:
    buffers = vertex_buffers(part)
    kind, dtype = (_UNSIGNED_SHORT, "<u2") if len(buffers.positions) < 2**16 else (_UNSIGNED_INT, "<u4")
    attributes = _attributes(file, buffers, part.material)
    indices = file.accessor(buffers.faces.astype(dtype).reshape(-1), kind, "SCALAR", target=_INDEX_BUFFER)
    return {"attributes": attributes, "indices": indices, "material": material}


def _material(file: _File, part: Asset, name: str, two_sided: bool) -> dict[str, Any]:
    """A material in glTF's words; what is as the format takes it anyway is left out, but for the usual numbers."""
    material = part.material
    surface: dict[str, Any] = {"metallicFactor": material.metallic, "roughnessFactor": material.roughness}
    entry: dict[str, Any] = {
        "name": material.name or name,
        "pbrMetallicRoughness": surface,
        "doubleSided": two_sided if material.two_sided is None else material.two_sided,
    }
    if material.base_factor != (1.0, 1.0, 1.0, 1.0):
        surface["baseColorFactor"] = list(material.base_factor)
    textures = {map_name: file.texture(part, map_name) for map_name in MAPS if map_name in material.maps}
    for map_name, where, key in (
        ("base_colour", surface, "baseColorTexture"),
        ("metallic_roughness", surface, "metallicRoughnessTexture"),
        ("normal", entry, "normalTexture"),
        ("occlusion", entry, "occlusionTexture"),
        ("emission", entry, "emissiveTexture"),
    ):
        if map_name in textures:
            where[key] = textures[map_name]
    if "normal" in textures and material.normal_scale != 1:
        entry["normalTexture"]["scale"] = material.normal_scale
    if "occlusion" in textures and material.occlusion_strength != 1:
        entry["occlusionTexture"]["strength"] = material.occlusion_strength
    if material.alpha_mode != "opaque":
        entry["alphaMode"] = material.alpha_mode.upper()
    if material.alpha_mode == "mask" and material.alpha_cutoff != 0.5:
        entry["alphaCutoff"] = material.alpha_cutoff
    brightest = max(*material.emission_factor, 1.0)
    if any(material.emission_factor):
        entry["emissiveFactor"] = [light / brightest for light in material.emission_factor]
    extensions: dict[str, Any] = {}
    if brightest > 1:
        extensions["KHR_materials_emissive_strength"] = {"emissiveStrength": brightest}
    if material.unlit:
        extensions["KHR_materials_unlit"] = {}
    if extensions:
        entry["extensions"] = extensions
        file.extensions |= set(extensions)
    return entry


@dataclass
class _File:
    """What grows while a file is put together: the binary chunk and the lists that point into it."""

    binary: bytearray = field(default_factory=bytearray)
    views: list[dict[str, Any]] = field(default_factory=list)
    accessors: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    samplers: list[dict[str, Any]] = field(default_factory=list)
    textures: list[dict[str, Any]] = field(default_factory=list)
    materials: list[dict[str, Any]] = field(default_factory=list)
    extensions: set[str] = field(default_factory=set)
    _image_numbers: dict[bytes, int] = field(default_factory=dict)

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

    def texture(self, part: Asset, name: MapName) -> dict[str, Any]:
        """Adds a material's map; returns a reference to it."""
        image, sampling = part.material.maps[name], part.material.samplings.get(name)
        entry: dict[str, Any] = {"source": self._image(image)}
        sampler = _sampler(sampling, part)
        if sampler:
            entry["sampler"] = _number_in(self.samplers, sampler)
        reference: dict[str, Any] = {"index": _number_in(self.textures, entry)}
        if sampling is not None and sampling.uv_set:
            reference["texCoord"] = sampling.uv_set
        return reference

    def _image(self, image: Image) -> int:
        """Adds an image (H, W, 3 or 4), each content once."""
        key = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()
        if key not in self._image_numbers:
            self.images.append({"bufferView": self.view(png_bytes(image)), "mimeType": "image/png"})
            self._image_numbers[key] = len(self.images) - 1
        return self._image_numbers[key]

    def document(self) -> dict[str, Any]:
        """The lists, as glTF names them; empty ones are not allowed."""
        lists: dict[str, Any] = {
            "buffers": [{"byteLength": len(self.binary)}],
            "bufferViews": self.views,
            "accessors": self.accessors,
            "images": self.images,
            "samplers": self.samplers,
            "textures": self.textures,
        }
        return {name: entries for name, entries in lists.items() if entries}


def _number_in(entries: list[dict[str, Any]], entry: dict[str, Any]) -> int:
    """The place of an entry in a list, to which it is added if it is new."""
    if entry not in entries:
        entries.append(entry)
    return entries.index(entry)


def _sampler(sampling: Sampling | None, part: Asset) -> dict[str, Any]:
    """A map's sampler; an empty one is the format's own."""
    if sampling is None:
        wrap = _WRAPS["repeat" if part.uv is not None and not is_inside_unit_square(part.uv) else "clamp"]
        return {"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP_LINEAR, "wrapS": wrap, "wrapT": wrap}
    found: dict[str, Any] = {}
    if sampling.magnified is not None:
        found["magFilter"] = sampling.magnified
    if sampling.minified is not None:
        found["minFilter"] = sampling.minified
    if sampling.wrap != ("repeat", "repeat"):
        found |= {"wrapS": _WRAPS[sampling.wrap[0]], "wrapT": _WRAPS[sampling.wrap[1]]}
    return found


def _attributes(file: _File, buffers: VertexBuffers, material: Material) -> dict[str, int]:
    positions = buffers.positions.astype("<f4")
    extent = {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()}
    attributes = {
        "POSITION": file.accessor(positions, _FLOAT, "VEC3", **extent),
        "NORMAL": file.accessor(buffers.normals.astype("<f4"), _FLOAT, "VEC3"),
    }
    for number, uv in enumerate(_needed_sets(buffers, material)):
        downwards = np.stack([uv[:, 0], 1 - uv[:, 1]], axis=-1)
        attributes[f"TEXCOORD_{number}"] = file.accessor(downwards.astype("<f4"), _FLOAT, "VEC2")
    if buffers.tangents is not None:
        attributes["TANGENT"] = file.accessor(buffers.tangents.astype("<f4"), _FLOAT, "VEC4")
    if buffers.colours is not None:
        opacity = buffers.colours[:, 3:] if buffers.colours.shape[1] == 4 else np.ones((len(buffers.colours), 1))
        light = np.concatenate([srgb_to_linear(buffers.colours[:, :3]), opacity], axis=1)
        colours = np.round(light * 65535).astype("<u2")
        attributes["COLOR_0"] = file.accessor(colours, _UNSIGNED_SHORT, "VEC4", normalized=True)
    return attributes


def _needed_sets(buffers: VertexBuffers, material: Material) -> list[np.ndarray]:
    """The texture coordinates up to the last set that a map uses, or that says anything."""
    sets = [] if buffers.uv is None else [buffers.uv, *buffers.more_uv]
    last = max([-1, *material.uv_sets, *(number for number, uv in enumerate(sets) if uv.any())])
    return sets[: last + 1]


def _chunk(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", len(content), kind) + content


def _padded(content: bytes, filler: bytes) -> bytes:
    """Extended to a multiple of four bytes, as both chunks and vertex attributes must be."""
    return content + filler * (-len(content) % 4)
