import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from sds.teachers.layers import (
    FIXED,
    LOOKS,
    NORMAL,
    OPACITY,
    POSITION,
    Look,
    all_looks,
    camera_rotation,
    irradiance,
    picture,
)
from sds.teachers.materials import COLOURS, MATERIALS, paint_of
from sds.teachers.shape_prior import without_crumbs
from sds.teachers.volume import (
    DEFAULT_DISTANCE,
    Eyes,
    all_meeting_again,
    meets_again,
    render_layers,
    trace,
    trace_all,
)
from tests.sds.imagined import ball, box


def from_around() -> Eyes:
    return Eyes.at(torch.tensor([0.0, 1.0, 2.5]), torch.tensor([0.0, 0.3, -0.2]))


@pytest.mark.parametrize("radius", [0.3, 0.8])
def test_a_ball_covers_what_geometry_says(radius: float) -> None:
    layers = render_layers(ball(radius, side=80), from_around(), 64)
    # The cone of tangents to a ball of radius r from distance d has the half angle asin(r / d).
    on_screen = math.tan(math.asin(radius / DEFAULT_DISTANCE)) / math.tan(math.radians(19)) * 32
    assert layers[:, OPACITY].sum((1, 2, 3)).tolist() == pytest.approx([math.pi * on_screen**2] * 3, rel=0.04)


def test_a_ball_looks_the_same_from_everywhere_and_its_middle_faces_the_camera() -> None:
    layers = render_layers(ball(0.6), from_around(), 33)
    assert (layers[0, OPACITY] - layers[1, OPACITY]).abs().mean() < 0.005
    middle = layers[:, :, 16, 16]
    assert torch.allclose(middle[:, NORMAL], torch.tensor([0.5, 0.5, 1.0]).expand(3, 3), atol=0.02)
    assert torch.allclose(middle[:, FIXED], torch.tensor([0.2, 0.4, 0.6]).expand(3, 3), atol=1e-4)
    position = middle[:, POSITION] * 2 - 1
    eyes = from_around()
    towards = camera_rotation(eyes.azimuth, eyes.elevation)[:, :, 2]
    assert torch.allclose(position, 0.6 * towards, atol=0.01)


def test_thin_sheets_are_met() -> None:
    """A slab hardly thicker than a cell, seen from above and from its edge."""
    layers = render_layers(
        box((0.6, 0.012, 0.6), side=96), Eyes.at(torch.zeros(2), torch.tensor([math.pi / 2.2, 0.0])), 64
    )
    above, beside = layers[:, OPACITY].sum((1, 2, 3)).tolist()
    focal = 32 / math.tan(math.radians(19))
    assert above == pytest.approx((1.2 * focal / DEFAULT_DISTANCE) ** 2 * math.sin(math.pi / 2.2), rel=0.1)
    assert beside > 0.5 * 1.2 * 0.024 * (focal / DEFAULT_DISTANCE) ** 2


@pytest.mark.parametrize("cells", [16, 10, 7])
def test_no_background_shows_between_two_surfaces(cells: int) -> None:
    """A small ball before a wall, or half in it: the pixels at its edge show both, and none of what is behind."""
    wall = box((0.8, 0.8, 0.05))
    before = torch.where(ball(0.3)[0].roll(cells, 0)[None] < wall[:1], ball(0.3).roll(cells, 1), wall)
    (layers,) = render_layers(before, Eyes.at(torch.zeros(1), torch.zeros(1)), 64)
    assert float(layers[OPACITY][0, 16:48, 16:48].min()) > 0.99


@pytest.mark.parametrize("radius", [0.2, 0.3])
def test_no_background_shows_where_two_parts_grow_together(radius: float) -> None:
    """A small ball on the side of a large one: where rays enter it shallowly, they come out of neither."""
    small, large = ball(radius).roll((11, 11), (1, 3)), ball(0.5)
    joined = torch.where(small[:1] < large[:1], small, large)
    (layers,) = render_layers(joined, Eyes.at(torch.zeros(1), torch.zeros(1)), 64)
    opacity, around = layers[OPACITY][0].numpy(), np.ones((3, 3))
    inner = ndimage.binary_erosion(ndimage.binary_closing(opacity > 0.95, around), around)
    assert inner.sum() > 500
    assert opacity[inner].min() > 0.99


