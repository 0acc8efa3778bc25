"""Light on surfaces: closed forms."""

import math

import pytest
import torch

from representations.cameras import turntable
from representations.shading import Light, headlight, lambertian, metallic_roughness, textureless

UP = torch.tensor([[0.0, 0.0, 1.0]])


def one_pixel(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(1, -1, 1, 1)


def direction(angle: float) -> torch.Tensor:
    """(1, 3) in the x-z plane."""
    return torch.tensor([[math.sin(angle), 0.0, math.cos(angle)]], dtype=torch.float64)


def test_lambert():
    albedo, light = one_pixel(0.2, 0.5, 1.0), Light(direction(1.0), ambient=0.3, diffuse=0.7)
    expected = 0.3 + 0.7 * math.cos(1.0)
    torch.testing.assert_close(lambertian(albedo, one_pixel(0, 0, 1), light), albedo * expected)
    torch.testing.assert_close(textureless(albedo, one_pixel(0, 0, 1), light), torch.full_like(albedo, expected))
    torch.testing.assert_close(lambertian(albedo, one_pixel(0, 0, -1), light), albedo * 0.3)


@pytest.mark.parametrize(("roughness", "metallic"), [(0.5, 0.0), (0.8, 0.3), (1.0, 1.0)])
def test_a_shining_material_seen_and_lit_from_straight_above(roughness: float, metallic: float):
    """All cosines are 1: D = 1 / (pi alpha^2), V = 1/4, F = F0, with alpha = roughness^2."""
    albedo = one_pixel(0.2, 0.5, 0.1)
    light = Light(direction(0.0), ambient=0.1, diffuse=0.2, towards_camera=direction(0.0))
    found = metallic_roughness(roughness, metallic)(albedo, one_pixel(0, 0, 1), light)
    fresnel = 0.04 * (1 - metallic) + albedo * metallic
    reflection = fresnel / (4 * roughness**4)
    expected = 0.1 * albedo + 0.2 * ((1 - fresnel) * (1 - metallic) * albedo + reflection)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("roughness", [0.3, 0.6, 1.0])
def test_no_more_light_leaves_than_arrives(roughness: float):
    """A white metal under light from one side: what leaves in all directions, integrated over the hemisphere.

    With roughness 1 facets look everywhere alike, D V = 1 / (2 pi (l + c)) for the cosines l of the light and c of the
    camera, and the integral is 1 - l ln((1 + l) / l): facets hide two thirds of the light from each other.
    """
    count = 400
    cosine = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    around = (torch.arange(count, dtype=torch.float64) + 0.5) * (2 * math.pi / count)
    cosine, around = (grid.reshape(-1) for grid in torch.meshgrid(cosine, around, indexing="ij"))
    sine = (1 - cosine.square()).sqrt()
    out = torch.stack([sine * around.cos(), sine * around.sin(), cosine], dim=1)
    to_light = direction(0.5).expand(len(out), 3)
    # A weak light, so that nothing is cut off. By symmetry light and camera may change places.
    light = Light(to_light, ambient=0.0, diffuse=1e-3, towards_camera=out)
    normal, white = one_pixel(0, 0, 1).expand(len(out), -1, -1, -1), one_pixel(1, 1, 1).expand(len(out), -1, -1, -1)
    radiance = metallic_roughness(roughness, 1.0)(white, normal, light)[:, 0, 0, 0] / 1e-3
    # For light that reaches the surface under this angle, a white Lambertian surface sends out its cosine everywhere.
    share = (radiance * cosine).mean() * 2 / math.cos(0.5)
    exact = 1 - math.cos(0.5) * math.log((1 + math.cos(0.5)) / math.cos(0.5))
    assert exact * 0.999 < share.item() < 1
    if roughness == 1:
        assert share.item() == pytest.approx(exact, rel=1e-3)


def test_light_and_camera_of_a_view():
    light = headlight(turntable(4, 0.3))
    torch.testing.assert_close(light.direction.norm(dim=1), torch.ones(4))
    chosen = light.of_views(torch.tensor([2, 2, 0]))
    torch.testing.assert_close(chosen.direction, light.direction[[2, 2, 0]])
    torch.testing.assert_close(chosen.towards_camera, light.towards_camera[[2, 2, 0]])


def test_what_cannot_be_is_refused():
    for roughness, metallic in ((0.0, 0.0), (1.1, 0.0), (0.5, -0.1)):
        with pytest.raises(ValueError, match="roughness"):
            metallic_roughness(roughness, metallic)
    with pytest.raises(ValueError, match="camera"):
        metallic_roughness(0.5, 0.0)(one_pixel(1, 1, 1), one_pixel(0, 0, 1), Light(UP))
