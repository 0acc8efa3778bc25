"""Where a glTF file puts its meshes: transforms, instances, morph targets and skins, as the file poses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from representations.assets.formats.gltf_document import Document
from representations.assets.formats.gltf_numbers import GltfError, entries, extension, members, number, numbers, part
from representations.geometry.mesh import Floats, Integers

INSTANCING = "EXT_mesh_gpu_instancing"
_MOST_INSTANCES = 1_000_000


@dataclass(frozen=True)
class Pose:
    """Where one mesh stands.

    Attributes:
        node: the entry that names it.
        matrices: (K, 4, 4) one for each copy.
    """

    node: dict[str, Any]
    matrices: Floats


def poses(document: Document) -> list[Pose]:
    """Every node of the default scene (of all nodes, if there is no scene) that has a mesh and is visible.

    Raises:
        GltfError: if a node hangs under two nodes, or under itself.
    """
    found, visited = [], set()
    waiting = [(root, np.eye(4)) for root in reversed(_roots(document))]
    while waiting:
        index, above = waiting.pop()
        node = document.item("nodes", index)
        if index in visited:
            raise GltfError(f"nodes[{index}] hangs under two nodes, or under itself")
        visited.add(index)
        if (extension(node, "KHR_node_visibility") or {}).get("visible") is False:
            continue
        matrix = above @ node_matrix(node)
        if "mesh" in node:
            found.append(Pose(node, matrix @ _instances(document, node)))
        waiting += [(child, matrix) for child in reversed(entries(node, "children"))]
    return found


def _roots(document: Document) -> list[Any]:
    nodes = range(len(entries(document.content, "nodes")))
    children = {
        child
        for index in nodes
        for child in entries(document.item("nodes", index), "children")
        if isinstance(child, int)
    }
    if entries(document.content, "scenes"):
        named = dict.fromkeys(entries(document.item("scenes", document.content.get("scene", 0)), "nodes"))
        # One that is somebody's child too is drawn once, there.
        return (
            [root for root in named if root not in children]
            if children.isdisjoint(named)
            else _topmost(document, list(named))
        )
    return [index for index in nodes if index not in children] or list(nodes)[:1]


def _topmost(document: Document, named: list[Any]) -> list[Any]:
    """Those of the nodes that are not below others of them."""
    below: set[Any] = set()
    waiting = [child for root in named for child in entries(document.item("nodes", root), "children")]
    while waiting:
        index = waiting.pop()
        if index not in below:
            below.add(index)
            waiting += entries(document.item("nodes", index), "children")
    return [root for root in named if root not in below] or named[:1]


def node_matrix(node: dict[str, Any]) -> Floats:
    """(4, 4) the node's own transform."""
    if "matrix" in node:
        return numbers(node["matrix"], 16, "a node's matrix").reshape(4, 4).T
    rotation = numbers(node.get("rotation", [0, 0, 0, 1]), 4, "a node's rotation")
    scale = numbers(node.get("scale", [1, 1, 1]), 3, "a node's scale")
    translation = numbers(node.get("translation", [0, 0, 0]), 3, "a node's translation")
    return _placed(translation[None], rotation[None], scale[None])[0]


