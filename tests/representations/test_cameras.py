import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from representations.cameras import DEFAULT_FIELD_OF_VIEW, Cameras, CameraSampler, turntable


def camera(azimuth: float, elevation: float, distance: float = 2.0, fov: float = math.pi / 2, size: int = 2) -> Cameras:
    return Cameras(
        torch.tensor([azimuth]), torch.tensor([elevation]), torch.tensor([distance]), torch.tensor([fov]),
        torch.ones(1, 3), size,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("azimuth", "elevation", "position"),
    [
        (0.0, 0.0, [0.0, 0.0, 2.0]),
        (math.pi / 2, 0.0, [2.0, 0.0, 0.0]),
        (math.pi, 0.0, [0.0, 0.0, -2.0]),
        (0.0, math.pi / 2, [0.0, 2.0, 0.0]),
        (0.0, math.pi / 6, [0.0, 1.0, math.sqrt(3.0)]),
    ],
)
def test_position(azimuth, elevation, position):
    torch.testing.assert_close(camera(azimuth, elevation).position[0], torch.tensor(position), atol=1e-6, rtol=0)


@given(st.floats(0, 2 * math.pi), st.floats(-math.pi / 2, math.pi / 2))
def test_rotation_is_proper_and_looks_at_the_origin(azimuth, elevation):
    one = camera(azimuth, elevation)
    torch.testing.assert_close(one.rotation[0] @ one.rotation[0].T, torch.eye(3), atol=1e-5, rtol=0)
    assert torch.linalg.det(one.rotation[0]).item() == pytest.approx(1.0, abs=1e-5)
    torch.testing.assert_close(-one.rotation[0, :, 2] * 2.0, -one.position[0])
    assert one.rotation[0, 1, 1] >= -1e-6  # never upside down


def test_rays_of_a_two_pixel_image_written_out():
    # fov 90 degrees: the image plane at distance 1 spans [-1, 1], pixel centres are at +-0.5.
    origins, directions = camera(0.0, 0.0).rays()
    assert origins.shape == directions.shape == (1, 2, 2, 3)
    torch.testing.assert_close(directions[0, 0, 0] * math.sqrt(1.5), torch.tensor([-0.5, 0.5, -1.0]))
    torch.testing.assert_close(directions[0, 1, 1] * math.sqrt(1.5), torch.tensor([0.5, -0.5, -1.0]))
    torch.testing.assert_close(origins[0, 1, 0], torch.tensor([0.0, 0.0, 2.0]))


def test_rays_agree_with_the_matrices():
    cameras = CameraSampler(size=8, field_of_view_jitter=0.1)(5, torch.Generator().manual_seed(1))
    cameras = replace(cameras, jitter=None)
    origins, directions = cameras.rays()
    points = origins + 2.5 * directions
    homogeneous = torch.cat([points, torch.ones_like(points[..., :1])], dim=-1)
    clip = torch.einsum("bij,bjk,bhwk->bhwi", cameras.projection(), cameras.world_to_camera(), homogeneous)
    ndc = clip[..., :3] / clip[..., 3:]
    centres = (torch.arange(8) + 0.5) / 4 - 1
    torch.testing.assert_close(ndc[..., 0], centres.expand(5, 8, 8), atol=1e-4, rtol=0)
    torch.testing.assert_close(ndc[..., 1], -centres[:, None].expand(5, 8, 8), atol=1e-4, rtol=0)


def test_jitter_moves_within_the_pixel_and_the_step():
    centred = camera(0.0, 0.0)
    corner = replace(centred, jitter=torch.tensor([[0.0, 0.0, 0.25]]))
    # The upper left corners of the pixels of a 2 x 2 image that spans [-1, 1] at distance 1.
    torch.testing.assert_close(corner.rays()[1][0, 0, 0] * math.sqrt(3.0), torch.tensor([-1.0, 1.0, -1.0]))
    torch.testing.assert_close(corner.rays()[1][0, 1, 1], torch.tensor([0.0, 0.0, -1.0]))
    middle = replace(centred, jitter=torch.tensor([[0.5, 0.5, 0.25]]))
    torch.testing.assert_close(middle.rays()[1], centred.rays()[1])
    assert corner.sample_offsets()[0, 0, 0].item() == 0.25
    assert (centred.sample_offsets() == 0.5).all()
    drawn = CameraSampler(size=16)(3, torch.Generator().manual_seed(0))
    offsets = drawn.sample_offsets()
    assert ((offsets >= 0) & (offsets < 1)).all()
    assert offsets.mean(dim=(1, 2)).tolist() == pytest.approx([0.5] * 3, abs=0.02)  # even, unlike 256 random numbers
    torch.testing.assert_close(drawn.rays(slice(3, 7))[1], drawn.rays()[1][:, 3:7])
    assert torch.equal(drawn.sample_offsets(slice(3, 7)), offsets[:, 3:7])


