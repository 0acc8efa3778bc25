"""Maps are painted so that nobody can tell: no seams at any distance, and all details."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from representations.assets.asset import Asset, Material
from representations.assets.baking import baked, texels_of, vertex_coloured
from representations.assets.finishing import prepared, textured
from representations.assets.pictures import render_asset, render_mesh
from representations.assets.textures import decoded_image, png_bytes, sample_texture
from representations.assets.unwrapping import unwrap
from representations.cameras import turntable
from representations.geometry.mesh import Mesh, simplified
from tests.representations.shapes import ball, coloured, torus, unit_square

VIEWS = turntable(3, math.radians(20.0), 64)


def seam_differences(asset: Asset, texture: np.ndarray) -> np.ndarray:
    """Colour differences between the two sides of every edge whose sides lie apart in the texture."""
    faces = asset.mesh.faces
    sides: dict[tuple[int, int], list[np.ndarray]] = {}
    for face, corners in zip(faces, asset.uv, strict=True):
        for i, j in ((0, 1), (1, 2), (2, 0)):
            ends = [(face[i], corners[i]), (face[j], corners[j])]
            ends.sort(key=lambda end: end[0])
            sides.setdefault((ends[0][0], ends[1][0]), []).append(np.stack([ends[0][1], ends[1][1]]))
    pairs = [pair for pair in sides.values() if len(pair) == 2 and np.abs(pair[0] - pair[1]).max() > 1e-4]
    assert len(pairs) > 20
    along = np.linspace(0, 1, 9)[:, None]
    return np.concatenate(
        [
            np.abs(np.subtract(*(sample_texture(texture, a * (1 - along) + b * along) for a, b in pair)))
            for pair in pairs
        ]
    )


def coarser(texture: np.ndarray, level: int) -> np.ndarray:
    """A mip-map: means over squares of 2^level texels."""
    size = 2**level
    side = texture.shape[0] // size
    return np.round(texture.reshape(side, size, side, size, 3).mean(axis=(1, 3))).astype(np.uint8)


@pytest.fixture(scope="module")
def baked_torus() -> tuple[Mesh, Asset]:
    detailed = coloured(torus())
    return detailed, textured(Asset(detailed), faces=700, resolution=256)


def test_no_seam_shows_at_any_distance(baked_torus: tuple[Mesh, Asset]):
    asset = baked_torus[1]
    texture = asset.material.base_colour
    assert seam_differences(asset, texture).max() < 0.02
    for level in (1, 2):
        assert seam_differences(asset, coarser(texture, level)).max() < 0.06
    black = np.where(coarser(texture, 4).sum(axis=-1) == 0)
    assert len(black[0]) == 0  # no background anywhere


def test_it_looks_like_the_original(baked_torus: tuple[Mesh, Asset]):
    detailed, asset = baked_torus
    same_shape = baked(detailed, unwrap(detailed, 256).uv, Asset(detailed), 256)
    apart = (render_asset(same_shape, VIEWS) - render_mesh(detailed, VIEWS)).abs()
    assert apart.max() < 0.02
    assert (render_asset(asset, VIEWS) - render_mesh(detailed, VIEWS)).abs().mean() < 0.01


def test_colours_can_come_from_a_field():
    mesh = ball(2)
    asset = baked(mesh, unwrap(mesh, 128).uv, Asset(mesh), 128, colour_at=lambda points, _: 0.5 + 0.5 * points)
    texels = texels_of(asset.uv, 128, gutter=0)
    places = texels.interpolated(mesh.faces, mesh.vertices)
    stored = asset.material.base_colour[texels.row, texels.column] / 255
    np.testing.assert_allclose(stored, 0.5 + 0.5 * places, atol=0.6 / 255 + 1e-9)


def test_the_normal_map_restores_the_shading():
    smooth = ball(5)
    radius = 1 + 0.01 * np.sin(20 * smooth.vertices).sum(axis=1, keepdims=True)
    detailed = Mesh(smooth.vertices * radius * 0.8, smooth.faces)
    asset = textured(Asset(detailed), faces=1000, resolution=512)
    without = replace(asset, material=replace(asset.material, normal=None))
    truth = render_mesh(detailed, VIEWS, lit=True)
    error = (render_asset(asset, VIEWS, lit=True) - truth).abs().mean()
    error_without = (render_asset(without, VIEWS, lit=True) - truth).abs().mean()
    assert error < 0.35 * error_without


def test_a_surface_that_lost_nothing_has_a_flat_normal_map():
    mesh = torus()
    asset = baked(mesh, unwrap(mesh, 128).uv, Asset(mesh), 128)
    texels = texels_of(asset.uv, 128, gutter=0)
    bent = np.abs(asset.material.normal[texels.row, texels.column].astype(int) - [128, 128, 255])
    assert bent.max() <= 1
    assert np.median(asset.material.normal, axis=(0, 1)).tolist() == [128, 128, 255]


def test_texels_of_a_square():
    square = unit_square()
    texels = texels_of(square.uv, 8, gutter=0)
    assert len(texels.row) == 64
    np.testing.assert_allclose(texels.barycentric.sum(axis=1), 1)
    places = texels.interpolated(square.mesh.faces, square.mesh.vertices)
    np.testing.assert_allclose(places[:, 0], (texels.column + 0.5) / 8)
    np.testing.assert_allclose(places[:, 1], 1 - (texels.row + 0.5) / 8)  # row 0 at the top


def test_the_gutter_goes_on_with_the_surface():
    uv = unit_square().uv * 0.5 + 0.25
    inner, outer = texels_of(uv, 32, gutter=0), texels_of(uv, 32, gutter=2)
    assert (len(inner.row), len(outer.row)) == (256, 256 + 4 * 16 * 2 + 4)
    places = outer.interpolated(unit_square().mesh.faces, unit_square().mesh.vertices)
    np.testing.assert_allclose(places[:, 0], ((outer.column + 0.5) / 32 - 0.25) * 2, atol=1e-12)


def test_old_textures_are_painted_onto_new_charts():
    rng = np.random.default_rng(0)
    picture = np.repeat(np.repeat(rng.integers(0, 255, (4, 4, 3)), 16, axis=0), 16, axis=1).astype(np.uint8)
    square = unit_square(picture)
    again = baked(square.mesh, square.uv, square, 64)
    assert np.abs(again.material.base_colour.astype(int) - picture).max() <= 1


def test_lookup_is_bilinear_and_right_way_up():
    image = np.zeros((2, 2, 3), dtype=np.uint8)
    image[0, 1] = 200  # top right: u near 1, v near 1
    np.testing.assert_allclose(sample_texture(image, np.array([[0.75, 0.75]])), 200 / 255)
    np.testing.assert_allclose(sample_texture(image, np.array([[0.5, 0.75]])), 100 / 255)
    np.testing.assert_allclose(sample_texture(image, np.array([[0.5, 0.5]])), 50 / 255)
    np.testing.assert_allclose(sample_texture(image, np.array([[1.75, -0.25]])), 200 / 255)  # it repeats


def test_png_round_trip():
    image = np.random.default_rng(0).integers(0, 255, (5, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(decoded_image(png_bytes(image)), image)


def test_colours_at_vertices_and_back(baked_torus: tuple[Mesh, Asset]):
    asset = baked_torus[1]
    looked_up = vertex_coloured(asset)
    expected = 0.5 + 0.4 * np.sin(2 * looked_up.vertices + np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(looked_up.colours, expected, atol=0.03)
    without, notes = prepared(asset, resolution=0)
    assert without.uv is None
    assert without.material.base_colour is None
    assert notes == ["textures became colours at the vertices"]
    np.testing.assert_allclose(without.mesh.colours, expected, atol=0.03)


def test_simplifying_keeps_a_texture_by_painting_it_anew(baked_torus: tuple[Mesh, Asset]):
    asset, notes = prepared(baked_torus[1], faces=300)
    assert len(asset.mesh.faces) <= 300
    assert asset.material.base_colour.shape == (256, 256, 3)
    assert any("simplified" in note for note in notes)
    assert (render_asset(asset, VIEWS) - render_asset(baked_torus[1], VIEWS)).abs().mean() < 0.02


def test_nothing_changes_what_is_sound(baked_torus: tuple[Mesh, Asset]):
    asset, notes = prepared(baked_torus[1])
    assert notes == []
    assert asset is baked_torus[1]


def test_materials_are_kept(baked_torus: tuple[Mesh, Asset]):
    shiny = replace(baked_torus[1], material=replace(baked_torus[1].material, roughness=0.3, metallic=1.0))
    for changed in (prepared(shiny, faces=300)[0], prepared(shiny, resolution=0)[0], prepared(shiny, resolution=64)[0]):
        assert (changed.material.roughness, changed.material.metallic) == (0.3, 1.0)


def test_plain_assets_render_white_and_lit():
    picture = render_asset(Asset(ball(2, 0.5), material=Material()), VIEWS)
    assert torch.all(picture[:, :, 32, 32] == 1)
    assert render_asset(Asset(ball(2, 0.5)), VIEWS, lit=True)[0, 0, 60:, 32].min() <= 1


def test_simplified_colours_match():
    mesh = coloured(ball(4))
    simple, _ = prepared(Asset(mesh), faces=500)
    expected = 0.5 + 0.4 * np.sin(2 * simple.mesh.vertices + np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(simple.mesh.colours, expected, atol=0.06)
    assert len(simplified(mesh, 500).faces) <= 500
