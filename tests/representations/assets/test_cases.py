"""Small files with expected values by hand or from the formats' specifications, read, written and read by others."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from representations.assets.appearance import colours_at, corners_of, surfaces_at
from representations.assets.asset import Asset
from representations.assets.finishing import prepared
from representations.assets.inspection import inspect_asset
from representations.assets.reading import MeshFileError, load_mesh, read_mesh_file
from representations.assets.writing import losses, write_asset

CASES = Path(__file__).parent / "cases"
SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off")
READABLE = [
    path for path in sorted(CASES.rglob("*")) if path.suffix in SUFFIXES and "faults" not in path.parts
    and path.name != "unknown_required.glb"
]  # fmt: skip


def read(name: str) -> Asset:
    return load_mesh(CASES / name)


def exported(name: str, tmp_path: Path, suffix: str = ".glb") -> Path:
    asset, _ = prepared(read(name))
    return write_asset(asset, tmp_path / f"out{suffix}", may_face_inwards=True)[0]


def document(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return json.loads(content[20 : 20 + struct.unpack_from("<I", content, 12)[0]])


def corners(asset: Asset) -> np.ndarray:
    return asset.mesh.vertices[asset.mesh.faces]


def colours(asset: Asset) -> set[tuple[int, ...]]:
    """The distinct colours of all corners and of the faces' middles, in bytes."""
    places = corners_of(asset)
    middles = type(places)(np.arange(len(asset.mesh.faces)), np.full((len(asset.mesh.faces), 3), 1 / 3))
    found = np.concatenate([colours_at(asset, places), colours_at(asset, middles)])
    return {tuple(row) for row in np.round(found[:, :3] * 255).astype(int).tolist()}


@pytest.mark.parametrize("path", READABLE, ids=lambda path: str(path.relative_to(CASES)))
@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply", ".stl"])
def test_every_case_is_written_and_read_by_us_and_by_trimesh(tmp_path: Path, path: Path, suffix: str):
    asset, _ = prepared(load_mesh(path))
    first = {file.name: file.read_bytes() for file in write_asset(asset, tmp_path / f"a{suffix}", None, True)}
    again = {file.name: file.read_bytes() for file in write_asset(asset, tmp_path / f"a{suffix}", None, True)}
    assert first == again
    ours, theirs = load_mesh(tmp_path / f"a{suffix}"), trimesh.load(tmp_path / f"a{suffix}", force="scene")
    assert len(ours.mesh.faces) == len(asset.mesh.faces)
    assert sum(len(part.faces) for part in theirs.geometry.values()) == len(asset.mesh.faces)
    low, high = asset.mesh.vertices.min(axis=0), asset.mesh.vertices.max(axis=0)
    if suffix != ".stl":
        np.testing.assert_allclose(theirs.bounds, [low, high], atol=1e-5)
        np.testing.assert_allclose(corners(ours).reshape(-1, 3).min(axis=0), low, atol=1e-6)


@pytest.mark.parametrize("path", READABLE, ids=lambda path: str(path.relative_to(CASES)))
def test_glb_keeps_everything(tmp_path: Path, path: Path):
    asset, _ = prepared(load_mesh(path))
    again = load_mesh(write_asset(asset, tmp_path / "a.glb", may_face_inwards=True)[0])
    order, other = (np.lexsort(np.round(corners(one), 4).reshape(-1, 9).T) for one in (asset, again))
    np.testing.assert_allclose(corners(asset)[order], corners(again)[other], atol=2e-4)
    if len(np.unique(np.round(corners(asset), 4).reshape(-1, 9), axis=0)) == len(order):
        for look in (colours_at, surfaces_at):
            ours = look(asset, corners_of(asset)).reshape(len(order), 3, -1)[order]
            np.testing.assert_allclose(
                ours, look(again, corners_of(again)).reshape(len(order), 3, -1)[other], atol=2e-3
            )
    cut = [] if asset.polygon_of is None else ["quadrilaterals and other polygons are cut into triangles"]
    assert losses(asset, tmp_path / "a.glb") == cut


def test_corner_normals_of_a_box(tmp_path: Path):
    for asset in (read("box.stl"), load_mesh(exported("box.stl", tmp_path))):
        flat = asset.mesh.face_normals / np.linalg.norm(asset.mesh.face_normals, axis=1, keepdims=True)
        assert float((asset.corner_normals * flat[:, None]).sum(axis=-1).mean()) == pytest.approx(1.0)


def test_metal_and_roughness_come_from_their_texture():
    np.testing.assert_allclose(
        surfaces_at(read("metal_rough_texture.glb"), corners_of(read("metal_rough_texture.glb"))),
        np.tile([0.5, 0.0], (6, 1)),
        atol=3e-3,
    )


@pytest.mark.parametrize("name", ["texture_transform.glb", "texture_transform_required.glb"])
def test_a_texture_transform_moves_the_coordinates(name: str):
    asset = read(name)
    np.testing.assert_allclose(asset.uv.reshape(-1, 2).min(axis=0), [0, 0], atol=1e-6)
    np.testing.assert_allclose(asset.uv.reshape(-1, 2).max(axis=0), [0.5, 0.5], atol=1e-6)


