from dataclasses import replace

import numpy as np
import pytest

from representations.assets import finishing
from representations.assets.asset import Asset
from representations.assets.closing import closed, without_pinches
from representations.assets.finishing import prepared
from representations.assets.repair import flipped, repaired, with_faces
from representations.assets.unwrapping import unwrap
from representations.geometry.mesh import Mesh, MeshError
from tests.representations.shapes import ball, box, coloured, joined_meshes, torus, unit_square


def without_top(mesh: Mesh, height: float) -> Mesh:
    return mesh.with_faces(mesh.vertices[mesh.faces][:, :, 1].mean(axis=1) < height)


def test_a_sound_asset_is_not_touched():
    asset = Asset(coloured(torus()))
    again, notes = repaired(asset)
    assert again is asset
    assert notes == []


def test_everything_that_belongs_to_a_face_goes_and_turns_with_it():
    mesh = box()
    hard = np.repeat((mesh.face_normals / np.linalg.norm(mesh.face_normals, axis=1, keepdims=True))[:, None], 3, axis=1)
    asset = Asset(mesh, unwrap(mesh, 64).uv, normals=hard)
    first = np.arange(12) < 5
    turned = flipped(asset, first)
    np.testing.assert_array_equal(turned.mesh.faces[:5], mesh.faces[:5, ::-1])
    np.testing.assert_array_equal(turned.uv[:5], asset.uv[:5, ::-1])
    np.testing.assert_allclose(turned.normals[:5], -hard[:5])
    np.testing.assert_allclose(turned.normals[5:], hard[5:])
    kept = with_faces(asset, first)
    assert (len(kept.mesh.faces), kept.uv.shape, kept.normals.shape) == (5, (5, 3, 2), (5, 3, 3))
    mended, notes = repaired(flipped(asset, np.arange(12) % 2 == 0))
    np.testing.assert_allclose(mended.uv, asset.uv)
    np.testing.assert_allclose(mended.normals, hard)
    assert notes == ["6 faces that wound the wrong way were turned round"]


def test_normals_that_were_right_stay_right_when_faces_are_turned():
    mesh = box()
    hard = np.repeat((mesh.face_normals / np.linalg.norm(mesh.face_normals, axis=1, keepdims=True))[:, None], 3, axis=1)
    inside_out = Asset(replace(mesh, faces=mesh.faces[:, ::-1]), normals=hard)
    mended, _ = repaired(inside_out)
    np.testing.assert_allclose(mended.normals, hard)
    assert mended.mesh.volume == pytest.approx(mesh.volume)


def test_numbers_that_are_none_are_replaced():
    mesh = coloured(ball(1))
    mesh.colours[3] = np.nan
    asset, notes = repaired(Asset(mesh))
    np.testing.assert_array_equal(asset.mesh.colours[3], 1)
    assert notes == ["colours that are not finite became white"]
    square = unit_square()
    square.uv[0, 0] = np.inf
    asset, notes = repaired(square)
    np.testing.assert_array_equal(asset.uv[0, 0], 0)
    assert notes == ["texture coordinates that are not finite became 0"]


def test_nothing_left():
    flat = Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]]))
    with pytest.raises(MeshError, match="no face with an area"):
        repaired(Asset(flat))
    with pytest.raises(MeshError, match="no face with an area"):
        repaired(Asset(Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]]))))


def test_holes_are_filled_and_the_rest_stays():
    mesh = coloured(without_top(ball(3), 0.8))
    whole, how = closed(mesh)
    assert whole.is_watertight
    assert how == "1 hole was filled"
    np.testing.assert_array_equal(whole.faces[: len(mesh.faces)], mesh.faces)
    np.testing.assert_array_equal(whole.vertices[:-1], mesh.vertices)
    rim = mesh.vertices[:, 1].max()
    cap = np.pi * (1 - rim) ** 2 * (2 + rim) / 3  # what a plane cuts off a ball
    assert whole.volume == pytest.approx(ball(3).volume - cap, rel=0.02)
    assert ((whole.colours >= 0) & (whole.colours <= 1)).all()