def _placed(translation: Floats, rotation: Floats, scale: Floats) -> Floats:
    """(K, 4, 4) of translations (K, 3), unit quaternions (K, 4) and scales (K, 3)."""
    length = np.linalg.norm(rotation, axis=1, keepdims=True)
    x, y, z, w = (rotation / np.where(length > 0, length, 1)).T
    columns = [
        [1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)],
        [2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)],
        [2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrices = np.zeros((len(x), 4, 4))
    for axis, column in enumerate(columns):
        matrices[:, :3, axis] = np.stack(column, axis=-1) * scale[:, axis : axis + 1]
    matrices[:, :3, 3], matrices[:, 3, 3] = translation, 1
    return matrices


def _instances(document: Document, node: dict[str, Any]) -> Floats:
    """(K, 4, 4) the copies of a node's mesh (EXT_mesh_gpu_instancing); one that stays where it is without."""
    entry = extension(node, INSTANCING)
    if entry is None:
        return np.eye(4)[None]
    attributes = members(entry, "attributes")
    known = {"TRANSLATION": [0.0, 0, 0], "ROTATION": [0.0, 0, 0, 1], "SCALE": [1.0, 1, 1]}
    found = {name: document.accessor(attributes[name]) for name in known if name in attributes}
    if not found:
        return np.eye(4)[None]
    count = len(next(iter(found.values())))
    if count > _MOST_INSTANCES or any(len(values) != count for values in found.values()):
        raise GltfError("a node's instances are too many, or do not belong together")
    parts = []
    for name, usual in known.items():
        values = found[name].at(np.arange(count)) if name in found else np.tile(usual, (count, 1))
        if values.shape[1] != len(usual):
            raise GltfError(f"instances have a {name} of {values.shape[1]} numbers")
        parts.append(values)
    return _placed(*parts)


def morph_weights(document: Document, node: dict[str, Any]) -> list[float]:
    """How much of each morph target a node's mesh shows: the node's own weights, else the mesh's."""
    weights = node.get("weights", document.item("meshes", node.get("mesh")).get("weights", []))
    if not isinstance(weights, list):
        raise GltfError("weights are not a list")
    return [number(weight, "a weight") for weight in weights]


@dataclass(frozen=True)
class Skins:
    """The joints of a document's skins, where the file poses them.

    Attributes:
        document: with the skins.
        world: (4, 4) of each node, by number.
    """

    document: Document
    world: dict[int, Floats]

    def matrices(self, skin: Any) -> Floats:
        """(J, 4, 4) from the pose in which a mesh was bound to where its joints are."""
        entry = self.document.item("skins", skin)
        joints = entries(entry, "joints")
        if not joints or any(joint not in self.world for joint in joints if isinstance(joint, int)):
            raise GltfError(f"skins[{skin}] names joints that do not exist")
        world = np.stack([self.world[joint] for joint in joints])
        if "inverseBindMatrices" not in entry:
            return world
        values = self.document.accessor(entry["inverseBindMatrices"])
        if len(values) < len(joints) or values.stored.shape[1] != 16:
            raise GltfError(f"skins[{skin}] has too few matrices")
        bound = values.at(np.arange(len(joints))).reshape(-1, 4, 4).transpose(0, 2, 1)
        return world @ bound


def world_matrices(document: Document) -> dict[int, Floats]:
    """(4, 4) of every node; of those in a loop, of what can be reached."""
    nodes = [document.item("nodes", index) for index in range(len(entries(document.content, "nodes")))]
    above = {
        child: index
        for index, node in enumerate(nodes)
        for child in entries(node, "children")
        if isinstance(child, int)
    }
    world: dict[int, Floats] = {}
    for index in range(len(nodes)):
        chain, here, seen = [], index, set()
        while here not in world and here not in seen and 0 <= here < len(nodes):
            seen.add(here)
            chain.append(here)
            here = above.get(here, -1)
        matrix = world.get(here, np.eye(4))
        for link in reversed(chain):
            matrix = matrix @ node_matrix(nodes[link])
            world[link] = matrix
    return world


def blended(document: Document, attributes: dict[str, Any], matrices: Floats, rows: Integers) -> Floats:
    """(len(rows), 4, 4) the blend of joint matrices (J, 4, 4) at each of a primitive's vertices."""
    total, weight_of = np.zeros((len(rows), 4, 4)), np.zeros(len(rows))
    for suffix in range(8):
        if f"JOINTS_{suffix}" not in attributes or f"WEIGHTS_{suffix}" not in attributes:
            break
        joints = document.accessor(part(attributes, f"JOINTS_{suffix}"))
        weights = document.accessor(part(attributes, f"WEIGHTS_{suffix}"))
        shapes = (joints.stored.shape[1:], weights.stored.shape[1:])
        if shapes != ((4,), (4,)) or min(len(joints), len(weights)) <= int(rows.max(initial=-1)):
            raise GltfError("joints or weights have another shape than their mesh")
        joint, weight = joints.stored[rows].astype(np.int64), weights.at(rows)
        if joint.min(initial=0) < 0 or joint.max(initial=0) >= len(matrices):
            raise GltfError("a vertex names a joint that does not exist")
        for column in range(4):
            total += weight[:, column, None, None] * matrices[joint[:, column]]
        weight_of += weight.sum(axis=1)
    return np.where(
        (weight_of > 0)[:, None, None], total / np.where(weight_of > 0, weight_of, 1)[:, None, None], np.eye(4)
    )
