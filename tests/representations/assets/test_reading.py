"""Files of other people's: read right, or refused in words; never a crash, never a file from elsewhere."""

import base64
import json
import re
import struct
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pictures

from representations.assets import reading as mesh_files
from representations.assets.asset import Asset, Material
from representations.assets.baking import vertex_coloured
from representations.assets.colour_space import linear_to_srgb, srgb_to_linear
from representations.assets.finishing import prepared, textured
from representations.assets.formats.gltf_writing import glb_bytes
from representations.assets.formats.obj_writing import obj_files
from representations.assets.inspection import Finding, inspect_asset, is_sound
from representations.assets.reading import MeshFileError, load_mesh, read_mesh_file
from representations.assets.textures import png_bytes
from representations.assets.unwrapping import unwrap
from representations.assets.writing import write_asset
from representations.geometry.mesh import Mesh, MeshError
from tests.representations.shapes import ball, box, coloured, torus, unit_square

PICTURE = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def painted() -> Asset:
    asset = textured(Asset(coloured(torus())), faces=300, resolution=64)
    return replace(asset, material=replace(asset.material, roughness=0.4, metallic=0.25))


def written(tmp_path: Path, name: str, content: bytes | str) -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def gltf_with(**changes: object) -> dict:
    """A .gltf of one triangle, its data within."""
    data = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)
    uri = "data:;base64," + base64.b64encode(data).decode()
    document = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 3}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [{"byteLength": 36, "uri": uri}],
    }
    return document | changes


# What we wrote we read.


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_textured_round_trip(tmp_path: Path, painted: Asset, suffix: str):
    read = load_mesh(write_asset(painted, tmp_path / f"a thing{suffix}")[0])
    assert read.mesh.is_watertight
    assert read.mesh.volume == pytest.approx(painted.mesh.volume, rel=1e-5)
    corners, expected = (asset.mesh.vertices[asset.mesh.faces] for asset in (read, painted))
    np.testing.assert_allclose(corners, expected, atol=1e-6)
    np.testing.assert_allclose(read.uv, painted.uv, atol=1e-6)
    np.testing.assert_array_equal(read.material.base_colour, painted.material.base_colour)
    np.testing.assert_array_equal(read.material.normal, painted.material.normal)
    assert (read.material.roughness, read.material.metallic) == (0.4, 0.25)


@pytest.mark.parametrize(("suffix", "tolerance"), [(".glb", 2e-4), (".obj", 1e-4), (".ply", 2e-3)])
def test_vertex_colours_round_trip(tmp_path: Path, suffix: str, tolerance: float):
    mesh = coloured(ball(2))
    read = load_mesh(write_asset(Asset(mesh), tmp_path / f"ball{suffix}")[0]).mesh
    np.testing.assert_allclose(read.vertices[read.faces], mesh.vertices[mesh.faces], atol=1e-6)
    np.testing.assert_allclose(read.colours[read.faces], mesh.colours[mesh.faces], atol=tolerance)


def test_stl_is_taken_for_millimetres_with_z_up(tmp_path: Path):
    mesh = box((0.8, 1.0, 0.6))
    path = write_asset(Asset(mesh), tmp_path / "box.stl")[0]
    np.testing.assert_allclose(trimesh.load(path).extents, [800, 600, 1000], rtol=1e-5)
    file = read_mesh_file(path)
    np.testing.assert_allclose(np.ptp(file.asset.mesh.vertices, axis=0), [0.8, 1.0, 0.6], rtol=1e-5)
    assert file.asset.mesh.is_watertight
    assert any("millimetres" in note for note in file.notes)


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_hard_edges_round_trip(tmp_path: Path, suffix: str):
    mesh = box()
    hard = np.repeat((mesh.face_normals / np.linalg.norm(mesh.face_normals, axis=1, keepdims=True))[:, None], 3, axis=1)
    read = load_mesh(write_asset(Asset(mesh, normals=hard), tmp_path / f"box{suffix}")[0])
    assert read.mesh.is_watertight
    np.testing.assert_allclose(read.normals, hard, atol=1e-4)


@pytest.mark.parametrize("file_type", ["off", "ply", "stl", "obj", "glb", "stl_ascii"])
def test_files_of_another_program(tmp_path: Path, file_type: str):
    solid = trimesh.creation.icosphere(subdivisions=2)
    content = solid.export(file_type=file_type)
    mesh = load_mesh(written(tmp_path, f"ball.{file_type[:3]}", content)).mesh
    assert mesh.is_watertight
    assert len(mesh.faces) == len(solid.faces)
    scale = 1e-9 if file_type.startswith("stl") else 1.0
    assert mesh.volume == pytest.approx(solid.volume * scale, rel=1e-4)


