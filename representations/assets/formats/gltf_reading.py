"""Reading glTF 2.0 and GLB: triangles as their nodes, skins and morph targets pose them, and how they look."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from representations.assets.colour_space import linear_to_srgb
from representations.assets.formats.gltf_compression import DRACO, MESHOPT, decoded_primitive
from representations.assets.formats.gltf_document import Document, Resolve, Values, parse_document
from representations.assets.formats.gltf_materials import Materials, unused_extensions
from representations.assets.formats.gltf_numbers import GltfError, entries, extension, members, part
from representations.assets.formats.gltf_poses import (
    INSTANCING,
    Pose,
    Skins,
    blended,
    morph_weights,
    poses,
    world_matrices,
)
from representations.assets.formats.looks import Look
from representations.assets.pieces import Piece
from representations.geometry.mesh import Floats, Integers

_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_MOST_PIECES = 200_000
UNDERSTOOD = {
    DRACO,
    *MESHOPT,
    INSTANCING,
    "EXT_texture_webp",
    "KHR_lights_punctual",
    "KHR_materials_emissive_strength",
    "KHR_materials_pbrSpecularGlossiness",
    "KHR_materials_unlit",
    "KHR_materials_variants",
    "KHR_mesh_quantization",
    "KHR_node_visibility",
    "KHR_texture_transform",
    "KHR_xmp_json_ld",
}
"""Extensions that a file may require, since they are read, or since what they say concerns nobody here."""

FINISHES = (
    "KHR_materials_anisotropy",
    "KHR_materials_clearcoat",
    "KHR_materials_diffuse_transmission",
    "KHR_materials_dispersion",
    "KHR_materials_ior",
    "KHR_materials_iridescence",
    "KHR_materials_sheen",
    "KHR_materials_specular",
    "KHR_materials_transmission",
    "KHR_materials_volume",
)
"""Extensions that refine a material; without them it looks plainer, which is said."""


def read_gltf(content: bytes, resolve: Resolve, most_faces: int) -> tuple[list[Piece], list[str]]:
    """The triangles of a file's scene, and what of it is not kept, in words.

    Args:
        content: of a .glb or .gltf file.
        resolve: reads the files that it names; decides itself what it may be asked for. Raises FileNotFoundError for
            what is not there.
        most_faces: a scene with more triangles, copies included, is refused.

    Raises:
        GltfError: if the file is damaged, too large, or requires an extension that is not known.
        ImageError: if its textures are too large.
    """
    try:
        document = parse_document(content, resolve)
        unknown = [name for name in document.extensions("extensionsRequired") if name not in {*UNDERSTOOD, *FINISHES}]
        if unknown:
            raise GltfError(f"it requires extensions that are not known: {', '.join(unknown)[:200]}")
        return _Scene(document, most_faces).read()
    except (TypeError, AttributeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise GltfError(f"its structure is not that of glTF 2.0 ({type(error).__name__}: {str(error)[:100]})") from None
    except FileNotFoundError as error:
        raise GltfError(str(error)) from None


@dataclass
class _Scene:
    """A document while it is read."""

    document: Document
    most_faces: int
    faces: int = 0
    lines: int = 0

    def read(self) -> tuple[list[Piece], list[str]]:
        self.materials = Materials(self.document)
        self.primitives: dict[int, tuple[Integers, dict[str, Values | int]]] = {}
        found: list[Piece] = []
        placed = poses(self.document)
        skinned = any("skin" in pose.node for pose in placed)
        self.skins = Skins(self.document, world_matrices(self.document) if skinned else {})
        for pose in placed:
            for entry in entries(self.document.item("meshes", pose.node["mesh"]), "primitives"):
                found += self._copies(entry, pose)
                if len(found) > _MOST_PIECES:
                    raise GltfError(f"it has more than {_MOST_PIECES:,} parts")
        notes = unused_extensions(self.document) + self.materials.notes
        if self.lines:
            notes.append("points and lines are not kept")
        return found, notes

    def _copies(self, entry: Any, pose: Pose) -> list[Piece]:
        """A primitive at each of its places."""
        if not isinstance(entry, dict):
            raise GltfError("a primitive is not an object")
        mode = entry.get("mode", _TRIANGLES)
        if mode not in (_TRIANGLES, _STRIP, _FAN):
            self.lines += 1
            return []
        indices, attributes = self._geometry(entry, mode)
        self.faces += len(indices) * len(pose.matrices)
        if self.faces > self.most_faces:
            raise GltfError(f"it has more than {self.most_faces:,} triangles; simplify it elsewhere first")
        if not len(indices):
            return []
        rows, faces = np.unique(indices, return_inverse=True)
        local = _Primitive(self, entry, pose.node, attributes, rows, faces.reshape(-1, 3))
        return local.pieces(pose)

    def _geometry(self, entry: dict[str, Any], mode: int) -> tuple[Integers, dict[str, Any]]:
        """(F, 3) faces, and the attributes by name: accessors' numbers, or what was decoded."""
        attributes: dict[str, Any] = members(entry, "attributes")
        compressed = extension(entry, DRACO)
        if compressed is None:
            positions = self.document.accessor(part(attributes, "POSITION"))
            if "indices" in entry:
                stored = self.document.accessor(entry["indices"]).stored
                if stored.dtype.kind != "u" or stored.shape[1] != 1:
                    raise GltfError("indices are not whole numbers")
                indices = stored[:, 0].astype(np.int64)
            else:
                if len(positions) > 3 * self.most_faces:
                    raise GltfError(f"it has more than {self.most_faces:,} triangles; simplify it elsewhere first")
                indices = np.arange(len(positions))
            if len(indices) and indices.max() >= len(positions):
                raise GltfError(f"a face names vertex {indices.max()}, but there are {len(positions)}")
            return _triangles(indices, mode), attributes
        key = id(entry)
        if key not in self.primitives:
            source = self.document.view(part(compressed, "bufferView"))[0]
            faces, decoded = decoded_primitive(source, compressed, self.most_faces)
            ready: dict[str, Any] = {}
            for name, values in decoded.items():
                normalized = name in attributes and self.document.item("accessors", attributes[name]).get("normalized")
                ready[name] = Values(values, bool(normalized))
            if "POSITION" not in ready or (len(faces) and faces.max() >= len(ready["POSITION"])):
                raise GltfError("what Draco compressed has no positions for its faces")
            self.primitives[key] = faces, ready
        faces, ready = self.primitives[key]
        return faces, {**attributes, **ready}