def test_rays_are_followed_alike_one_by_one_and_all_at_once() -> None:
    """The compiled tracer of the CPU beside the one in torch that cards use."""
    generator = torch.Generator().manual_seed(0)
    field = torch.minimum(ball(0.5, 32)[:1], box((0.7, 0.1, 0.4), 32)[:1])
    field = (field + 0.05 * torch.randn(field.shape, generator=generator)).clamp(-1, 1)
    origin, direction = Eyes.at(torch.tensor([0.3, 2.0]), torch.tensor([0.2, -0.4])).rays(24)
    origins, directions = origin[:, None].expand(-1, 576, -1).reshape(-1, 3), direction.reshape(-1, 3)
    one_by_one, at_once = trace(field, origins, directions), trace_all(field, origins, directions)
    for value, other in zip(one_by_one, at_once, strict=True):
        assert float(((value - other).abs() < 1e-4).float().mean()) > 0.995  # a step more where rounding decides
        assert float((value - other).abs().median()) < 1e-6
    pixel = torch.full((len(origins),), 0.05)
    coverage = (0.5 - at_once[1] / pixel).clamp(0, 1)
    told = (field, origins, directions, at_once[0], coverage, pixel)
    met = meets_again(*told)
    assert 0.01 < float(met.float().mean()) < 0.9
    assert float((met == all_meeting_again(*told)).float().mean()) > 0.995


def test_specks_in_the_air_are_left_out_and_nothing_else_changes() -> None:
    whole = ball(0.5)
    speckled = whole.clone()
    speckled[0, 56:58, 56:58, 56:58] = -0.5
    cleared = without_crumbs(speckled)
    assert torch.equal(cleared[0] < 0, whole[0] < 0)
    assert torch.equal(cleared[1:], whole[1:])
    two = torch.minimum(whole[0], ball(0.2)[0].roll(24, 0))  # a part of a tenth of the size is none
    assert torch.equal(without_crumbs(torch.cat([two[None], whole[1:]]))[0], two)


def test_what_is_seen_lies_over_the_background_in_every_look() -> None:
    eyes = Eyes.at(torch.tensor([0.4]), torch.tensor([0.2]))
    looks = all_looks(render_layers(ball(0.5), eyes, 32), [None], eyes.azimuth, eyes.elevation)
    background = torch.tensor([[0.1, 0.9, 0.3]])
    for number in range(len(LOOKS)):
        shown = picture(looks, torch.tensor([number]), background)
        assert torch.allclose(shown[0, :, 0, 0], background[0])
    albedo = picture(looks, torch.tensor([LOOKS.index(Look.ALBEDO)]), background)
    lit = picture(looks, torch.tensor([LOOKS.index(Look.LIT)]), background)
    inside = looks[0, 9] > 0.999
    assert torch.allclose(albedo[0, :, inside], torch.tensor([0.2, 0.4, 0.6])[:, None], atol=1e-3)
    assert (lit[0, :, inside] <= albedo[0, :, inside] + 1e-6).all()


def test_light_comes_from_above_and_one_lamp() -> None:
    normals = torch.eye(3)[:, :, None, None]
    normals = torch.cat([normals, -normals])
    light = irradiance(normals)[:, 0, 0, 0]
    up, down = light[1], light[4]
    assert up == pytest.approx(min(1.0, 0.45 + 0.25 + 0.4 * 0.7954), abs=1e-4)
    assert down == pytest.approx(0.45)
    assert light[0] > light[3]  # +x faces the lamp, -x does not
    assert light[2] > light[5]


def test_paint_covers_only_what_can_be_painted() -> None:
    eyes = Eyes.at(torch.zeros(1), torch.zeros(1))
    red = paint_of("red", None)
    painted = all_looks(render_layers(box((0.4, 0.4, 0.4)), eyes, 32), [red], eyes.azimuth, eyes.elevation)
    kept = all_looks(render_layers(ball(0.4), eyes, 32), [red], eyes.azimuth, eyes.elevation)
    assert torch.allclose(painted[0, 3:6, 16, 16], torch.tensor(COLOURS["red"]), atol=0.01)
    assert torch.allclose(kept[0, 3:6, 16, 16], torch.tensor([0.2, 0.4, 0.6]), atol=0.01)


@pytest.mark.parametrize("name", list(MATERIALS))
def test_every_material_has_a_colour_in_range_everywhere(name: str) -> None:
    points = torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    material = MATERIALS[name]
    paint = paint_of("blue", name)
    assert paint is not None
    colours = paint.colour_at(points)
    assert colours.shape == (500, 3)
    assert colours.min() >= 0
    assert colours.max() <= 1
    if material.pattern is not None:
        assert colours.std(0).max() > 0.02
        assert material.pattern(points).shape == (500, 1)
    else:
        assert torch.equal(colours, torch.tensor(COLOURS["blue"]).expand(500, 3))


def test_a_material_without_a_colour_of_its_own_leaves_the_thing_as_it_is() -> None:
    assert paint_of(None, "leather") is None
    assert paint_of(None, None) is None
    striped = paint_of(None, "striped")
    assert striped is not None
    assert striped.colour == COLOURS["red"]
    with pytest.raises(KeyError):
        paint_of("octarine", None)