# glTF in all its forms.


def test_nodes_move_turn_and_mirror(tmp_path: Path):
    half = np.sqrt(0.5)
    nodes = [
        {"children": [1], "translation": [10, 0, 0], "scale": [2, 2, 2]},
        {"mesh": 0, "rotation": [0, half, 0, half]},  # a quarter turn about +Y: x becomes -z
    ]
    path = written(tmp_path, "turned.gltf", json.dumps(gltf_with(nodes=nodes)))
    places = load_mesh(path).mesh
    np.testing.assert_allclose(sorted(places.vertices.tolist()), [[10, 0, -2], [10, 0, 0], [10, 2, 0]], atol=1e-6)
    mirrored = [{"mesh": 0, "matrix": [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]}]
    plain, turned = (
        load_mesh(written(tmp_path, "m.gltf", json.dumps(gltf_with(nodes=nodes)))).mesh.face_normals[0]
        for nodes in ([{"mesh": 0}], mirrored)
    )
    np.testing.assert_allclose(plain, turned)  # the front is still the front


@pytest.mark.parametrize(
    ("mode", "faces"), [(4, [[0, 1, 2]]), (5, [[0, 1, 2], [1, 3, 2]]), (6, [[0, 1, 2], [0, 2, 3]])]
)
def test_strips_and_fans(tmp_path: Path, mode: int, faces: list[list[int]]):
    data = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], dtype="<f4").tobytes()
    document = gltf_with(
        meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "mode": mode}]}],
        accessors=[{"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 4}],
        bufferViews=[{"buffer": 0, "byteLength": 48}],
        buffers=[{"byteLength": 48, "uri": "data:;base64," + base64.b64encode(data).decode()}],
    )
    mesh = load_mesh(written(tmp_path, "strip.gltf", json.dumps(document))).mesh
    corners = np.frombuffer(data, "<f4").reshape(-1, 3)
    np.testing.assert_allclose(mesh.vertices[mesh.faces], corners[np.array(faces)])


def test_several_materials_stay_apart(tmp_path: Path):
    solids = [trimesh.creation.box().apply_translation([2.0 * number, 0, 0]) for number in range(3)]
    colours = [[255, 0, 0, 255], [0, 128, 0, 255], [0, 0, 64, 255]]
    for solid, colour in zip(solids, colours, strict=True):
        solid.visual = trimesh.visual.TextureVisuals(
            material=trimesh.visual.material.PBRMaterial(baseColorFactor=colour, roughnessFactor=0.5)
        )
    file = read_mesh_file(written(tmp_path, "three.glb", trimesh.Scene(solids).export(file_type="glb")))
    assert len(file.asset.mesh.components()) == 36
    assert len(file.asset.materials) == 3
    shown = vertex_coloured(file.asset)
    for number, solid in enumerate(solids):
        here = np.abs(shown.vertices[:, 0] - 2 * number) < 0.6
        factor = solid.visual.material.baseColorFactor[:3] / 255  # trimesh writes its bytes as they are: linear
        np.testing.assert_allclose(shown.colours[here], np.tile(linear_to_srgb(factor), (8, 1)), atol=3e-3)


def test_a_tint_multiplies_the_texture_in_linear_light(tmp_path: Path):
    square = unit_square(np.full((4, 4, 3), 188, dtype=np.uint8))  # linear 0.5
    tinted = replace(square, material=replace(square.material, base_factor=(0.2158605, 1, 0.5, 1)))
    read = load_mesh(written(tmp_path, "t.glb", glb_bytes(tinted)))
    assert read.material.base_factor == (0.2158605, 1, 0.5, 1)
    np.testing.assert_array_equal(read.material.base_colour, square.material.base_colour)
    shown = srgb_to_linear(vertex_coloured(read).colours[0])
    np.testing.assert_allclose(shown, np.array([0.2158605, 1, 0.5]) * srgb_to_linear(np.array(188 / 255)), atol=1e-6)


def test_polygons_negative_indices_and_comments_of_obj(tmp_path: Path):
    text = "# a square\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf -4 -3 \\\n-2 -1\n"
    mesh = load_mesh(written(tmp_path, "square.obj", text)).mesh
    assert mesh.areas.sum() == pytest.approx(1.0)
    assert len(mesh.faces) == 2


# What is refused, and how.


def test_other_peoples_rubbish_is_refused_in_words(tmp_path: Path, painted: Asset):
    glb = glb_bytes(painted)
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../../evil.obj", "v 0 0 0")
    archive_content = (tmp_path / "evil.zip").read_bytes()
    many = gltf_with(accessors=[{"componentType": 5126, "type": "VEC3", "count": 10**12}])
    looped = gltf_with(nodes=[{"children": [0], "mesh": 0}])
    nothing = gltf_with(meshes=[])
    beyond = gltf_with(bufferViews=[{"buffer": 0, "byteLength": 10**9}])
    refused = {
        "empty.glb": (b"", "is empty"),
        "blank.obj": (b"\n \n", "is empty"),
        "cut.glb": (glb[: len(glb) // 2], "cut off"),
        "short.glb": (b"glTF", "cut off"),
        "lies.glb": (b"ply\nformat ascii 1.0\n", "named like GLB but its content is PLY"),
        "lies.stl": (glb, "named like STL but its content is GLB"),
        "lies.ply": (b"solid nothing", "does not begin like one"),
        "lies.usdz": (archive_content, "archive"),
        "evil.obj": (archive_content, "archive"),
        "thing.fbx": (b"Kaydara", "no format that can be read"),
        "points.obj": (b"v 0 0 0\nv 1 0 0\n", "no triangles"),
        "letters.obj": (b"v a b c\nv 0 0 0\nv 0 1 0\nf 1 2 3\n", "not a number"),
        "far.obj": (b"v 0 0 0\nf 1 2 3\n", "does not exist"),
        "zero.obj": (b"v 0 0 0\nf 0 1 1\n", "corner '0'"),
        "short.obj": (b"v 0 0\nv 0 0\nv 0 1\nf 1 2 3\n", "numbers"),
        "damaged.ply": (b"ply\nformat ascii 1.0\nelement vertex 3\nend_header\n", "damaged|no triangles"),
        "huge.ply": (b"ply\nformat ascii 1.0\nelement face 10000000\nend_header\n", "10,000,000 faces"),
        "huge.off": (b"OFF\n9 10000000 0\n", "10,000,000 faces"),
        "many.gltf": (json.dumps(many).encode(), "claims 1000000000000 values"),
        "looped.gltf": (json.dumps(looped).encode(), "under itself"),
        "nothing.gltf": (json.dumps(nothing).encode(), r"meshes\[0\], which does not exist"),
        "beyond.gltf": (json.dumps(beyond).encode(), "cut off"),
        "list.gltf": (b'{"asset": []}', "not that of glTF|not glTF"),
        "vendor.gltf": (json.dumps(gltf_with(extensionsRequired=["VENDOR_shape"])).encode(), "not known: VENDOR_shape"),
    }
    for name, (content, why) in refused.items():
        with pytest.raises(MeshFileError, match=why):
            load_mesh(written(tmp_path, name, content))


def test_folders_missing_files_and_too_large_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(MeshFileError, match="cannot be opened"):
        load_mesh(tmp_path / "nothing.glb")
    (tmp_path / "folder.obj").mkdir()
    with pytest.raises(MeshFileError, match="is a folder"):
        load_mesh(tmp_path / "folder.obj")
    path = write_asset(Asset(box()), tmp_path / "box.stl")[0]
    monkeypatch.setattr(mesh_files, "MOST_FACES", 11)
    with pytest.raises(MeshFileError, match=r"12 faces.*Decimate"):
        load_mesh(path)
    glb = write_asset(Asset(box()), tmp_path / "box.glb")[0]
    with pytest.raises(MeshFileError, match="more than 11 triangles"):
        load_mesh(glb)
    monkeypatch.setattr(mesh_files, "MOST_BYTES", 100)
    with pytest.raises(MeshFileError, match="GB"):
        load_mesh(path)


OUTSIDE = ["../secret.png", "/etc/passwd", "..\\secret.png", "link/secret.png", "%2e%2e/secret.png"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_file_outside_the_folder_is_opened(tmp_path: Path, name: str):
    (tmp_path / "secret.png").write_bytes(png_bytes(PICTURE))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    written(folder, "m.mtl", f"newmtl a\nmap_Kd {name}\n")
    text = "mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl a\nf 1/1 2/2 3/3\n"
    why = "outside its folder|not beside it"
    for file in (written(folder, "m.obj", text), written(folder, "n.obj", text.replace("m.mtl", name))):
        read = read_mesh_file(file)
        assert re.search(why, " ".join(read.notes))
        assert read.asset.material.base_colour is None
    document = gltf_with(buffers=[{"byteLength": 36, "uri": name}])
    with pytest.raises(MeshFileError, match=why):
        load_mesh(written(folder, "m.gltf", json.dumps(document)))
    (folder / "secret.png").write_bytes(png_bytes(PICTURE))
    written(folder, "m.mtl", "newmtl a\nmap_Kd secret.png\n")
    np.testing.assert_array_equal(load_mesh(folder / "m.obj").material.base_colour, PICTURE)


def test_textures_that_are_none(tmp_path: Path):
    text = "mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl a\nf 1/1 2/2 3/3\n"
    written(tmp_path, "m.obj", text)
    written(tmp_path, "m.mtl", "newmtl a\nmap_Kd t.png\n")
    written(tmp_path, "t.png", b"not a picture")
    read = read_mesh_file(tmp_path / "m.obj")
    assert "the texture 't.png' was left out: a texture cannot be read" in read.notes[0]
    assert read.asset.material.base_colour is None
    Pictures.new("1", (30_000, 30_000)).save(tmp_path / "t.png")
    with pytest.raises(MeshFileError, match="texture"):
        load_mesh(tmp_path / "m.obj")


# Whatever is in a file: a mesh that can be inspected, or a refusal.


def survives(path: Path) -> None:
    """It is read and mended as numbers, or refused in one line; fails by any other exception than the two here."""
    refusal = ""
    try:
        asset = load_mesh(path)
    except MeshFileError as error:
        refusal = str(error)
    assert "\n" not in refusal
    if refusal:
        return
    findings = inspect_asset(asset)
    assert not is_sound(findings) or Finding("faces", f"{len(asset.mesh.faces):,}") in findings
    with suppress(MeshError):
        mended, _ = prepared(asset, watertight=False)
        assert np.isfinite(mended.mesh.vertices).all()
        assert mended.mesh.faces.max(initial=-1) < len(mended.mesh.vertices)


@pytest.fixture(scope="module")
def samples() -> dict[str, bytes]:
    mesh = coloured(ball(1))
    small = Asset(mesh, unwrap(mesh, 32).uv, Material(base_colour=PICTURE))
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    return {
        ".glb": glb_bytes(small),
        ".obj": obj_files(Asset(mesh), "ball")[".obj"],
        ".ply": solid.export(file_type="ply"),
        ".stl": solid.export(file_type="stl"),
        ".off": solid.export(file_type="off").encode(),
        ".gltf": json.dumps(gltf_with()).encode(),
    }


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply", ".stl", ".off", ".gltf"])
def test_cut_and_damaged_files_never_crash(tmp_path: Path, samples: dict[str, bytes], suffix: str, data: st.DataObject):
    content = bytearray(samples[suffix])
    place = st.integers(0, len(content) - 1)
    for position in data.draw(st.lists(place, max_size=6)):
        content[position] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(place)]
    survives(written(tmp_path, f"damaged{suffix}", bytes(content)))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_odd_gltf_documents_never_crash(tmp_path: Path, data: st.DataObject):
    document = gltf_with()
    numbers = (st.booleans(), st.integers(-3, 2**40), st.floats())
    odd = st.one_of(*numbers, st.none(), st.text(max_size=3), st.just([]), st.just({}))
    for _ in range(data.draw(st.integers(1, 3))):
        here: object = document
        while isinstance(here, (dict, list)) and here:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            key = data.draw(st.sampled_from(keys))
            if not isinstance(here[key], (dict, list)) or not here[key] or data.draw(st.booleans()):
                here[key] = data.draw(odd)
                break
            here = here[key]
    survives(written(tmp_path, "odd.gltf", json.dumps(document)))


def test_bad_geometry_is_mended_and_said(tmp_path: Path):
    mesh = ball(2)
    faces = np.concatenate([mesh.faces, mesh.faces[:3], [[0, 0, 1]], [[0, 1, len(mesh.vertices)]]])
    faces[::2] = faces[::2, ::-1]
    broken = Mesh(np.concatenate([mesh.vertices, [[np.nan, 0, 0]]]), faces)
    asset, notes = prepared(Asset(broken))
    assert asset.mesh.is_watertight
    assert asset.mesh.volume == pytest.approx(mesh.volume)
    text = "; ".join(notes)
    assert "1 faces with corners that are not finite" in text
    assert "1 faces without area" in text
    assert "3 faces that were copies" in text
    assert "turned round" in text
