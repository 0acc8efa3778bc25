import sys

import numpy as np
import pytest

from representations.assets.asset import Asset
from representations.assets.finishing import prepared
from representations.assets.quad_remeshing import RemeshingUnavailableError, quad_remeshed
from tests.representations.shapes import ball, coloured, torus


def test_pairs_of_triangles_are_even_quadrilaterals(capfd: pytest.CaptureFixture[str]):
    pytest.importorskip("pynanoinstantmeshes")
    mesh = quad_remeshed(torus(), 2000)
    assert capfd.readouterr().out == ""
    assert 1000 < len(mesh.faces) < 4000
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(torus().volume, rel=0.06)
    first, second = mesh.faces[::2], mesh.faces[1::2]
    np.testing.assert_array_equal(first[:, [0, 2]], second[:, :2])  # the diagonal
    corners = mesh.vertices[np.column_stack([first, second[:, 2]])]
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1)
    assert np.median(sides.max(axis=1) / sides.min(axis=1)) < 1.5


def test_colours_are_painted_again():
    pytest.importorskip("pynanoinstantmeshes")
    asset, notes = prepared(Asset(coloured(ball(3))), faces=1000, quads=True)
    expected = 0.5 + 0.4 * np.sin(2 * asset.mesh.vertices + np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(asset.mesh.colours, expected, atol=0.05)
    assert "quadrilaterals" in notes[0]


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pynanoinstantmeshes", None)
    with pytest.raises(RemeshingUnavailableError, match="pip install pynanoinstantmeshes"):
        quad_remeshed(ball(1), 1000)