def test_second_texture_coordinates():
    first, second = read("clamp_to_edge.glb"), read("second_uv_set.glb")
    assert np.ptp(second.uv.reshape(-1, 2), axis=0) == pytest.approx(0.5)
    assert first.uv.shape == second.uv.shape


def test_samplers_are_kept(tmp_path: Path):
    assert document(exported("clamp_to_edge.glb", tmp_path))["samplers"] == [{"wrapS": 33071, "wrapT": 33071}]
    assert document(exported("controls/nearest_filter.glb", tmp_path))["samplers"] == [{"magFilter": 9728}]
    assert "samplers" not in document(exported("uv_shared_by_all.glb", tmp_path))  # repeats, as the format says


def test_vertex_colours_multiply_textures(tmp_path: Path):
    for asset in (
        read("vertex_colour_times_texture.glb"),
        load_mesh(exported("vertex_colour_times_texture.glb", tmp_path)),
    ):
        assert {colour for colour in colours(asset) if colour[1] or colour[2]} == set()


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply"])
@pytest.mark.parametrize(
    "name", ["six_face_colours.glb", "red_beside_blue.obj", "red_beside_blue.ply", "face_colours.ply"]
)
def test_only_pure_colours(tmp_path: Path, name: str, suffix: str):
    expected = {(255, 0, 0), (0, 0, 255)}
    if name == "six_face_colours.glb":
        expected |= {(0, 255, 0), (255, 255, 0), (0, 255, 255), (255, 0, 255)}
    for asset in (read(name), load_mesh(exported(name, tmp_path, suffix))):
        found = {tuple(int(value) for value in row) for row in
                 np.unique(np.round(asset.colours_of_corners * 255).reshape(-1, 3), axis=0)}  # fmt: skip
        assert found == expected


def test_grey_of_sixteen_bits():
    for name in ("gray16_texture.glb", "obj/gray16.obj"):
        assert read(name).material.base_colour.mean() == pytest.approx(127.5, abs=0.51)


def test_alpha_emission_and_normal_scale(tmp_path: Path):
    (mask,) = document(exported("alpha_mask.glb", tmp_path))["materials"]
    assert mask["alphaMode"] == "MASK"
    assert load_mesh(tmp_path / "out.glb").material.base_colour.shape[2] == 4
    (glass,) = document(exported("glass.glb", tmp_path))["materials"]
    assert (glass["alphaMode"], glass["pbrMetallicRoughness"]["baseColorFactor"]) == ("BLEND", [0.2, 0.4, 1, 0.25])
    assert document(exported("emissive.glb", tmp_path))["materials"][0]["emissiveFactor"] == [1, 0.5, 0]
    assert document(exported("normal_scale_quarter.glb", tmp_path))["materials"][0]["normalTexture"]["scale"] == 0.25
    assert "normalTexture" in document(exported("normal_map_without_base_texture.glb", tmp_path))["materials"][0]
    assert document(exported("controls/normal_scale_zero.glb", tmp_path))["materials"][0]["normalTexture"]["scale"] == 0


def test_specular_glossiness_and_webp():
    material = read("specular_glossiness.glb").material
    assert (material.metallic, material.roughness) == (0.0, pytest.approx(0.8))
    assert material.base_colour is not None
    assert read("webp_extension.glb").material.base_colour is not None


@pytest.mark.parametrize("name", ["black_material.glb", "emissive_black_base.glb", "obj/black_kd.obj"])
@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply", ".stl"])
def test_black_is_a_colour(tmp_path: Path, name: str, suffix: str):
    assert exported(name, tmp_path, suffix).stat().st_size > 0
    assert colours(read(name)) == {(0, 0, 0)}


@pytest.mark.parametrize(
    "name",
    ["lone_triangle.glb", "terrain_valley.glb", "terrain_ramp_noise.glb", "closed_room_from_inside.glb",
     "controls/terrain_hill.glb", "controls/tilted_floor.glb", "controls/mirrored_node.glb",
     "cube_inside_sky_sphere.glb", "cube_inside_sky_dome_below_horizon.glb", "controls/cube_under_sky_dome.glb"],
)  # fmt: skip
def test_fronts_stay_fronts(name: str):
    asset = read(name)
    mended, notes = prepared(asset)
    np.testing.assert_array_equal(mended.mesh.faces, asset.mesh.faces)
    assert notes == []
    if "cube" in name:
        assert asset.mesh.component_volumes()[-1] == pytest.approx(1.0)


def test_a_card_has_two_sides():
    asset, _ = prepared(read("card_red_front_blue_back.glb"))
    assert len(asset.mesh.faces) == 4
    assert {(255, 0, 0), (0, 0, 255)} <= colours(asset)


def test_poses():
    assert read("skin.glb").mesh.vertices.min(axis=0).tolist() == [0, 5, 0]
    assert np.ptp(read("morph_weight.glb").mesh.vertices, axis=0)[2] == 3
    assert np.ptp(read("gpu_instancing_required.glb").mesh.vertices, axis=0)[0] == 7


