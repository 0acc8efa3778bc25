"""glTF as the specification says: coordinates, samplers, poses and compression, each in a file of one feature."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from representations.assets.asset import Asset, Material, Sampling
from representations.assets.colour_space import srgb_to_linear
from representations.assets.formats.gltf_writing import glb_bytes
from representations.assets.reading import MeshFileError, load_mesh, read_mesh_file
from representations.assets.textures import png_bytes
from tests.representations.shapes import ball

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], "<f4")
COMPONENTS = {"b": 5120, "B": 5121, "h": 5122, "H": 5123, "I": 5125, "f": 5126}
KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


class File:
    """A GLB of one square in the plane z = 0, to which arrays and entries are added."""

    def __init__(self) -> None:
        self.binary = bytearray()
        self.document: dict[str, Any] = {
            "asset": {"version": "2.0"}, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}], "bufferViews": [],
            "accessors": [], "materials": [{}], "meshes": [{"primitives": [{"attributes": {}, "material": 0}]}],
        }  # fmt: skip
        self.primitive["attributes"]["POSITION"] = self.add(SQUARE)
        self.primitive["indices"] = self.add(np.array([0, 1, 2, 0, 2, 3], "<u2"))

    @property
    def primitive(self) -> dict[str, Any]:
        return self.document["meshes"][0]["primitives"][0]

    def view(self, content: bytes, **more: Any) -> int:
        self.document["bufferViews"].append(
            {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(content), **more}
        )
        self.binary += content + b"\0" * (-len(content) % 4)
        return len(self.document["bufferViews"]) - 1

    def add(self, values: np.ndarray, **more: Any) -> int:
        width = values.shape[1] if values.ndim > 1 else 1
        self.document["accessors"].append(
            {"bufferView": self.view(values.tobytes()), "componentType": COMPONENTS[values.dtype.char], "count":
             len(values), "type": KINDS[width], **more}
        )  # fmt: skip
        return len(self.document["accessors"]) - 1

    def textures(self, count: int = 1) -> None:
        picture = np.random.default_rng(0).integers(0, 255, (4, 4, 3)).astype(np.uint8)
        self.document["images"] = [{"bufferView": self.view(png_bytes(picture)), "mimeType": "image/png"}]
        self.document["textures"] = [{"source": 0}] * count

    def load(self, tmp_path: Path) -> Asset:
        return load_mesh(self.write(tmp_path))

    def write(self, tmp_path: Path) -> Path:
        self.document["buffers"] = [{"byteLength": len(self.binary)}]
        text = json.dumps(self.document).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
        chunks += struct.pack("<II", len(self.binary), 0x004E4942) + bytes(self.binary)
        path = tmp_path / "file.glb"
        path.write_bytes(struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks)
        return path


def base(reference: dict[str, Any]) -> dict[str, Any]:
    return {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0, **reference}}}


UV = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], "<f4")


def test_the_specifications_own_example_of_a_turned_texture(tmp_path: Path):
    """KHR_texture_transform: "utilizes only the lower left quadrant of the source image, rotated clockwise 90"."""
    file = File()
    file.textures()
    file.primitive["attributes"]["TEXCOORD_0"] = file.add(UV)
    transform = {"offset": [0, 1], "rotation": math.pi / 2, "scale": [0.5, 0.5]}
    file.document["materials"] = [base({"extensions": {"KHR_texture_transform": transform}})]
    uv = file.load(tmp_path).uv.reshape(-1, 2)
    np.testing.assert_allclose([uv.min(axis=0), uv.max(axis=0)], [[0, 0], [0.5, 0.5]], atol=1e-6)


def test_maps_with_coordinates_of_their_own_keep_them(tmp_path: Path):
    file = File()
    file.textures(3)
    file.primitive["attributes"] |= {"TEXCOORD_0": file.add(UV), "TEXCOORD_1": file.add(UV / 2)}
    material = base({"texCoord": 1})
    material["normalTexture"] = {"index": 1, "extensions": {"KHR_texture_transform": {"scale": [3, 4], "texCoord": 0}}}
    material["emissiveTexture"], material["emissiveFactor"] = {"index": 2}, [1, 1, 1]
    file.document["materials"] = [material]
    first = file.load(tmp_path)
    (tmp_path / "again.glb").write_bytes(glb_bytes(first))
    for asset in (first, load_mesh(tmp_path / "again.glb")):
        extents = {
            name: np.ptp(asset.uv_sets[asset.material.sampling(name).uv_set].reshape(-1, 2), axis=0).tolist()
            for name in asset.material.maps
        }
        assert extents == {"base_colour": [0.5, 0.5], "normal": [3, 4], "emission": [1, 1]}


@pytest.mark.parametrize(("number", "wrap"), [(10497, "repeat"), (33071, "clamp"), (33648, "mirror")])
def test_wrapping(tmp_path: Path, number: int, wrap: str):
    file = File()
    file.textures()
    file.primitive["attributes"]["TEXCOORD_0"] = file.add(UV)
    file.document |= {"samplers": [{"wrapS": number, "minFilter": 9984}], "materials": [base({})]}
    file.document["textures"] = [{"source": 0, "sampler": 0}]
    first = file.load(tmp_path)
    assert first.material.sampling("base_colour") == Sampling((wrap, "repeat"), None, 9984, 0)
    (tmp_path / "again.glb").write_bytes(glb_bytes(first))
    assert load_mesh(tmp_path / "again.glb").material.samplings == first.material.samplings


def test_quantised_positions_and_interleaved_colours(tmp_path: Path):
    file = File()
    stored = np.round(SQUARE * 127).astype("b")
    file.document["accessors"].append({"bufferView": file.view(
        np.concatenate([stored, np.zeros((4, 1), "b")], axis=1).tobytes(), byteStride=4), "componentType": 5120,
        "count": 4, "type": "VEC3", "normalized": True})  # fmt: skip
    file.primitive["attributes"]["POSITION"] = len(file.document["accessors"]) - 1
    light = np.array([[255, 0, 0, 255]] * 2 + [[0, 255, 0, 128]] * 2, "B")
    file.primitive["attributes"]["COLOR_0"] = file.add(light, normalized=True)
    file.document |= {"extensionsRequired": ["KHR_mesh_quantization"], "materials": [{"alphaMode": "BLEND"}]}
    asset = file.load(tmp_path)
    np.testing.assert_allclose(np.ptp(asset.mesh.vertices, axis=0), [1, 1, 0])
    (tmp_path / "again.glb").write_bytes(glb_bytes(asset))
    again = load_mesh(tmp_path / "again.glb")
    np.testing.assert_allclose(np.sort(again.corner_colours.ravel()), np.sort(asset.corner_colours.ravel()), atol=1e-5)
    assert set(np.round(again.corner_colours[..., 3].ravel(), 2)) == {1.0, 0.5}


def test_node_weights_come_before_the_meshs_and_sparse_targets_move(tmp_path: Path):
    file = File()
    moved = file.add(np.array([[0, 0, 2.0]], "<f4"))
    where = file.add(np.array([3], "<u2"))
    views = [file.document["accessors"][number]["bufferView"] for number in (where, moved)]
    file.document["accessors"].append({"componentType": 5126, "count": 4, "type": "VEC3", "sparse": {"count": 1,
        "indices": {"bufferView": views[0], "componentType": 5123}, "values": {"bufferView": views[1]}}})  # fmt: skip
    file.primitive["targets"] = [{"POSITION": len(file.document["accessors"]) - 1}]
    file.document["meshes"][0]["weights"] = [1.0]
    file.document["nodes"] = [{"mesh": 0, "weights": [0.25]}]
    np.testing.assert_allclose(file.load(tmp_path).mesh.vertices[:, 2].max(), 0.5)


def test_a_skin_of_two_joints_blends_and_ignores_its_node(tmp_path: Path):
    file = File()
    file.primitive["attributes"]["JOINTS_0"] = file.add(np.array([[0, 1, 0, 0]] * 4, "B"))
    weights = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 1, 0, 0]], "<f4")
    file.primitive["attributes"]["WEIGHTS_0"] = file.add(weights)
    bind = np.eye(4, dtype="<f4")
    bind[3, :3] = [0, 0, 1]  # column by column: a translation
    file.document["skins"] = [
        {"joints": [1, 2], "inverseBindMatrices": file.add(np.stack([bind, bind]).reshape(2, 16))}
    ]
    file.document["nodes"] = [
        {"mesh": 0, "skin": 0, "translation": [99, 0, 0]},
        {"translation": [0, 0, -1], "children": [2]},
        {"translation": [0, 8, 0]},
    ]
    file.document["scenes"] = [{"nodes": [0, 1]}]
    places = file.load(tmp_path).mesh.vertices
    expected = [[0, 0, 0], [1, 0, 0], [1, 5, 0], [0, 9, 0]]
    np.testing.assert_allclose(sorted(places.tolist()), sorted(expected), atol=1e-6)


def test_instances_turn_scale_and_mirror(tmp_path: Path):
    file = File()
    attributes = {
        "TRANSLATION": file.add(np.array([[0, 0, 0], [5, 0, 0]], "<f4")),
        "SCALE": file.add(np.array([[1, 1, 1], [-2, 2, 2]], "<f4")),
    }
    extension = {"EXT_mesh_gpu_instancing": {"attributes": attributes}}
    file.document["nodes"] = [{"mesh": 0, "extensions": extension}]
    mesh = file.load(tmp_path).mesh
    assert (len(mesh.faces), mesh.areas.sum()) == (4, pytest.approx(5.0))
    assert (mesh.face_normals[:, 2] > 0).all()


def test_hidden_nodes_and_lines_are_left_out(tmp_path: Path):
    file = File()
    hidden = {"mesh": 0, "translation": [9, 0, 0], "extensions": {"KHR_node_visibility": {"visible": False}}}
    file.document["nodes"] = [{"mesh": 0}, hidden]
    file.document["scenes"] = [{"nodes": [0, 1]}]
    file.document["meshes"][0]["primitives"].append({**file.primitive, "mode": 1})
    read = read_mesh_file(file.write(tmp_path))
    assert len(read.asset.mesh.faces) == 2
    assert "points and lines are not kept" in read.notes


def test_a_metal_of_the_old_model(tmp_path: Path):
    file = File()
    gold = {"diffuseFactor": [0, 0, 0, 1], "specularFactor": [1.0, 0.77, 0.34], "glossinessFactor": 0.6}
    file.document["materials"] = [{"extensions": {"KHR_materials_pbrSpecularGlossiness": gold}}]
    material = file.load(tmp_path).material
    assert material.metallic == pytest.approx(1.0)
    assert material.roughness == pytest.approx(0.4)
    np.testing.assert_allclose(material.base_factor, [1.0, 0.77, 0.34, 1], atol=1e-6)


def test_finishes_that_are_lost_are_said(tmp_path: Path):
    file = File()
    file.document["materials"] = [{"extensions": {"KHR_materials_clearcoat": {"clearcoatFactor": 1}}}]
    file.document["animations"] = [{"channels": [], "samplers": []}]
    notes = " ".join(read_mesh_file(file.write(tmp_path)).notes)
    assert "KHR_materials_clearcoat is not kept" in notes
    assert "animations are not kept" in notes


def test_strong_light_and_unlit_materials_are_written(tmp_path: Path):
    material = Material(emission_factor=(4.0, 2.0, 0.0), unlit=True, two_sided=True, name="lamp")
    (tmp_path / "a.glb").write_bytes(glb_bytes(Asset(ball(1), material=material)))
    read = load_mesh(tmp_path / "a.glb").material
    assert (read.emission_factor, read.unlit, read.two_sided, read.name) == ((4.0, 2.0, 0.0), True, True, "lamp")


def test_draco(tmp_path: Path):
    draco = pytest.importorskip("DracoPy")
    mesh = ball(2)
    colours = np.tile(np.array([[255, 0, 128]], np.uint8), (len(mesh.vertices), 1))
    content = draco.encode(mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32), quantization_bits=16,
                           colors=colours)  # fmt: skip
    decoded = {attribute["attribute_type"]: attribute["unique_id"] for attribute in draco.decode(content).attributes}
    file = File()
    names = {"POSITION": decoded[0], "COLOR_0": decoded[2]}
    count = len(mesh.vertices)
    file.document["accessors"] = [
        {"componentType": 5126, "count": count, "type": "VEC3"},
        {"componentType": 5121, "count": count, "type": "VEC3", "normalized": True},
        {"componentType": 5125, "count": 3 * len(mesh.faces), "type": "SCALAR"},
    ]
    compressed = {"bufferView": file.view(content), "attributes": names}
    file.document["meshes"] = [{"primitives": [{"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2,
        "extensions": {"KHR_draco_mesh_compression": compressed}}]}]  # fmt: skip
    file.document["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    asset = file.load(tmp_path)
    assert asset.mesh.is_watertight
    assert asset.mesh.volume == pytest.approx(mesh.volume, rel=1e-3)
    np.testing.assert_allclose(srgb_to_linear(asset.mesh.colours[0]), [1, 0, 128 / 255], atol=1e-6)
    file.binary[: len(content)] = b"\x07" * len(content)
    with pytest.raises(MeshFileError, match="Draco"):
        file.load(tmp_path)


def test_meshopt(tmp_path: Path):
    meshopt = pytest.importorskip("meshoptimizer")
    mesh = ball(2)
    positions = mesh.vertices.astype(np.float32)
    vertices = meshopt.encode_vertex_buffer(positions, len(positions), 12)
    indices = meshopt.encode_index_buffer(mesh.faces.astype(np.uint32).reshape(-1), 3 * len(mesh.faces), len(positions))
    file = File()
    views = []
    for content, mode, count, stride in (
        (bytes(vertices), "ATTRIBUTES", len(positions), 12),
        (bytes(indices), "TRIANGLES", 3 * len(mesh.faces), 4),
    ):
        number = file.view(content)
        view = file.document["bufferViews"][number]
        extension = {"buffer": 0, "byteOffset": view["byteOffset"], "byteLength": len(content), "byteStride": stride,
                     "count": count, "mode": mode}  # fmt: skip
        view |= {"byteLength": count * stride, "extensions": {"EXT_meshopt_compression": extension}}
        views.append(number)
    file.document["bufferViews"][views[0]]["byteStride"] = 12
    file.document["accessors"] = [
        {"bufferView": views[0], "componentType": 5126, "count": len(positions), "type": "VEC3"},
        {"bufferView": views[1], "componentType": 5125, "count": 3 * len(mesh.faces), "type": "SCALAR"},
    ]
    file.document["meshes"] = [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}]
    file.document["extensionsRequired"] = ["EXT_meshopt_compression"]
    asset = file.load(tmp_path)
    assert asset.mesh.is_watertight
    assert asset.mesh.volume == pytest.approx(mesh.volume, rel=1e-6)
