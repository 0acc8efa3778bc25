"""Polygons that touch or cross themselves are cut into triangles that cover what the polygon covers, and no more."""

import numpy as np
import pytest

from representations.geometry.least_area import least_area_triangles

POLYGONS = {
    "a square": ([[0, 0], [2, 0], [2, 2], [0, 2]], 4),
    "corners on one line": ([[0, 0], [1, 0], [2, 0], [2, 1], [2, 2], [1, 2], [0, 2], [0, 1]], 4),
    "a dent to the rim": ([[0, 0], [2, 0], [2, 2], [1, 0], [0, 2]], 2),
    "a corner twice": ([[0, 0], [2, 0], [2, 0], [2, 2], [0, 2]], 4),
    "a spike": ([[0, 0], [2, 0], [3, 0], [2, 0], [2, 2], [0, 2]], 4),
    "a hole joined to the rim": (
        [[0, 0], [3, 0], [3, 3], [0, 3], [0, 0], [1, 1], [1, 2], [2, 2], [2, 1], [1, 1]],
        8,
    ),
    "two squares that touch": ([[0, 0], [1, 0], [1, 1], [2, 1], [2, 2], [1, 2], [1, 1], [0, 1]], 2),
    "a bow tie": ([[0, 0], [2, 2], [2, 0], [0, 2]], 4),  # crosses at no corner of its own: two triangles of 2
}


def directed(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    return np.cross(b - a, c - a) / 2


@pytest.mark.parametrize("name", POLYGONS)
def test_what_is_covered(name: str):
    flat, area = POLYGONS[name]
    tilted = np.linalg.qr(np.array([[1.0, 2, 3], [0, 1, 1], [1, 0, 2]]))[0]
    points = np.column_stack([flat, np.zeros(len(flat))]) @ tilted.T + 5
    triangles = least_area_triangles(points)
    assert len(triangles) == len(points) - 2
    assert set(triangles.reshape(-1).tolist()) == set(range(len(points)))
    parts = directed(points, triangles)
    assert np.linalg.norm(parts, axis=1).sum() == pytest.approx(area)
    outline = np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0) / 2
    np.testing.assert_allclose(parts.sum(axis=0), outline, atol=1e-9)


def test_slivers_only_where_nothing_else_is_left():
    """With a corner in the middle of a side, no triangle needs to be without area."""
    points = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 2, 0]], dtype=float)
    assert (np.linalg.norm(directed(points, least_area_triangles(points)), axis=1) > 0.5).all()


def test_a_bent_polygon_is_no_larger_than_any_fan():
    rng = np.random.default_rng(0)
    for count in (4, 5, 9, 20):
        points = rng.normal(size=(count, 3))
        least = np.linalg.norm(directed(points, least_area_triangles(points)), axis=1).sum()
        for start in range(count):
            order = np.roll(np.arange(count), -start)
            fan = np.stack([np.full(count - 2, order[0]), order[1:-1], order[2:]], axis=-1)
            assert least <= np.linalg.norm(directed(points, fan), axis=1).sum() + 1e-9