def test_an_unknown_required_extension_is_named():
    with pytest.raises(MeshFileError, match="VENDOR_unknown_geometry"):
        read("unknown_required.glb")


@pytest.mark.parametrize("side", [1024, 2048])
def test_many_materials_need_no_huge_texture(tmp_path: Path, side: int):
    asset = load_mesh(exported(f"one_{side}_texture_24_plain_materials.glb", tmp_path))
    assert len(asset.materials) == 25
    assert [image.shape[:2] for material in asset.materials for image in material.maps.values()] == [(side, side)]


@pytest.mark.parametrize("name", ["repeat_beside_plain.glb", "uv_shared_by_all.glb"])
def test_repeating_textures_repeat(name: str, tmp_path: Path):
    before, after = read(name), load_mesh(exported(name, tmp_path))
    assert before.material.sampling("base_colour").wrap == after.material.sampling("base_colour").wrap
    assert before.material.sampling("base_colour").wrap == ("repeat", "repeat")
    np.testing.assert_allclose(np.sort(before.uv.reshape(-1)), np.sort(after.uv.reshape(-1)), atol=1e-6)


def test_other_formats_with_colours_and_strips():
    assert colours(read("vertex_colours.off")) == {(255, 0, 0)}
    assert len(read("tristrips.ply").mesh.faces) == 2
    outwards = [finding for finding in inspect_asset(read("one_part_inside_out.ply")) if finding.name == "outwards"]
    assert outwards[0].fault
    assert "12 faces" in outwards[0].value


def test_obj_as_others_take_it():
    assert read("obj/concave.obj").mesh.areas.sum() == pytest.approx(2.5)
    asset = read("obj/one_face_without_uv.obj")
    assert [material.base_colour is not None for material in asset.materials] == [True, False]
    notes = read_mesh_file(CASES / "obj/one_face_without_uv.obj").notes
    assert notes == ["textures are left out where faces have no texture coordinates"]
    plain = read("obj/controls/plain.obj")
    for name in ("crlf_continuation", "latin1_mtl", "lowercase_map_kd", "map_options", "quoted_name", "texture_bmp",
                 "tab_after_keyword", "tab_newmtl", "texture_tif", "trailing_comment", "two_mtllibs", "usemtl_space",
                 "windows_absolute", "mtl_in_subfolder/a"):  # fmt: skip
        found = read_mesh_file(CASES / "obj" / f"{name}.obj")
        np.testing.assert_array_equal(found.asset.material.base_colour, plain.material.base_colour, name)
        assert found.notes == [], name
    assert "nowhere.mtl" in read_mesh_file(CASES / "obj/missing_mtl.obj").notes[0]
    assert "nowhere.png" in read_mesh_file(CASES / "obj/missing_texture.obj").notes[0]
    assert colours(read("obj/rgb255.obj")) == {(255, 128, 0)}
    assert colours(read("obj/some_vertex_colours.obj")) == {(255, 0, 0), (255, 255, 255)}
    assert len(read("obj/utf16.obj").mesh.faces) == 2


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply"])
@pytest.mark.parametrize("name", ["utm.obj", "obj/utm.obj", "obj/utm_fine.obj"])
def test_digits_are_kept(tmp_path: Path, name: str, suffix: str):
    rows = [line.split()[1:4] for line in (CASES / name).read_text().splitlines() if line.startswith("v ")]
    expected = np.array(sorted([float(word) for word in row] for row in rows))
    after = load_mesh(exported(name, tmp_path, suffix)).mesh.vertices
    np.testing.assert_allclose(np.array(sorted(np.round(after, 6).tolist())), expected, rtol=0, atol=1e-6)


FAULTS = [path for path in sorted((CASES / "faults").iterdir()) if path.suffix in SUFFIXES and path.name != "bom.gltf"]


@pytest.mark.parametrize("path", FAULTS, ids=lambda path: path.name)
def test_faults_are_refused_in_one_line(path: Path):
    with pytest.raises(MeshFileError) as refusal:
        load_mesh(path)
    assert "\n" not in str(refusal.value)


def test_a_byte_order_mark_is_no_fault():
    assert len(read("faults/bom.gltf").mesh.faces) == 12


def test_a_folded_quadrilateral_is_not_cut_into_larger_folds(tmp_path: Path):
    corners_of_one = [[-24.1, 32.4, -36.2], [-24.2, 23.3, -46.5], [-24.6, 31.7, -36.0], [-19.3, 40.9, -25.7]]
    text = "".join("v {} {} {}\n".format(*corner) for corner in corners_of_one) + "f 1 2 3 4\n"
    (tmp_path / "folded.obj").write_text(text)
    a, b, c, d = map(np.array, corners_of_one)
    cuts = [((a, b, c), (a, c, d)), ((a, b, d), (b, c, d))]
    areas = [sum(np.linalg.norm(np.cross(q - p, r - p)) / 2 for p, q, r in cut) for cut in cuts]
    assert load_mesh(tmp_path / "folded.obj").mesh.areas.sum() == pytest.approx(min(areas))
