"""A mesh of the user's is given new colours, and keeps its faces, its hard edges and its texture coordinates."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from cli.main import main
from cli.scenes.initial_mesh import begin_with_asset
from cli.scenes.results import finished
from cli.scenes.retexturing import MOST_UNWRAPPED, repainted
from representations.assets.asset import Asset
from representations.assets.reading import load_mesh
from representations.assets.writing import write_asset
from representations.fields.field import DenseGrid
from representations.surfaces.fixed_shape import FixedShape
from representations.surfaces.mesh_field import MeshField
from tests.representations.assets.test_outlines import BOX, box


def in_six_squares() -> np.ndarray:
    """(12, 3, 2) texture coordinates of a box: a square for each side, the last one mirrored."""
    squares = []
    for side in range(6):
        low = np.array([side % 3, side // 3]) / 3 + 0.02
        corners = low + np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * 0.25
        corners = corners[[1, 0, 3, 2]] if side == 5 else corners
        squares += [corners[[0, 1, 2]], corners[[0, 2, 3]]]
    return np.array(squares)


def flat_normals() -> np.ndarray:
    return np.repeat(box().mesh.face_normals[:, None], 3, axis=1)


def field_with(asset: Asset) -> MeshField:
    torch.manual_seed(0)
    field = MeshField(FixedShape(), DenseGrid((4,)))
    for parameter in field.texture.parameters():
        torch.nn.init.normal_(parameter)
    begin_with_asset(field, asset)
    return field


def test_the_artists_texture_coordinates_are_painted_in():
    asset = box(uv=in_six_squares(), normals=flat_normals())
    field = field_with(asset)
    made = finished(field, resolution=96)
    assert np.array_equal(made.mesh.faces, BOX)
    np.testing.assert_allclose(made.mesh.vertices, asset.mesh.vertices, atol=1e-6)
    assert np.array_equal(made.uv, asset.uv)
    np.testing.assert_allclose(made.normals, flat_normals(), atol=1e-6)
    assert np.array_equal(made.polygon_of, asset.polygon_of)
    for face in (0, 5, 11):  # in the middle of a face the picture shows what the field says there
        column, row = (int(value * 96) for value in made.uv[face].mean(axis=0) * [1, -1] + [0, 1])
        centre = np.array([(column + 0.5) / 96, 1 - (row + 0.5) / 96, 1])
        weights = np.linalg.solve(np.column_stack([made.uv[face], np.ones(3)]).T, centre)
        place = torch.from_numpy((weights @ asset.mesh.vertices[BOX[face]])[None]).float()
        expected = field.color_at(place)[0].detach().numpy() * 255
        np.testing.assert_allclose(made.material.base_colour[row, column], expected, atol=1)
    again = MeshField(FixedShape(), DenseGrid((4,)))
    again.load_state_dict(field.state_dict())
    assert np.array_equal(repainted(again, 96).material.base_colour, made.material.base_colour)


def test_a_state_of_a_run_that_kept_less_still_loads_and_a_broken_one_does_not():
    field = field_with(box(uv=in_six_squares()))
    state = field.state_dict()
    of_old = {name: value for name, value in state.items() if not name.endswith(("uv", "normals", "polygon_of"))}
    again = MeshField(FixedShape(), DenseGrid((4,)))
    again.load_state_dict(of_old)
    assert again.shape.of_faces("uv") is None
    with pytest.raises(RuntimeError, match="uv has 3 rows for 12 faces"):
        again.load_state_dict(state | {"shape.uv": state["shape.uv"][:3]})


def test_texture_coordinates_that_cannot_be_painted_in_are_made_anew(caplog: pytest.LogCaptureFixture):
    pytest.importorskip("xatlas")
    on_each_other = np.zeros((12, 3, 2)) + in_six_squares()[:2].repeat(6, axis=0)
    with caplog.at_level(logging.WARNING, logger="scoresmith"):
        made = repainted(field_with(box(uv=on_each_other, normals=flat_normals())), 64)
    assert "it gets new ones" in caplog.text
    assert np.array_equal(made.mesh.faces, BOX)
    np.testing.assert_allclose(made.normals, flat_normals(), atol=1e-6)
    assert not np.array_equal(made.uv, on_each_other)


def test_what_cannot_be_unwrapped_in_time_is_simplified_as_said(caplog: pytest.LogCaptureFixture, monkeypatch):
    monkeypatch.setattr("cli.scenes.retexturing.MOST_UNWRAPPED", 11)
    with caplog.at_level(logging.WARNING, logger="scoresmith"):
        field = field_with(box())
    assert "the mesh has 12 faces and no texture coordinates" in caplog.text
    assert repainted(field, 64) is None
    assert MOST_UNWRAPPED == 30_000


def test_the_file_of_a_run_has_them(tiny_teacher: Path, tmp_path: Path):
    write_asset(box(uv=in_six_squares(), normals=flat_normals()), tmp_path / "box.obj")
    command = ["generate", "a ball", "--teacher", str(tiny_teacher), "--out", str(tmp_path / "out"), "--steps", "2"]
    assert main([*command, "--init", str(tmp_path / "box.obj"), "--retexture"]) == 0
    made, given = load_mesh(tmp_path / "out" / "mesh.glb"), load_mesh(tmp_path / "box.obj")
    assert made.is_textured
    rows = [
        sorted(map(tuple, np.round(np.concatenate([asset.mesh.vertices[asset.mesh.faces], asset.uv], axis=2), 4)
                   .reshape(-1, 5).tolist()))
        for asset in (made, given)
    ]  # fmt: skip
    np.testing.assert_allclose(rows[0], rows[1], atol=2e-4)
    assert main(["export", str(tmp_path / "out"), "--format", "obj"]) == 0
    lines = (tmp_path / "out" / "mesh.obj").read_text().splitlines()
    assert [len(line.split()) for line in lines if line.startswith("f ")] == [5] * 6
