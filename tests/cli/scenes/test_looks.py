"""What a teacher is asked about is what a representation shows: the same looks, from the same sides."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from cli.scenes.looks import SHADINGS, STUDIO, LookShares
from cli.scenes.request import Request
from cli.scenes.stage import Stage
from representations.cameras import Cameras, CameraSampler, turntable
from representations.fields.field import DenseGrid
from representations.surfaces.fixed_shape import FixedShape
from representations.surfaces.mesh_field import MeshField
from sds.teachers.layers import LOOKS, Look, all_looks, picture
from sds.teachers.volume import Eyes, render_layers
from tests.representations.shapes import ball as ball_mesh
from tests.sds.imagined import ball as ball_field

RADIUS, COLOUR, SIZE = 0.6, (0.2, 0.4, 0.6), 48


def imagined(cameras: Cameras) -> torch.Tensor:
    """A ball as a shape teacher's field shows it."""
    eyes = Eyes(cameras.azimuth, cameras.elevation, cameras.distance, cameras.field_of_view)
    layers = render_layers(ball_field(RADIUS, 64, COLOUR), eyes, SIZE)
    looks = all_looks(layers, [None] * len(cameras), cameras.azimuth, cameras.elevation)
    return picture(looks, cameras.look, cameras.background)


def shown(cameras: Cameras) -> torch.Tensor:
    """The same ball as a mesh."""
    field = MeshField(FixedShape(ball_mesh(5, RADIUS)), DenseGrid((4,)), shading=SHADINGS, lighting=STUDIO)
    with torch.no_grad():
        field.texture.levels[0][..., 1:] = torch.tensor(COLOUR).logit()
        return F.avg_pool2d(field(cameras.resized(2 * SIZE)).image, 2)


@pytest.mark.parametrize("look", Look)
def test_a_mesh_shows_what_the_teacher_imagines(look: Look) -> None:
    cameras = turntable(3, math.radians(25), SIZE, background=0.3).showing(LOOKS.index(look))
    apart = (shown(cameras) - imagined(cameras)).abs()
    assert apart.mean() < 0.006
    assert apart[:, :, 15:33, 15:33].max() < 0.03


def test_the_directions_of_a_ball_are_its_rays_ends() -> None:
    """Seen from the camera, the normal of a ball around the origin is the point of it that the ray meets."""
    cameras = turntable(2, 0.4, SIZE).showing(LOOKS.index(Look.NORMALS))
    origins, directions = cameras.rays()
    towards = -(origins * directions).sum(-1)
    inside = towards.square() - origins.square().sum(-1) + RADIUS**2
    met = origins + (towards - inside.clamp(min=0).sqrt())[..., None] * directions
    normal = torch.einsum("bij,bhwi->bjhw", cameras.rotation, F.normalize(met, dim=-1))
    well_within = (inside > 0.1)[:, None].expand(-1, 3, -1, -1)
    for pictures in (shown(cameras), imagined(cameras)):
        assert (pictures - (normal / 2 + 0.5))[well_within].abs().max() < 0.03


def test_looks_are_drawn_as_often_as_their_shares_say() -> None:
    sampler = CameraSampler(16, looks=LookShares(lit=0.25, normals=0.5, albedo=0.25).in_order())
    rng = torch.Generator().manual_seed(0)
    drawn = torch.stack([sampler(4, rng).look for _ in range(64)])
    assert torch.equal(drawn.sort(dim=1).values, torch.tensor([0, 1, 2, 2]).expand(64, 4))
    assert all(drawn[:, place].unique().tolist() == [0, 1, 2] for place in range(4))  # at no place of the turn alone
    plain = CameraSampler(16)(4, torch.Generator().manual_seed(0))
    assert plain.look is None
    assert torch.equal(plain.azimuth, sampler(4, torch.Generator().manual_seed(0)).azimuth)
    with pytest.raises(ValueError, match="shares"):
        LookShares()
    with pytest.raises(ValueError, match="shares"):
        CameraSampler(16, looks=(0.5, -0.1))


def test_fields_see_every_look_but_where_normals_would_cost_an_hour():
    """A hash grid knows normals only by looking around each sample; its bare colours are albedo."""
    for encoding, shares in (("grid", (0.1, 0.3, 0.6)), ("hash", (0.0, 1.0, 0.0))):
        request = Request("a mug", encoding=encoding)
        stage = Stage("nerf", request.recipe("nerf"), None)
        assert stage.shading == (SHADINGS if encoding == "grid" else None)
        cameras = replace(stage, recipe=replace(stage.recipe, size=8)).cameras()
        assert cameras.looks == pytest.approx(shares)
        assert cameras.overhead_probability == 0.3
    assert Stage("nerf", Request("a mug", teacher="some/hub-name").recipe("nerf"), None).shading is None