def test_batches_of_cameras_can_be_joined():
    one, two = turntable(1, size=4), turntable(2, size=4)
    assert torch.equal(Cameras.concatenate([one, two]).azimuth, torch.tensor([0.0, 0.0, math.pi]))
    with pytest.raises(ValueError, match="cannot be joined"):
        Cameras.concatenate([one, two.resized(5)])
    with pytest.raises(ValueError, match="cannot be joined"):
        Cameras.concatenate([one, replace(two, jitter=torch.zeros(2, 3))])


def test_projection_maps_near_and_far_to_minus_one_and_one():
    matrix = camera(0.0, 0.0).projection(near=0.5, far=4.0)[0]
    for depth, expected in [(0.5, -1.0), (4.0, 1.0)]:
        clip = matrix @ torch.tensor([0.0, 0.0, -depth, 1.0])
        assert (clip[2] / clip[3]).item() == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match="near"):
        camera(0.0, 0.0).projection(near=0.0)


def test_sampler_covers_all_sides_and_repeats_with_its_seed():
    sampler = CameraSampler(azimuth_jitter=0.0)
    cameras = sampler(8, torch.Generator().manual_seed(3))
    gaps = cameras.azimuth.sort().values.diff()
    torch.testing.assert_close(gaps, torch.full((7,), math.pi / 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(cameras.azimuth, sampler(8, torch.Generator().manual_seed(3)).azimuth, rtol=0, atol=0)


def test_sampler_distributions():
    sampler = CameraSampler()
    cameras = sampler(4000, torch.Generator().manual_seed(0))
    overhead = cameras.elevation == torch.tensor(sampler.overhead_elevation)
    assert overhead.float().mean().item() == pytest.approx(0.1, abs=0.02)
    usual = cameras.elevation[~overhead]
    assert usual.min() >= sampler.elevation_range[0]
    assert usual.max() <= sampler.elevation_range[1]
    assert (cameras.background == 1).all(dim=1).float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert (cameras.background == cameras.background[:, :1]).all()
    assert (cameras.distance / 2.8 - 1).abs().max() <= 0.0301
    coloured = CameraSampler(coloured_backgrounds=True, white_probability=0.0)(50, torch.Generator().manual_seed(0))
    assert (coloured.background[:, 0] != coloured.background[:, 1]).all()


def test_turntable_starts_in_front():
    cameras = turntable(4, elevation=0.0, size=16)
    torch.testing.assert_close(cameras.azimuth, torch.tensor([0.0, 0.5, 1.0, 1.5]) * math.pi)
    torch.testing.assert_close(cameras.position[0], torch.tensor([0.0, 0.0, 2.8]))
    assert cameras.field_of_view[0].item() == pytest.approx(DEFAULT_FIELD_OF_VIEW)
    assert len(cameras[1:3]) == 2
    assert cameras[torch.tensor([3])].azimuth.item() == pytest.approx(1.5 * math.pi)
    assert cameras.resized(5).rays()[0].shape == (4, 5, 5, 3)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="elevation"):
        Cameras(torch.zeros(2), torch.zeros(1), torch.ones(2), torch.ones(2), torch.ones(2, 3), 4)
    with pytest.raises(ValueError, match="background"):
        Cameras(torch.zeros(2), torch.zeros(2), torch.ones(2), torch.ones(2), torch.ones(2), 4)
    with pytest.raises(ValueError, match="size"):
        Cameras(torch.zeros(1), torch.zeros(1), torch.ones(1), torch.ones(1), torch.ones(1, 3), 0)


def test_cameras_that_belong_together_stand_evenly_around_and_are_alike_otherwise():
    cameras = CameraSampler(together=4)(8, torch.Generator().manual_seed(0))
    for group in (cameras[:4], cameras[4:]):
        turns = (group.azimuth - group.azimuth[0]) % (2 * math.pi)
        torch.testing.assert_close(turns, torch.arange(4) * (math.pi / 2), atol=1e-5, rtol=0)
        for value in (group.elevation, group.distance, group.field_of_view, group.background):
            assert (value == value[0]).all()
    assert cameras.azimuth[0] != cameras.azimuth[4]
    with pytest.raises(ValueError, match="6 cameras cannot be drawn 4 together"):
        CameraSampler(together=4)(6, torch.Generator())
