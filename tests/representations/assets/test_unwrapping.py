import sys

import numpy as np
import pytest

from representations.assets.unwrapping import (
    UnwrappingUnavailableError,
    is_inside_unit_square,
    overlapping_texels,
    signed_uv_areas,
    unwrap,
)
from representations.geometry.mesh import Mesh, MeshError, simplified
from tests.representations.shapes import ball, box, joined_meshes, torus

SQUARE = np.array([[[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]], [[0.1, 0.1], [0.9, 0.9], [0.1, 0.9]]])


SHAPES = {"ball": ball(), "torus": torus(), "box": box(), "two parts": joined_meshes(ball(2), torus())}


@pytest.mark.parametrize("name", SHAPES)
def test_charts_lie_apart_inside_the_square_unmirrored(name: str):
    mesh = SHAPES[name]
    unwrapping = unwrap(mesh, resolution=256)
    assert unwrapping.uv.shape == (len(mesh.faces), 3, 2)
    assert unwrapping.charts >= 2
    assert is_inside_unit_square(unwrapping.uv)
    assert overlapping_texels(unwrapping.uv, 512) == 0
    assert (signed_uv_areas(unwrapping.uv) > 0).mean() > 0.99


def test_every_place_gets_its_share_of_the_texture():
    mesh = simplified(ball(4), 2000)
    areas = signed_uv_areas(unwrap(mesh, 256).uv)
    density = areas / mesh.areas
    assert areas.sum() > 0.4
    assert np.percentile(density, 5) > 0.5 * np.median(density)
    assert np.percentile(density, 95) < 2 * np.median(density)


def test_size_and_place_of_a_mesh_do_not_matter():
    mesh = torus()
    far = Mesh(mesh.vertices * 1e-3 + np.array([5.0, 0.0, 0.0]), mesh.faces)
    np.testing.assert_allclose(unwrap(far, 128).uv, unwrap(mesh, 128).uv, atol=0.02)


def test_overlaps_are_counted_in_texels():
    assert overlapping_texels(SQUARE, 100) == 0  # the diagonal belongs to both, but lies strictly inside neither
    twice = np.concatenate([SQUARE, SQUARE[:1]])
    assert overlapping_texels(twice, 100) == pytest.approx(80 * 80 / 2, rel=0.02)
    assert overlapping_texels(np.concatenate([SQUARE, SQUARE]) * 0.5, 100) == pytest.approx(40 * 40, rel=0.05)


def test_inside_and_outside():
    assert is_inside_unit_square(SQUARE)
    assert not is_inside_unit_square(SQUARE + 0.2)
    assert not is_inside_unit_square(SQUARE * np.nan)


def test_signed_areas():
    np.testing.assert_allclose(signed_uv_areas(SQUARE), 0.32)
    np.testing.assert_allclose(signed_uv_areas(SQUARE[:, ::-1]), -0.32)


def test_what_cannot_be_unwrapped_is_said(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(MeshError, match="without faces"):
        unwrap(Mesh(np.zeros((3, 3)), np.zeros((0, 3), dtype=int)))
    monkeypatch.setitem(sys.modules, "xatlas", None)
    with pytest.raises(UnwrappingUnavailableError, match="pip install xatlas"):
        unwrap(box())
