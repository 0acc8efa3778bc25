"""Reading glTF 2.0 and GLB: triangles, their attributes and the metallic-roughness material."""

from __future__ import annotations

from typing import Any

import numpy as np

from representations.assets.asset import Material
from representations.assets.colour_space import linear_to_srgb
from representations.assets.formats.gltf_document import Document, GltfError, Resolve, parse_document, part
from representations.assets.pieces import Piece
from representations.geometry.mesh import Floats, Integers

_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_UNREADABLE = ("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_texture_basisu")


def read_gltf(content: bytes, resolve: Resolve, most_faces: int) -> list[Piece]:
    """The triangles of a file's scene.

    Args:
        content: of a .glb or .gltf file.
        resolve: reads the files that it names; decides itself what it may be asked for.
        most_faces: a scene with more triangles, copies included, is refused.

    Raises:
        GltfError: if the file is damaged, too large, or compressed in a way that is not supported.
        ImageError: if a texture cannot be read.
    """
    try:
        document = parse_document(content, resolve)
        needed = [str(name) for name in document.content.get("extensionsRequired", [])]
        if any(name in _UNREADABLE for name in needed):
            raise GltfError(f"it is compressed ({', '.join(needed)}); export it without compression")
        return _primitives(document, most_faces)
    except (TypeError, AttributeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise GltfError(f"its structure is not that of glTF 2.0 ({type(error).__name__}: {error})") from None


def _primitives(document: Document, most_faces: int) -> list[Piece]:
    """Every mesh of the default scene (of all nodes, if there is no scene), in world coordinates."""
    scenes = document.content.get("scenes", [])
    if scenes:
        roots = document.item("scenes", document.content.get("scene", 0)).get("nodes", [])
    else:
        roots = list(range(len(document.content.get("nodes", []))))
    found: list[Piece] = []
    waiting = [(root, np.eye(4)) for root in roots]
    visited, faces = set(), 0
    while waiting:
        number, above = waiting.pop()
        node = document.item("nodes", number)
        if number in visited:
            raise GltfError(f"nodes[{number}] hangs under two nodes, or under itself")
        visited.add(number)
        matrix = above @ _matrix(node)
        entries = document.item("meshes", node["mesh"]).get("primitives", []) if "mesh" in node else []
        for entry in entries:
            primitive = _primitive(document, entry, matrix)
            if primitive is not None:
                found.append(primitive)
                faces += len(primitive.faces)
        if faces > most_faces:
            raise GltfError(f"it has more than {most_faces:,} triangles; simplify it elsewhere first")
        waiting += [(child, matrix) for child in node.get("children", [])]
    return found


def _primitive(document: Document, entry: dict[str, Any], matrix: Floats) -> Piece | None:
    mode = entry.get("mode", _TRIANGLES)
    if mode not in (_TRIANGLES, _STRIP, _FAN):
        return None  # points and lines
    attributes = part(entry, "attributes")
    positions = document.accessor(attributes["POSITION"]).astype(np.float64)
    _require(positions, 3, len(positions), "POSITION")
    if "indices" in entry:
        indices = document.accessor(entry["indices"])[:, 0].astype(np.int64)
    else:
        indices = np.arange(len(positions))
    if len(indices) and (indices.min() < 0 or indices.max() >= len(positions)):
        raise GltfError(f"a face names vertex {indices.max()}, but there are {len(positions)}")
    faces = _triangles(indices, mode)
    linear = matrix[:3, :3]
    if np.linalg.det(linear) < 0:
        faces = faces[:, ::-1]  # a mirrored copy would be inside out
    optional = {
        name: _attribute(document, attributes, name, len(positions)) for name in ("NORMAL", "TEXCOORD_0", "COLOR_0")
    }
    normals, uv, colours = optional["NORMAL"], optional["TEXCOORD_0"], optional["COLOR_0"]
    if normals is not None:
        normals = _turned(normals, linear)[faces]
    if uv is not None:
        uv = np.stack([uv[:, 0], 1 - uv[:, 1]], axis=-1)[faces]
    if colours is not None:
        colours = linear_to_srgb(np.clip(colours[:, :3], 0, 1))
    material, tint = _material(document, entry.get("material"))
    return Piece(positions @ linear.T + matrix[:3, 3], faces, uv, normals, colours, material, tint)


def _attribute(document: Document, attributes: dict[str, Any], name: str, count: int) -> Floats | None:
    if name not in attributes:
        return None
    values = document.accessor(attributes[name]).astype(np.float64)
    _require(values, 2 if name == "TEXCOORD_0" else 3, count, name)
    return values


def _require(values: Floats, width: int, count: int, name: str) -> None:
    if values.shape[1] < width or len(values) != count:
        raise GltfError(f"{name} has the shape {values.shape}, not ({count}, {width})")


def _triangles(indices: Integers, mode: int) -> Integers:
    """(F, 3) faces of a list, a strip or a fan."""
    if mode == _TRIANGLES:
        return indices[: len(indices) // 3 * 3].reshape(-1, 3)
    count = max(0, len(indices) - 2)
    first = np.arange(count)
    if mode == _FAN:
        return np.stack([indices[first * 0], indices[first + 1], indices[first + 2]], axis=-1)
    odd = first % 2  # every other triangle of a strip is turned round
    return np.stack([indices[first], indices[first + 1 + odd], indices[first + 2 - odd]], axis=-1)


def _matrix(node: dict[str, Any]) -> Floats:
    """(4, 4) the node's own transform."""
    if "matrix" in node:
        matrix = np.asarray(node["matrix"], dtype=np.float64)
        if matrix.shape != (16,):
            raise GltfError("a node's matrix has not 16 numbers")
        return matrix.reshape(4, 4).T
    x, y, z, w = np.asarray(node.get("rotation", (0, 0, 0, 1)), dtype=np.float64)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * np.asarray(node.get("scale", (1, 1, 1)), dtype=np.float64)
    matrix[:3, 3] = np.asarray(node.get("translation", (0, 0, 0)), dtype=np.float64)
    return matrix


def _turned(normals: Floats, linear: Floats) -> Floats:
    """Normals under a linear map: by its inverse transpose."""
    if abs(np.linalg.det(linear)) < 1e-12:
        return normals
    turned = normals @ np.linalg.inv(linear)
    return turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)


def _material(document: Document, number: Any) -> tuple[Material, tuple[float, float, float]]:
    """The material and the linear tint of its base colour."""
    if number is None:
        return Material(roughness=1.0, metallic=1.0), (1.0, 1.0, 1.0)
    entry = document.item("materials", number)
    surface = entry.get("pbrMetallicRoughness", {})
    red, green, blue = (_share(factor) for factor in surface.get("baseColorFactor", (1, 1, 1, 1))[:3])
    base = document.image(surface["baseColorTexture"]) if "baseColorTexture" in surface else None
    normal = document.image(entry["normalTexture"]) if "normalTexture" in entry else None
    roughness, metallic = (_share(surface.get(f"{name}Factor", 1.0)) for name in ("roughness", "metallic"))
    return Material(base, normal, roughness, metallic), (red, green, blue)


def _share(value: Any) -> float:
    """A number, within [0, 1]."""
    return min(max(float(value), 0.0), 1.0)