def test_several_holes_and_rims_that_touch():
    tube = torus().with_faces(np.abs(torus().vertices[torus().faces][:, :, 0]).max(axis=1) < 0.3)
    whole, how = closed(tube)
    assert whole.is_watertight
    assert how == "4 holes were filled"
    pinched = ball(2)
    around = (pinched.faces == 0).any(axis=1)
    first, second = np.flatnonzero(around)[[0, 2]]
    keep = np.ones(len(pinched.faces), dtype=bool)
    keep[[first, second]] = False  # two holes that meet at a vertex
    whole, how = closed(pinched.with_faces(keep))
    assert whole.is_watertight
    assert how == "2 holes were filled"
    assert whole.volume == pytest.approx(pinched.volume, rel=0.02)


def test_what_cannot_be_filled_is_wrapped():
    crossing = joined_meshes(ball(2), box((0.5, 0.5, 0.5)))
    fin = Mesh(
        np.concatenate([crossing.vertices, [[0.0, 1.6, 0]]]),
        np.concatenate([crossing.faces, [[*crossing.faces[0, :2], len(crossing.vertices)]]]),
    )
    whole, how = closed(coloured(fin), nodes=64)
    assert "wrapped" in how
    assert whole.is_watertight
    assert whole.volume == pytest.approx(ball(2).volume, rel=0.15)  # a wall of less than a cell thicker
    assert whole.vertices[:, 1].max() > 1.4  # the fin has become a wall
    np.testing.assert_allclose(whole.colours, coloured(whole).colours, atol=0.15)


def test_a_sheet_becomes_a_thin_wall():
    sheet = unit_square().mesh
    whole, _ = closed(sheet, nodes=48)
    assert whole.is_watertight
    thickness = np.ptp(whole.vertices[:, 2])
    assert 0 < thickness < 0.06
    assert whole.volume == pytest.approx(thickness, rel=0.2)


def test_watertight_already():
    mesh = torus()
    assert closed(mesh)[0] is mesh


def test_prepared_closes_and_paints_what_it_closed():
    mesh = coloured(without_top(ball(3), 0.5))
    asset, notes = prepared(Asset(mesh), watertight=True, resolution=64)
    assert asset.mesh.is_watertight
    assert asset.material.base_colour.shape == (64, 64, 3)
    assert notes == ["made watertight: 1 hole was filled", "unwrapped and painted anew at 64 x 64 texels"]


def test_pinches_are_cut_out():
    two = joined_meshes(ball(3), ball(3, centre=(3, 0, 0)))
    count = len(ball(3).vertices)
    a, b = ball(3).faces[0, :2]
    faces = two.faces.copy()
    faces[faces == a + count], faces[faces == b + count] = a, b  # one edge of both: four faces meet there
    pinched = Mesh(two.vertices, faces)
    assert not pinched.is_watertight
    apart = without_pinches(pinched)
    assert apart.is_watertight
    assert len(apart.component_volumes()) == 2
    np.testing.assert_allclose(apart.component_volumes(), ball(3).volume, rtol=0.02)


def test_coarser_cuts_pinches_out_where_every_simplification_pinches(monkeypatch: pytest.MonkeyPatch):
    mesh = coloured(ball(4))
    monkeypatch.setattr(finishing, "simplified", lambda mesh, faces: mesh)
    simple = finishing.coarser(mesh, 1000)
    assert len(simple.faces) <= 1000
    assert simple.is_watertight
    np.testing.assert_allclose(simple.colours, coloured(simple).colours, atol=0.02)
    monkeypatch.setattr(finishing, "without_pinches", lambda mesh: mesh.with_faces(np.arange(len(mesh.faces)) > 0))
    assert finishing.coarser(mesh, 1000) is mesh
