import json
import resource
import struct
import sys
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from representations.assets.asset import Asset, Material
from representations.assets.colour_space import srgb_to_linear
from representations.assets.finishing import textured
from representations.assets.formats.gltf_writing import glb_bytes
from representations.assets.formats.usd_writing import UsdUnavailableError
from representations.assets.textures import decoded_image
from representations.assets.writing import Convention, write_asset, write_mesh
from representations.geometry.mesh import Mesh, MeshError
from tests.representations.shapes import unit_square


def coloured_box() -> Mesh:
    box = trimesh.creation.box(extents=(0.8, 1.0, 0.6))
    vertices = np.asarray(box.vertices) + np.array([0.0, 0.5, 0.0])
    return Mesh(vertices, np.asarray(box.faces), vertices - vertices.min(axis=0))


def parts(content: bytes) -> tuple[dict, bytes]:
    """The JSON and the binary chunk of a GLB."""
    length = struct.unpack_from("<I", content, 12)[0]
    return json.loads(content[20 : 20 + length]), content[28 + length :]


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply"])
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


def test_files_say_what_they_are_and_where_they_come_from(tmp_path):
    about = {"prompt": "a red\nbox", "seed": 7}
    asset = Asset(coloured_box(), name="a red box", about=about)
    write_asset(asset, tmp_path / "mesh.glb")
    document, _ = parts((tmp_path / "mesh.glb").read_bytes())
    assert document["asset"]["extras"] == about
    assert [document[kind][0]["name"] for kind in ("nodes", "meshes")] == ["a red box"] * 2
    write_asset(asset, tmp_path / "mesh.obj")
    assert "prompt: a red box, seed: 7\n" in (tmp_path / "mesh.obj").read_text()
    write_asset(Asset(coloured_box()), tmp_path / "mesh.glb")
    document, _ = parts((tmp_path / "mesh.glb").read_bytes())
    assert "extras" not in document["asset"]
    assert document["nodes"][0]["name"] == "mesh"


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
    monkeypatch.setattr("representations.assets.writing.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_mesh(coloured_box(), path)
    assert path.read_bytes() == b"good"
    assert list(tmp_path.iterdir()) == [path]


def test_stl_is_in_millimetres_with_z_up_unless_told(tmp_path):
    asset = Asset(coloured_box())
    printed = trimesh.load_mesh(write_asset(asset, tmp_path / "box.stl")[0])
    np.testing.assert_allclose(printed.bounds, [[-400, -300, 0], [400, 300, 1000]], atol=1e-3)
    assert printed.volume == pytest.approx(0.48e9, rel=1e-5)
    metres = trimesh.load_mesh(write_asset(asset, tmp_path / "box.stl", Convention("m", "y"))[0])
    np.testing.assert_allclose(metres.bounds, [[-0.4, 0.0, -0.3], [0.4, 1.0, 0.3]], atol=1e-6)


@pytest.mark.parametrize(("units", "per_metre"), [("m", 1), ("cm", 100), ("mm", 1000)])
@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_units_and_axes(tmp_path, suffix, units, per_metre):
    asset = Asset(coloured_box())
    read = trimesh.load_mesh(write_asset(asset, tmp_path / f"box{suffix}", Convention(units, "z"))[0])
    np.testing.assert_allclose(read.bounds, np.array([[-0.4, -0.3, 0], [0.4, 0.3, 1]]) * per_metre, rtol=1e-5)
    assert read.volume > 0
    np.testing.assert_allclose((read.vertex_normals * read.vertices).sum(axis=1) > 0, True)


def test_glb_has_no_other_units_than_metres(tmp_path):
    for convention in (Convention("cm"), Convention(up="z")):
        with pytest.raises(MeshError, match="metres with \\+Y up"):
            write_asset(Asset(coloured_box()), tmp_path / "box.glb", convention)


def test_a_textured_glb_has_all_that_viewers_need(tmp_path):
    asset = textured(Asset(coloured_box()), resolution=32)
    document, binary = parts(write_asset(asset, tmp_path / "box.glb")[0].read_bytes())
    (primitive,) = document["meshes"][0]["primitives"]
    assert set(primitive["attributes"]) == {"POSITION", "NORMAL", "TEXCOORD_0", "TANGENT"}
    material = document["materials"][0]
    assert material["doubleSided"] is False
    assert {"baseColorTexture", "metallicFactor", "roughnessFactor"} == set(material["pbrMetallicRoughness"])
    assert material["normalTexture"] == {"index": 1}
    images = [document["bufferViews"][image["bufferView"]] for image in document["images"]]
    for view, expected in zip(images, (asset.material.base_colour, asset.material.normal), strict=True):
        content = binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        np.testing.assert_array_equal(decoded_image(content), expected)
    assert document["accessors"][primitive["indices"]]["componentType"] == 5123  # 16 bits are enough
    assert document["samplers"][0]["wrapS"] == 33071  # clamped: opposite borders have nothing to do with each other


def test_textures_that_repeat_still_do(tmp_path):
    square = unit_square(np.full((2, 2, 3), 9, dtype=np.uint8))
    document, _ = parts(write_asset(replace(square, uv=3 * square.uv), tmp_path / "tiles.glb")[0].read_bytes())
    assert (document["samplers"][0]["wrapS"], document["samplers"][0]["wrapT"]) == (10497, 10497)


def test_open_meshes_are_seen_from_both_sides(tmp_path):
    mesh = coloured_box().with_faces(np.arange(12) > 1)
    document, _ = parts(write_asset(Asset(mesh), tmp_path / "box.glb")[0].read_bytes())
    assert document["materials"][0]["doubleSided"] is True


def test_obj_comes_with_its_material(tmp_path):
    asset = textured(Asset(coloured_box()), resolution=32)
    written = write_asset(asset, tmp_path / "a box.obj")
    assert written[0] == tmp_path / "a box.obj"
    assert {path.name for path in tmp_path.iterdir()} == {
        "a box.obj",
        "a_box.mtl",
        "a_box_colour.png",
        "a_box_normal.png",
    }
    text = written[0].read_text()
    assert text.startswith("# scoresmith units: m, up: +Y\nmtllib a_box.mtl\n")
    assert sum(line.startswith("v ") for line in text.splitlines()) == 8  # no vertex is split
    material = (tmp_path / "a_box.mtl").read_text()
    assert "map_Kd a_box_colour.png\n" in material
    assert "norm a_box_normal.png\n" in material
    assert "Pr 0.9\n" in material


def test_usdz_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(UsdUnavailableError, match="pip install usd-core"):
        write_asset(Asset(coloured_box()), tmp_path / "box.usdz")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_no_usdz_is_an_error_of_the_system(tmp_path):
    pytest.importorskip("pxr", reason="needs usd-core")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        with pytest.raises(OSError, match="could not write"):
            write_asset(Asset(coloured_box()), tmp_path / "box.usdz")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_files_beside_each_other_are_replaced_together_or_not_at_all(tmp_path, monkeypatch):
    asset = textured(Asset(coloured_box()), resolution=32)
    before = {path: path.read_bytes() for path in write_asset(asset, tmp_path / "box.obj")}
    synced = []

    def full_disk_at_the_third(handle: int) -> None:
        synced.append(handle)
        if len(synced) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("representations.assets.writing.os.fsync", full_disk_at_the_third)
    with pytest.raises(OSError, match="No space"):
        write_asset(textured(Asset(coloured_box()), resolution=16), tmp_path / "box.obj")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_unfit_assets_are_refused(tmp_path):
    textureless = Asset(coloured_box(), material=Material(np.full((2, 2, 3), 9, dtype=np.uint8)))
    with pytest.raises(MeshError, match="no texture coordinates"):
        write_asset(textureless, tmp_path / "box.glb")
    assert list(tmp_path.iterdir()) == []


def test_unknown_formats_and_missing_folders_are_named(tmp_path):
    with pytest.raises(MeshError, match=r"\.glb, \.obj, \.ply, \.stl"):
        write_mesh(coloured_box(), tmp_path / "box.fbx")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_mesh(coloured_box(), tmp_path / "nowhere" / "box.glb")
