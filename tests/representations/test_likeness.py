"""How much shapes look alike, where it is known: balls of two sizes, plates at an angle, and nothing at all."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from representations.cameras import DEFAULT_DISTANCE, turntable
from representations.geometry.mesh import Mesh
from representations.likeness import Likeness, SeenShape, likeness, nearest, seen_from
from tests.representations.shapes import ball

CAMERAS = turntable(4, math.radians(15), 96)


def plate(tilt: float) -> Mesh:
    """A square in the plane z = 0, turned around the x axis by degrees."""
    angle = math.radians(tilt)
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    vertices = np.stack([corners[:, 0], corners[:, 1] * math.cos(angle), corners[:, 1] * math.sin(angle)], axis=1)
    return Mesh(vertices, np.array([[0, 1, 2], [0, 2, 3]]))


def test_balls_of_two_sizes():
    """A ball of radius r at distance d is a disc whose radius is proportional to r / sqrt(d^2 - r^2)."""
    large, small = (seen_from(ball(4, radius), CAMERAS) for radius in (0.8, 0.6))
    share = (0.6**2 / (DEFAULT_DISTANCE**2 - 0.6**2)) / (0.8**2 / (DEFAULT_DISTANCE**2 - 0.8**2))
    found = likeness(small, large)
    assert found.overlap == pytest.approx(share, abs=0.01)
    own = likeness(large, large)
    assert (own.angle, own.overlap) == (pytest.approx(0, abs=0.05), 1.0)


@pytest.mark.parametrize("tilt", [10.0, 35.0])
def test_a_plate_that_is_turned_is_seen_at_that_angle(tilt: float):
    """From the front and from behind: the far side of a sheet counts as the near one."""
    cameras = replace(turntable(2, 0.0, 64), elevation=torch.zeros(2))
    found = likeness(seen_from(plate(tilt), cameras), seen_from(plate(0), cameras))
    assert found.angle == pytest.approx(tilt, abs=0.1)
    assert math.cos(math.radians(tilt)) - 0.08 < found.overlap < 1


def test_normals_point_to_the_camera_and_have_length_one():
    seen = seen_from(ball(4, 0.7), CAMERAS)
    assert seen.mask.shape == (4, 96, 96)
    lengths = np.linalg.norm(seen.normals, axis=-1)
    np.testing.assert_allclose(lengths[seen.mask], 1, atol=1e-5)
    assert not lengths[~seen.mask].any()
    middle = seen.normals[:, 48, 48]
    np.testing.assert_allclose((middle * CAMERAS.position.numpy()).sum(1), DEFAULT_DISTANCE, rtol=2e-3)


def test_the_nearest_is_the_one_with_the_same_outline():
    balls = [seen_from(ball(3, radius), CAMERAS) for radius in (0.3, 0.6, 0.9)]
    number, found = nearest(seen_from(ball(3, 0.65), CAMERAS), balls)
    assert number == 1
    assert found.overlap > 0.8


def test_nothing_in_common():
    mask = np.zeros((1, 2, 2), np.bool_)
    up = np.zeros((1, 2, 2, 3), np.float32)
    left, right = mask.copy(), mask.copy()
    left[:, :, 0], right[:, :, 1] = True, True
    found = likeness(SeenShape(left, up), SeenShape(right, up))
    assert math.isnan(found.angle)
    assert found.overlap == 0
    assert isinstance(likeness(SeenShape(mask, up), SeenShape(mask, up)), Likeness)
    with pytest.raises(ValueError, match="cannot be compared"):
        likeness(SeenShape(mask, up), SeenShape(mask[:, :1], up[:, :1]))
    with pytest.raises(ValueError, match="no shape"):
        nearest(SeenShape(mask, up), [])
    with pytest.raises(ValueError, match="masks"):
        SeenShape(mask, up[..., :2])
