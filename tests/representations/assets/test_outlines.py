"""Polygons survive: read from a file, cut into triangles, written as polygons again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from representations.assets import finishing
from representations.assets.asset import Asset
from representations.assets.finishing import prepared
from representations.assets.formats import polygons
from representations.assets.formats.polygons import outlines, triangulated
from representations.assets.reading import read_mesh_file
from representations.assets.repair import flipped
from representations.assets.writing import losses, write_asset
from representations.geometry.mesh import Mesh

SIDES = [[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
CORNERS = np.array([[x, y, z] for z in (0, 1) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))], dtype=float)
BOX = np.array([[side[a], side[b], side[c]] for side in SIDES for a, b, c in ((0, 1, 2), (0, 2, 3))])


def box(**more: object) -> Asset:
    return Asset(Mesh(CORNERS, BOX), polygon_of=np.arange(12) // 2, **more)


def faces_in(path: Path) -> list[list[str]]:
    return [line.split()[1:] for line in path.read_text().splitlines() if line.startswith("f ")]


def from_smallest(loop: list[int]) -> list[int]:
    start = loop.index(min(loop))
    return loop[start:] + loop[:start]


def test_what_was_cut_is_put_together_again():
    flat = np.array([[0, 0], [4, 0], [4, 4], [2, 1], [0, 4], [6, 0], [8, 0], [8, 2], [6, 2]], dtype=float)
    positions = np.column_stack([flat, np.zeros(9)])
    polygons = [[0, 1, 2, 3, 4], [5, 6, 7, 8], [1, 5, 2]]  # the first has a dent
    sizes = np.array([len(polygon) for polygon in polygons])
    corners = np.concatenate(polygons)
    triangles, polygon_of = triangulated(positions, corners, sizes, 100)
    places = outlines(corners[triangles][:, :, None], polygon_of)
    flat_corners = corners[triangles].reshape(-1)
    assert [from_smallest(flat_corners[loop].tolist()) for loop in places] == [from_smallest(p) for p in polygons]


HOLE = "0 0 1 3 0 1 3 3 1 0 3 1 1 1 1 1 2 1 2 2 1 2 1 1"
"""A square of 3 and one of 1 in it, as CAD programs write them: one polygon, whose rim leads to the hole and back."""


def with_a_hole(path: Path) -> Path:
    rows = np.array(HOLE.split()).reshape(-1, 3)
    path.write_text("".join(f"v {' '.join(row)}\n" for row in rows) + "f 1 2 3 4 1 5 6 7 8 5\n")
    return path


def test_a_hole_that_is_joined_to_the_rim_stays_open(tmp_path: Path):
    mesh = read_mesh_file(with_a_hole(tmp_path / "frame.obj")).asset.mesh
    assert mesh.areas.sum() == pytest.approx(8)
    assert (mesh.areas > 0.4).all()
    np.testing.assert_allclose(mesh.face_normals.sum(axis=0), [0, 0, 16])  # of twice the area each


def test_time_for_such_polygons_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(polygons, "_MOST_TRIES", 10.0)
    assert len(read_mesh_file(with_a_hole(tmp_path / "frame.obj")).asset.mesh.faces) == 8


def test_polygons_of_an_obj_are_those_of_the_obj_that_is_written(tmp_path: Path):
    lines = [f"v {x} {y} {z}" for x, y, z in CORNERS] + ["v 0.5 0.5 2"]
    lines += ["vt 0 0", "vt 1 0", "vt 1 1", "vt 0 1"]
    lines += ["f " + " ".join(f"{v + 1}/{n + 1}" for n, v in enumerate(side)) for side in SIDES if side != SIDES[1]]
    lines += [f"f {a}/1 {b}/2 9/3" for a, b in ((5, 6), (6, 7), (7, 8), (8, 5))]
    (tmp_path / "house.obj").write_text("\n".join(lines))
    asset, notes = prepared(read_mesh_file(tmp_path / "house.obj").asset)
    assert notes == []
    assert "quadrilaterals and other polygons are cut into triangles" in losses(asset, tmp_path / "house.glb")
    assert not any("polygons" in loss for loss in losses(asset, tmp_path / "again.obj"))
    write_asset(asset, tmp_path / "again.obj")
    assert sorted(map(len, faces_in(tmp_path / "again.obj"))) == [3] * 4 + [4] * 5
    again = read_mesh_file(tmp_path / "again.obj").asset
    np.testing.assert_allclose(again.mesh.vertices, asset.mesh.vertices)
    assert np.array_equal(again.mesh.faces, asset.mesh.faces)
    np.testing.assert_allclose(again.uv, asset.uv)


def test_triangles_that_make_no_polygon_any_more_stay_triangles(tmp_path: Path):
    write_asset(box(), tmp_path / "box.obj")
    assert list(map(len, faces_in(tmp_path / "box.obj"))) == [4] * 6
    turned = flipped(box(), np.arange(12) == 0)
    corners = turned.mesh.faces[:, :, None]
    assert list(map(len, outlines(corners, turned.polygon_of))) == [3, 3] + [4] * 5
    seam = np.zeros((12, 3, 2))
    seam[1] += 0.5  # another place in the texture than its other half has
    write_asset(box(uv=seam), tmp_path / "seam.obj")
    assert list(map(len, faces_in(tmp_path / "seam.obj"))) == [3, 3] + [4] * 5


@pytest.mark.parametrize("resolution", [None, 64])
def test_quadrilaterals_are_written_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resolution: int | None):
    monkeypatch.setattr(finishing, "quad_remeshed", lambda mesh, faces: Mesh(CORNERS.copy(), BOX.copy()))
    triangles = replace(box(), polygon_of=None)
    asset, notes = prepared(triangles, resolution=resolution, quads=True)
    assert notes[0] == "built anew of 6 quadrilaterals"
    write_asset(asset, tmp_path / "box.obj")
    assert list(map(len, faces_in(tmp_path / "box.obj"))) == [4] * 6
    write_asset(prepared(triangles, resolution=resolution)[0], tmp_path / "plain.obj")
    assert list(map(len, faces_in(tmp_path / "plain.obj"))) == [3] * 12