@dataclass
class _Primitive:
    """A primitive's own vertices, before its nodes place them."""

    scene: _Scene
    entry: dict[str, Any]
    node: dict[str, Any]
    attributes: dict[str, Any]
    rows: Integers
    faces: Integers

    def pieces(self, pose: Pose) -> list[Piece]:
        positions = self._values("POSITION", 3)
        assert positions is not None
        normals, colours = self._values("NORMAL", 3), self._values("COLOR_0", 3)
        look, uvs = self._look()
        if colours is not None:
            light = np.clip(colours[:, :4], 0, 1)
            colours = np.concatenate([linear_to_srgb(light[:, :3]), light[:, 3:]], axis=1)[self.faces]
            if look.material.alpha_mode == "opaque" or (colours.shape[2] == 4 and (colours[:, :, 3] == 1).all()):
                colours = colours[:, :, :3]
        matrices = pose.matrices
        if "skin" in self.node:
            positions, normals, faces_turned = self._skinned(positions, normals)
            matrices = np.eye(4)[None]
        else:
            faces_turned = False
        found = []
        for matrix in matrices:
            linear = matrix[:3, :3]
            mirrored = faces_turned != bool(np.linalg.det(linear) < 0)
            placed = positions @ linear.T + matrix[:3, 3]
            faces = self.faces
            piece = Piece(
                placed, faces, uvs, self._corner_normals(placed, normals, linear, mirrored), colours, look.material
            )
            found.append(_turned_round(piece) if mirrored else piece)
        return found

    def _corner_normals(self, positions: Floats, normals: Floats | None, linear: Floats, mirrored: bool) -> Floats:
        """(F, 3, 3), flat where the file has none (glTF 2.0, section 3.7.2.1)."""
        if normals is not None:
            return _turned(normals, linear)[self.faces]
        a, b, c = (positions[self.faces[:, corner]] for corner in range(3))
        flat = np.cross(b - a, c - a) * (-1.0 if mirrored else 1.0)
        return np.repeat(flat[:, None], 3, axis=1)

    def _values(self, name: str, width: int) -> Floats | None:
        """(V, width or more) an attribute at the used rows, morphed; None if there is none."""
        if name not in self.attributes:
            return None
        values = self._at(self.attributes[name], name, width)
        targets = entries(self.entry, "targets")
        for target, weight in zip(targets, morph_weights(self.scene.document, self.node), strict=False):
            if weight and isinstance(target, dict) and name in target:
                moved = self._at(target[name], f"a target's {name}", width)
                common = min(values.shape[1], moved.shape[1])
                values[:, :common] += weight * moved[:, :common]
        return values

    def _at(self, source: Any, name: str, width: int) -> Floats:
        values = source if isinstance(source, Values) else self.scene.document.accessor(source)
        if values.stored.shape[1] < width or len(values) <= int(self.rows[-1]):
            raise GltfError(f"{name} has the shape {values.stored.shape}, not ({int(self.rows[-1]) + 1}, {width})")
        return values.at(self.rows)

    def _look(self) -> tuple[Look, tuple[Floats, ...]]:
        """The material, and the texture coordinates that its maps have; without maps whose coordinates are missing."""
        look = self.scene.materials.look(self.entry.get("material"))
        sets = {}
        for place in look.places:
            if f"TEXCOORD_{place.texcoord}" in self.attributes:
                uv = self._values(f"TEXCOORD_{place.texcoord}", 2)
                assert uv is not None
                moved = place.moved(uv[:, :2])
                sets[place] = np.stack([moved[:, 0], 1 - moved[:, 1]], axis=-1)[self.faces]
        if len(sets) < len(look.places) and look.material.maps:
            self.scene.materials.note("textures without texture coordinates were left out")
        return look.only(set(sets)), tuple(sets.values())

    def _skinned(self, positions: Floats, normals: Floats | None) -> tuple[Floats, Floats | None, bool]:
        """Positions and normals where the joints are; whether that turns the faces round."""
        document = self.scene.document
        matrices = blended(document, self.attributes, self.scene.skins.matrices(self.node["skin"]), self.rows)
        linear = matrices[:, :3, :3]
        moved = np.einsum("vij,vj->vi", linear, positions) + matrices[:, :3, 3]
        determinant = np.linalg.det(linear)
        if normals is not None:
            safe = np.where((np.abs(determinant) > 1e-12)[:, None, None], linear, np.eye(3))
            normals = _unit(np.einsum("vji,vj->vi", np.linalg.inv(safe), normals))
        return moved, normals, bool((determinant < 0).mean() > 0.5)


def _turned_round(piece: Piece) -> Piece:
    """A mirrored copy, whose faces would be inside out."""
    return replace(
        piece,
        faces=piece.faces[:, ::-1],
        uvs=tuple(uv[:, ::-1] for uv in piece.uvs),
        normals=None if piece.normals is None else piece.normals[:, ::-1],
        colours=None if piece.colours is None else piece.colours[:, ::-1],
    )


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


def _turned(normals: Floats, linear: Floats) -> Floats:
    """Normals under a linear map: by its inverse transpose."""
    if abs(np.linalg.det(linear)) < 1e-300:
        return normals
    return _unit(normals @ np.linalg.inv(linear))


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
