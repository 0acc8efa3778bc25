from dataclasses import replace

import numpy as np
import pytest

from representations.assets.asset import Asset, Material
from representations.assets.inspection import asset_problems, inspect_asset, is_sound
from representations.assets.unwrapping import unwrap
from representations.geometry.mesh import Mesh
from tests.representations.shapes import ball, box, coloured, joined_meshes, unit_square

GREY = np.full((4, 4, 3), 128, dtype=np.uint8)
BLACK = np.zeros((4, 4, 3), dtype=np.uint8)


def found(asset: Asset) -> dict[str, str]:
    return {finding.name: finding.value for finding in inspect_asset(asset)}


def faults(asset: Asset) -> list[str]:
    return [finding.name for finding in inspect_asset(asset) if finding.fault]


def test_a_sound_box():
    mesh = coloured(box((0.8, 1.0, 0.6)))
    table = found(Asset(mesh))
    assert table["faces"] == "12"
    assert table["size"] == "0.8 m wide, 1 m high, 0.6 m deep"
    assert table["lowest point"] == "at height -0.5 m"
    assert table["watertight"] == "yes"
    assert table["components"] == "1"
    assert table["volume"] == "0.48"
    assert table["UVs"] == "none"
    assert table["vertex colours"] == "yes"
    assert is_sound(inspect_asset(Asset(mesh)))


def test_holes_are_said_but_are_no_fault():
    opened = box().with_faces(np.arange(12) > 0)
    assert found(Asset(opened))["watertight"] == "no: 3 open edges"
    assert faults(Asset(opened)) == []
    touching = Mesh(box().vertices, np.concatenate([box().faces, [[0, 3, 6]]]))
    assert "edges of more than two faces" in found(Asset(touching))["watertight"]


@pytest.mark.parametrize(
    ("mesh", "name", "value"),
    [
        (Mesh(box().vertices, box().faces[:, ::-1]), "outwards", "no: inside out"),
        (Mesh(box().vertices, np.concatenate([box().faces, box().faces[:2]])), "duplicate faces", "2"),
        (Mesh(box().vertices, np.concatenate([box().faces, [[1, 1, 2]]])), "degenerate faces", "1"),
        (Mesh(box().vertices * [1, np.nan, 1], box().faces), "positions", "8 are not finite"),
        (Mesh(box().vertices, np.zeros((0, 3), dtype=int)), "mesh", "it has no faces"),
    ],
)
def test_faults_by_name(mesh: Mesh, name: str, value: str):
    assert name in faults(Asset(mesh))
    assert found(Asset(mesh))[name] == value


def test_winding_is_counted():
    twisted = box().faces.copy()
    twisted[0] = twisted[0, ::-1]
    assert faults(Asset(Mesh(box().vertices, twisted))) == ["winding"]
    assert found(Asset(Mesh(box().vertices, twisted)))["winding"].startswith("3 edges")


def test_components_and_sizes_that_make_one_doubt():
    two = joined_meshes(ball(1), ball(1, centre=(3, 0, 0)))
    assert found(Asset(two))["components"] == "2"
    assert "millimetres" in found(Asset(Mesh(box().vertices * 1000, box().faces)))["size"]
    assert "centimetres" in found(Asset(Mesh(box().vertices * 100, box().faces)))["size"]
    assert "very small" in found(Asset(Mesh(box().vertices / 1000, box().faces)))["size"]


def test_texture_coordinates():
    mesh = ball(2)
    uv = unwrap(mesh, 256).uv
    assert found(Asset(mesh, uv))["UVs"] == "inside [0, 1], nothing shared by several faces"
    assert "repeats" in found(Asset(mesh, uv + 0.3))["UVs"]
    square = unit_square()
    twice = replace(square, uv=np.stack([square.uv[0], square.uv[0]]))
    assert "50% shared" in found(twice)["UVs"]
    assert faults(replace(square, uv=square.uv * np.nan)) == ["UVs"]


def test_textures():
    square = unit_square(GREY)
    assert found(square)["base colour"] == "4 x 4"
    assert faults(square) == []
    assert faults(unit_square(BLACK)) == ["base colour"]
    assert found(replace(square, material=Material(GREY, roughness=0.25)))["material"] == "roughness 0.25, metallic 0"


@pytest.mark.parametrize(
    ("asset", "problem"),
    [
        (Asset(box(), material=Material(GREY)), "no texture coordinates"),
        (unit_square(GREY[:, :, 0]), "bytes"),
        (replace(unit_square(GREY), uv=np.zeros((1, 3, 2))), "(2, 3, 2)"),
        (replace(unit_square(GREY), uv=np.full((2, 3, 2), np.nan)), "not finite"),
        (replace(unit_square(), normals=np.zeros((2, 3))), "(2, 3, 3)"),
        (Asset(Mesh(box().vertices, np.roll(box().faces, 1, axis=0)[:, ::-1])), "wind inwards"),
    ],
)
def test_what_must_not_be_written(asset: Asset, problem: str):
    (found_problem,) = asset_problems(asset)
    assert problem in found_problem


def test_twisted_faces_must_not_be_written():
    twisted = box().faces.copy()
    twisted[0] = twisted[0, ::-1]
    assert asset_problems(Asset(Mesh(box().vertices, twisted))) == ["at 3 edges faces wind against each other"]
    assert asset_problems(unit_square(GREY)) == []  # open, but sound
