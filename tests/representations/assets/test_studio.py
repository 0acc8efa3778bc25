"""The light of a studio: what reaches a point, and the floor that takes the shadow."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from representations.assets.asset import Asset
from representations.assets.studio import FLOOR_CELLS, FLOOR_REACH, StudioLight, _Shadows, render_in_studio
from representations.cameras import DEFAULT_FIELD_OF_VIEW, Cameras
from representations.geometry.mesh import Mesh

UP = np.array([[0.0, 1.0, 0.0]])


def mesh_of(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(shape.vertices, np.float64), np.asarray(shape.faces, np.int64))


def camera(elevation: float, size: int = 64) -> Cameras:
    one = torch.ones(1)
    background = torch.tensor([[0.2, 0.6, 0.9]])
    return Cameras(0.4 * one, math.radians(elevation) * one, 4 * one, DEFAULT_FIELD_OF_VIEW * one, background, size)


def test_directions_are_units_around_the_lamp_and_over_the_sky_and_light_the_open_floor_with_one() -> None:
    light = StudioLight(towards_lamp=(3.0, 4.0, 0.0), spread=0.2, lamp=0.7, sky=0.3)
    directions, weights = light.directions()
    assert np.allclose(np.linalg.norm(directions, axis=1), 1)
    assert (directions * weights[:, None])[:, 1].sum() == pytest.approx(1)
    of_lamp = directions @ np.array([0.6, 0.8, 0.0]) >= math.cos(0.2) - 1e-9
    assert (weights * directions[:, 1])[of_lamp].sum() == pytest.approx(0.7, abs=0.02)
    assert directions[:, 1].min() > 0


@pytest.mark.parametrize(
    "wrong", [{"towards_lamp": (1.0, 0.0, 0.0)}, {"spread": 0.0}, {"sky": -0.1}, {"exposure": -1.0}]
)
def test_light_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"shines from above|no light is negative"):
        StudioLight(**wrong)


def test_a_light_turns_with_a_camera() -> None:
    light, azimuth = StudioLight(towards_lamp=(-1.0, 2.0, 0.5)), 0.7
    right, _, backward = (
        Cameras(*[torch.tensor([v]) for v in (azimuth, 0.0, 3.0, 0.6)], torch.ones(1, 3), 8).rotation[0].T
    )
    lamp = torch.tensor(light.turned(azimuth).towards_lamp)
    assert [float(lamp @ right), float(lamp[1]), float(lamp @ backward)] == pytest.approx([-1.0, 2.0, 0.5])


def test_a_ball_in_the_open_gets_the_sum_of_the_light_that_it_faces() -> None:
    light = StudioLight()
    shadows = _Shadows.of(mesh_of(trimesh.creation.icosphere(subdivisions=4, radius=0.5)), light)
    directions, weights = light.directions()
    normals = np.array([[0.0, 1.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.6, 0.8], [0.0, -1.0, 0.0]])
    expected = np.maximum(normals @ directions.T, 0) @ weights + light.bounce * (0.5 - 0.5 * normals[:, 1])
    assert shadows.irradiance(0.5 * normals, normals) == pytest.approx(expected, abs=0.01)
    assert expected[0] == pytest.approx(1)
    assert expected[3] == pytest.approx(light.bounce)


def test_no_light_gets_into_a_closed_box() -> None:
    shadows = _Shadows.of(mesh_of(trimesh.creation.box((1.0, 1.0, 1.0))), StudioLight())
    assert shadows.irradiance(np.array([[0.1, -0.2, 0.0]]), UP) == pytest.approx(0)


def test_the_floor_is_dark_below_a_plate_and_bright_far_from_it_and_on_the_side_of_the_lamp() -> None:
    plate = trimesh.creation.box((0.8, 0.02, 0.8))
    plate.apply_translation((0.0, 0.2, 0.0))
    pole = trimesh.creation.box((0.02, 0.4, 0.02))
    shadows = _Shadows.of(mesh_of(trimesh.util.concatenate([plate, pole])), StudioLight(towards_lamp=(1.0, 1.0, 0.0)))

    def floor_at(x: float, z: float) -> float:
        row, column = (int((v / (FLOOR_REACH * shadows.radius) + 1) / 2 * FLOOR_CELLS) for v in (z, x))
        return float(shadows.on_floor[row, column])

    assert shadows.floor == pytest.approx(-0.2)
    assert floor_at(0.05, 0.05) < 0.45
    assert floor_at(-0.4, 0.0) < floor_at(0.4, 0.0) - 0.3  # the lamp is at +x: the shadow falls to -x
    assert floor_at(0.95, 0.95) > 0.95


def test_a_picture_keeps_its_background_where_no_shadow_falls_and_the_floor_is_not_seen_from_below() -> None:
    ball = Asset(mesh_of(trimesh.creation.icosphere(subdivisions=3, radius=0.3)))
    above, below = render_in_studio(ball, camera(20.0)), render_in_studio(ball, camera(-20.0))
    background = torch.tensor([0.2, 0.6, 0.9])
    for picture in (above, below):
        assert picture.shape == (1, 3, 64, 64)
        assert torch.allclose(picture[0, :, 0, 0], background, atol=1e-6)
    touched = (above[0] - background[:, None, None]).abs().amax(0) > 0.02
    seen = (below[0] - background[:, None, None]).abs().amax(0) > 0.02
    assert touched.sum() > seen.sum() + 50  # the ball alone below, its shadow too above
    floor_only = touched & ~seen.flip(0)
    assert bool((above[0][:, floor_only] <= background[:, None] + 0.02).all())


def test_exposure_brightens_the_object_and_leaves_the_floor() -> None:
    ball = Asset(mesh_of(trimesh.creation.icosphere(subdivisions=3, radius=0.3)))
    ball = replace(ball, mesh=replace(ball.mesh, colours=np.full((len(ball.mesh.vertices), 3), 0.4)))
    plain, bright = (render_in_studio(ball, camera(20.0), StudioLight(exposure=e)) for e in (1.0, 1.5))
    assert bright[0, :, 32, 32].mean() > 1.1 * plain[0, :, 32, 32].mean()
    assert torch.equal(bright[0, :, -2:], plain[0, :, -2:])
