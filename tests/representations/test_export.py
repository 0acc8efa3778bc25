import json
import struct

import numpy as np
import pytest
import trimesh

from representations.export import write_mesh
from representations.asset import Asset
from representations.colour_space import srgb_to_linear
from representations.gltf import glb_bytes
from representations.mesh import Mesh, MeshError


def coloured_box() -> Mesh:
    box = trimesh.creation.box(extents=(0.8, 1.0, 0.6))
    vertices = np.asarray(box.vertices) + np.array([0.0, 0.5, 0.0])
    return Mesh(vertices, np.asarray(box.faces), vertices - vertices.min(axis=0))


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply", ".stl"])
def test_files_read_back_as_the_same_shape(tmp_path, suffix):
    mesh = coloured_box()
    path = write_mesh(mesh, tmp_path / f"box{suffix}")
    read = trimesh.load_mesh(path)
    np.testing.assert_allclose(read.bounds, [[-0.4, 0.0, -0.3], [0.4, 1.0, 0.3]], atol=1e-6)
    assert read.volume == pytest.approx(0.48, rel=1e-5)
    assert len(read.faces) == 12
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_colours_read_back(tmp_path, suffix):
    mesh = coloured_box()
    read = trimesh.load_mesh(write_mesh(mesh, tmp_path / f"box{suffix}"), process=False)
    np.testing.assert_allclose(read.visual.vertex_colors[:, :3] / 255, mesh.colours, atol=0.6 / 255)


def test_glb_colours_are_linear_with_sixteen_bits(tmp_path):
    mesh = coloured_box()
    dark = Mesh(mesh.vertices, mesh.faces, mesh.colours * 0.05)
    content = write_mesh(dark, tmp_path / "box.glb").read_bytes()
    length = struct.unpack_from("<I", content, 12)[0]
    document = json.loads(content[20 : 20 + length])
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    assert (accessor["componentType"], accessor["normalized"], accessor["type"]) == (5123, True, "VEC4")
    start = 28 + length + document["bufferViews"][accessor["bufferView"]]["byteOffset"]
    stored = np.frombuffer(content, "<u2", count=8 * 4, offset=start).reshape(8, 4) / 65535
    np.testing.assert_allclose(stored[:, :3], srgb_to_linear(dark.colours), atol=1e-5)
    assert (stored[:, 3] == 1).all()


def test_glb_is_well_formed():
    content = glb_bytes(Asset(coloured_box()))
    magic, version, total = struct.unpack_from("<4sII", content)
    assert (magic, version, total) == (b"glTF", 2, len(content))
    length = struct.unpack_from("<I", content, 12)[0]
    document = json.loads(content[20 : 20 + length])
    assert document["buffers"][0]["byteLength"] == struct.unpack_from("<I", content, 20 + length)[0]
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= document["buffers"][0]["byteLength"]
    assert document["accessors"][0]["min"] == pytest.approx([-0.4, 0.0, -0.3])


def test_srgb_curve():
    np.testing.assert_allclose(
        srgb_to_linear(np.array([0.0, 0.04045, 0.5, 1.0])), [0, 0.0031308, 0.2140411, 1], atol=1e-7
    )


def test_a_bad_mesh_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "good.glb"
    path.write_bytes(b"good")
    mesh = coloured_box()
    inside_out = Mesh(mesh.vertices, mesh.faces[:, ::-1])
    broken = Mesh(mesh.vertices * np.nan, mesh.faces)
    empty = Mesh(mesh.vertices, mesh.faces[:0])
    for unfit, why in [(inside_out, "inwards"), (broken, "finite"), (empty, "no faces")]:
        with pytest.raises(MeshError, match=why):
            write_mesh(unfit, path)
    assert path.read_bytes() == b"good"


def test_a_failing_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "good.ply"
    path.write_bytes(b"good")
    monkeypatch.setattr("representations.export.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_mesh(coloured_box(), path)
    assert path.read_bytes() == b"good"
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_formats_and_missing_folders_are_named(tmp_path):
    with pytest.raises(MeshError, match=r"\.glb, \.obj, \.ply, \.stl"):
        write_mesh(coloured_box(), tmp_path / "box.fbx")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_mesh(coloured_box(), tmp_path / "nowhere" / "box.glb")
