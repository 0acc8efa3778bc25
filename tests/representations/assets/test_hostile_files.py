"""Files that somebody made to do harm, or that a program spoiled: one clear line, in time and memory that fit them."""

import base64
import json
import os
import re
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pictures

from representations.assets import reading, textures
from representations.assets.asset import Asset
from representations.assets.inspection import inspect_asset
from representations.assets.reading import MeshFileError, load_mesh, read_mesh_file
from representations.assets.textures import png_bytes
from representations.geometry.hard_edges import hard_edged_normals
from representations.geometry.mesh import Mesh
from tests.representations.shapes import unit_square

CORNERS = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)


def gltf(changes: dict[str, Any]) -> dict[str, Any]:
    """A .gltf of one textured triangle, its data within."""
    uri = "data:application/octet-stream;base64," + base64.b64encode(CORNERS).decode()
    picture = "data:image/png;base64," + base64.b64encode(png_bytes(np.full((2, 2, 3), 9, np.uint8))).decode()
    return {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}],
        "images": [{"uri": picture}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 3}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [{"byteLength": 36, "uri": uri}],
    } | changes


def written(tmp_path: Path, name: str, content: bytes | str) -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


NODES = [
    {"mesh": 0, "rotation": [0, 0, 1]}, {"mesh": 0, "rotation": [[0], 0, 0, 1]}, {"mesh": 0, "scale": [1, 1, "1"]},
    {"mesh": 0, "translation": [1, 2, 10**400]}, {"mesh": 0, "translation": {"x": 1}}, {"mesh": 0, "matrix": [[1, 2]]},
    {"mesh": 0, "matrix": "sixteen"}, {"mesh": True}, {"mesh": "0"}, {"mesh": 0, "children": 5},
    {"mesh": 0, "children": [0]}, {"mesh": 0, "weights": "all", "skin": 3}, {"mesh": 0, "skin": "0"},
    {"mesh": 0, "extensions": {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": 9}}}},
    {"mesh": 0, "extensions": [1]},
]  # fmt: skip
MATERIALS = [
    {"pbrMetallicRoughness": {"baseColorFactor": [1, 1]}}, {"pbrMetallicRoughness": {"roughnessFactor": "rough"}},
    {"pbrMetallicRoughness": 7}, {"emissiveFactor": [1, None, 0]}, {"alphaMode": 3}, {"alphaMode": "GLASS"},
    {"alphaCutoff": []}, {"normalTexture": 4}, {"normalTexture": {"index": 5}},
    {"normalTexture": {"index": 0, "scale": "big"}}, {"extensions": {"KHR_materials_emissive_strength": 4}},
    {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0, "texCoord": -1}}},
    {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0, "extensions": {"KHR_texture_transform": {"scale": 2}}}}},
    {"extensions": {"KHR_materials_pbrSpecularGlossiness": {"diffuseFactor": [1, 1]}}},
]  # fmt: skip
OTHERS = [
    {"accessors": [{"bufferView": 0, "componentType": 5126, "type": "VEC2", "count": 3}]},
    {"accessors": [{"bufferView": 0, "componentType": "5126", "type": "VEC3", "count": 3}]},
    {"accessors": [{"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 3.5}]},
    {"accessors": [{"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 0, "byteOffset": 10**6}]},
    {"bufferViews": [{"buffer": 0, "byteLength": 36, "byteStride": 5}]},
    {"bufferViews": [{"buffer": 0, "byteLength": 36, "byteOffset": 10**30}]},
    {"bufferViews": [{"buffer": 0, "byteLength": 36, "extensions": {"EXT_meshopt_compression": {"count": 10**9}}}]},
    {"buffers": [{"byteLength": 36, "uri": "data:;base64,é"}]}, {"buffers": [{"byteLength": 36, "uri": 5}]},
    {"images": [{"uri": "data:image/png;base64,é"}]},
    {"samplers": [{"wrapS": 5}], "textures": [{"sampler": 0, "source": 0}]},
    {"extensionsRequired": ["ACME_blobs"]}, {"extensionsRequired": {"a": 1}},
    {"asset": {"version": "1.0"}}, {"asset": 3},
    {"meshes": [{"primitives": [3]}]}, {"meshes": [{"primitives": {"a": 1}}]}, {"scenes": [{"nodes": [7]}]},
    {"scenes": "all"}, {"nodes": [{"children": [1]}, {"children": [0], "mesh": 0}], "scenes": [{"nodes": [0]}]},
]  # fmt: skip
CHANGES = [{"nodes": [node]} for node in NODES] + [{"materials": [one]} for one in MATERIALS] + OTHERS


@pytest.mark.parametrize("changes", CHANGES, ids=lambda changes: json.dumps(changes)[:60])
def test_numbers_of_the_wrong_kind_are_refused_in_one_line(tmp_path: Path, changes: dict[str, Any]):
    path = written(tmp_path, "odd.gltf", json.dumps(gltf(changes)))
    with pytest.raises(MeshFileError) as refusal:
        load_mesh(path)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1" * 5000])
def test_what_json_has_not(tmp_path: Path, word: str):
    text = json.dumps(gltf({"nodes": [{"mesh": 0, "translation": [0, 0, 77777]}]})).replace("77777", word)
    with pytest.raises(MeshFileError):
        load_mesh(written(tmp_path, "odd.gltf", text))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-300, 1e17, 1e19, 1e300])
def test_sizes_beyond_all_measure(tmp_path: Path, scale: float):
    """Small ones are judged as they are; too large ones are refused before anything of theirs is infinite."""
    path = written(tmp_path, "odd.gltf", json.dumps(gltf({"nodes": [{"mesh": 0, "scale": [scale] * 3}]})))
    if scale > reading.FARTHEST:
        with pytest.raises(MeshFileError, match="coordinate"):
            read_mesh_file(path)
    else:
        assert inspect_asset(read_mesh_file(path).asset)


def test_what_is_no_ordinary_file(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.glb")
    (tmp_path / "zero.glb").symlink_to("/dev/zero")
    for name in ("pipe.glb", "zero.glb"):
        with pytest.raises(MeshFileError, match="no ordinary file"):
            load_mesh(tmp_path / name)
    os.mkfifo(tmp_path / "pipe.png")
    written(tmp_path, "m.mtl", "newmtl a\nmap_Kd pipe.png\n")
    text = "mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nusemtl a\nf 1/1 2/1 3/1\n"
    assert "pipe.png" in read_mesh_file(written(tmp_path, "m.obj", text)).notes[0]


def test_one_picture_under_many_names_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    decoded = []
    original = textures.decoded_image
    monkeypatch.setattr(textures, "decoded_image", lambda content: decoded.append(1) or original(content))
    picture = gltf({})["images"][0]
    maps = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": number}}} for number in range(30)]
    primitives = [{"attributes": {"POSITION": 0, "TEXCOORD_0": 0}, "material": number} for number in range(30)]
    changes = {"images": [picture] * 30, "textures": [{"source": number} for number in range(30)], "materials": maps,
               "meshes": [{"primitives": primitives}]}  # fmt: skip
    assert len(load_mesh(written(tmp_path, "many.gltf", json.dumps(gltf(changes)))).materials) == 1
    assert len(decoded) == 1
    monkeypatch.setattr(textures, "MOST_PIXELS_TOGETHER", 3)
    with pytest.raises(MeshFileError, match="pixels together"):
        load_mesh(tmp_path / "many.gltf")


def test_zeros_that_are_not_in_the_file(tmp_path: Path):
    empty = {"componentType": 5126, "type": "VEC3", "count": 1_100_000}
    changes = {
        "accessors": [empty] * 20,
        "meshes": [{"primitives": [{"attributes": {"POSITION": number}} for number in range(20)]}],
    }
    tracemalloc.start()
    try:
        with pytest.raises(MeshFileError):
            load_mesh(written(tmp_path, "zeros.gltf", json.dumps(gltf(changes))))
        assert tracemalloc.get_traced_memory()[1] < 2**30
    finally:
        tracemalloc.stop()


def test_limits_are_not_passed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading, "MOST_FACES", 50)
    ring = "".join(f"v {np.cos(angle)} {np.sin(angle)} 0\n" for angle in np.linspace(0, 6.2, 100))
    refused = {
        "blank.obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\n" + "  f 1 2 3\n" * 60,
        "one.obj": ring + "f " + " ".join(map(str, range(1, 101))),
        "comment.ply": "ply\nformat ascii 1.0\ncomment element face 1\nelement vertex 3\nproperty float x\n"
        "property float y\nproperty float z\nelement face 60\nproperty list uchar int vertex_indices\nend_header\n"
        "0 0 0\n1 0 0\n0 1 0\n" + "3 0 1 2\n" * 60,
    }
    for name, text in refused.items():
        with pytest.raises(MeshFileError, match="at most 50"):
            load_mesh(written(tmp_path, name, text))


def test_more_materials_than_anybody_has(tmp_path: Path):
    text = "v 0 0 0\nv 1 0 0\nv 0 1 0\n" + "".join(f"usemtl m{number}\nf 1 2 3\n" for number in range(10_001))
    with pytest.raises(MeshFileError, match="10,000 materials"):
        load_mesh(written(tmp_path, "many.obj", text))


def test_faces_that_all_cover_the_texture_are_inspected_soon():
    square = unit_square()
    many = Mesh(square.mesh.vertices, np.tile(square.mesh.faces, (25_000, 1)))
    started = time.process_time()
    found = inspect_asset(Asset(many, np.tile(square.uv, (25_000, 1, 1))))
    assert time.process_time() - started < 20
    (shared,) = [finding.value for finding in found if finding.name == "UVs"]
    assert float(re.search(r"([\d.]+)% shared", shared)[1]) > 80  # on a coarse grid, whose diagonal is nobody's


def test_a_fan_of_many_faces_takes_memory_in_proportion():
    count = 16_000
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    rim = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], axis=-1)
    here, there = np.arange(count), np.roll(np.arange(count), -1)
    middle = np.full(count, count)
    mesh = Mesh(
        np.concatenate([rim, [[0, 0, 0], [0, 1, 0]]]),
        np.concatenate([np.stack([here, there, middle], -1), np.stack([there, here, middle + 1], -1)]),
    )
    tracemalloc.start()
    try:
        normals = hard_edged_normals(mesh)
        assert tracemalloc.get_traced_memory()[1] < 2**28
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(normals[:count], np.tile([0.0, -1, 0], (count, 3, 1)), atol=1e-9)


def test_a_ply_that_names_a_texture(tmp_path: Path):
    Pictures.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "t.png")
    text = (
        "ply\nformat ascii 1.0\ncomment TextureFile {}\nelement vertex 3\nproperty float x\nproperty float y\n"
        "property float z\nproperty float s\nproperty float t\nelement face 1\n"
        "property list uchar int vertex_indices\nend_header\n0 0 0 0 0\n1 0 0 1 0\n0 1 0 0 1\n3 0 1 2\n"
    )
    assert load_mesh(written(tmp_path, "a.ply", text.format("t.png"))).material.base_colour[0, 0].tolist() == [
        255,
        0,
        0,
    ]
    assert "not beside it" in read_mesh_file(written(tmp_path, "b.ply", text.format("no.png"))).notes[0]
