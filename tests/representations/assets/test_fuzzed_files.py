"""Other people's files with anything in them: skins, morphs, instances, materials. Read, or refused in one line."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from representations.assets.finishing import prepared
from representations.assets.formats.gltf_writing import glb_bytes
from representations.assets.reading import MeshFileError, read_mesh_file
from representations.geometry.mesh import MeshError
from tests.hostile_values import STRANGE, places, replaced

CASES = Path(__file__).parent / "cases"
FUZZ = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def refusal_of(path: Path) -> str:
    """Why a file is refused, in one line; "" if it holds a mesh of finite numbers that can be written."""
    refusal = ""
    try:
        asset, _ = prepared(read_mesh_file(path).asset)
        assert asset.mesh.faces.max(initial=-1) < len(asset.mesh.vertices)
        assert np.isfinite(asset.mesh.vertices).all()
        glb_bytes(asset)
    except (MeshFileError, MeshError) as error:
        refusal = str(error)
    assert "\n" not in refusal
    return refusal


def parts_of(content: bytes) -> tuple[Any, bytes]:
    """The JSON of a GLB file, and its binary chunk with header."""
    length = struct.unpack_from("<I", content, 12)[0]
    return json.loads(content[20 : 20 + length]), content[20 + length :]


def glb_of(document: object, rest: bytes) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    header = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A)
    return header + text + rest


@pytest.mark.parametrize(
    "name",
    [
        "skin", "morph_weight", "gpu_instancing_required", "texture_transform", "specular_glossiness",
        "metal_rough_texture", "webp_extension", "vertex_colour_times_texture",
    ],
)  # fmt: skip
def test_any_value_anywhere_in_a_gltf(tmp_path: Path, name: str):
    document, rest = parts_of((CASES / f"{name}.glb").read_bytes())
    path = tmp_path / "any.glb"
    path.write_bytes(glb_of(document, rest))
    read_mesh_file(path)

    @FUZZ
    @given(place=st.sampled_from(places(document)), value=st.sampled_from(STRANGE))
    def check(place: tuple[Any, ...], value: Any) -> None:
        path.write_bytes(glb_of(replaced(document, place, value), rest))
        refusal_of(path)

    check()


SEEDS: list[tuple[tuple[Any, ...], Any]] = [(("meshes", 0, "primitives", 0, "attributes"), [[1]])]


@pytest.mark.parametrize(("place", "value"), SEEDS)
def test_values_that_ended_in_tracebacks(tmp_path: Path, place: tuple[Any, ...], value: Any):
    document, rest = parts_of((CASES / "skin.glb").read_bytes())
    (tmp_path / "any.glb").write_bytes(glb_of(replaced(document, place, value), rest))
    assert "attributes is not an object" in refusal_of(tmp_path / "any.glb")


WORDS = ("", "nan", "-1", "1e400", "-s", "-bm", "x", "map_Kd", "newmtl", "\\", "#", "../../etc/passwd", "9" * 400, "é")


@FUZZ
@given(data=st.data())
def test_any_word_in_a_material_library(tmp_path: Path, data: st.DataObject):
    lines = (
        "newmtl a", "Kd 0.5 0.25 1", "Ks 1 1 1", "Ns 96", "d 0.5", "Pr 0.5", "Pm 1", "Ke 0 0 1", "illum 2",
        "map_Kd -s 2 2 1 -o 0.5 0 0 rgby.png", "map_Bump -bm 0.5 rgby.png", "newmtl b", "Kd 1 0 0",
    )  # fmt: skip
    words = [line.split() for line in lines]
    for _ in range(data.draw(st.integers(1, 4))):
        line = data.draw(st.sampled_from(words))
        place = data.draw(st.integers(0, len(line)))
        line[place : place + data.draw(st.integers(0, 2))] = [data.draw(st.sampled_from(WORDS))]
    (tmp_path / "any.mtl").write_text("\n".join(" ".join(line) for line in words))
    (tmp_path / "rgby.png").write_bytes((CASES / "rgby.png").read_bytes())
    square = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
    (tmp_path / "any.obj").write_text(f"mtllib any.mtl\n{square}usemtl a\nf 1/1 2/2 3/3\nusemtl b\nf 1/1 3/3 4/4\n")
    refusal_of(tmp_path / "any.obj")


def test_a_sound_file_is_read(tmp_path: Path):
    document, rest = parts_of((CASES / "skin.glb").read_bytes())
    (tmp_path / "same.glb").write_bytes(glb_of(document, rest))
    ours, same = (read_mesh_file(path).asset.mesh for path in (CASES / "skin.glb", tmp_path / "same.glb"))
    np.testing.assert_array_equal(ours.vertices, same.vertices)
