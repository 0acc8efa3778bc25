"""3D Gaussians: projection by hand, splatting against plain torch with its gradients, moves, and files."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from representations.cameras import turntable
from representations.gaussians.cloud import GaussianCloud, divided_among, points_on, turned_to
from representations.gaussians.files import (
    SPLAT,
    GaussianFileError,
    gaussians_of,
    ply_bytes,
    read_ply,
    splat_bytes,
)
from representations.gaussians.projection import BLUR, Projected, covariances, opencv_views, project, rotations
from representations.gaussians.splatting import splat
from tests.representations.shapes import ball

SIZE = 12


def random_cloud(count: int, seed: int = 0) -> GaussianCloud:
    rng = torch.Generator().manual_seed(seed)
    cloud = GaussianCloud(count).double()
    with torch.no_grad():
        for parameter, centre, spread in zip(
            cloud.parameters(), (0, -1.5, 0, 0.5, 0), (0.4, 0.4, 1, 1.5, 1), strict=True
        ):
            parameter.copy_(centre + spread * torch.randn(parameter.shape, generator=rng, dtype=torch.float64))
    return cloud


def view_of(cloud: GaussianCloud, azimuth: int = 1) -> Projected:
    cameras = turntable(5, math.radians(20), SIZE)[azimuth : azimuth + 1]
    views, focals = opencv_views(cameras)
    covariance = covariances(cloud.quaternions, cloud.log_scales.exp())
    return project(cloud.means, covariance, views[0].double(), focals[0].double(), SIZE)


def plainly(projected: Projected, colours: Tensor, opacities: Tensor) -> tuple[Tensor, Tensor]:
    """Every Gaussian at every pixel, one after the other, differentiated by torch."""
    middle = torch.arange(SIZE, dtype=torch.float64) + 0.5
    y, x = torch.meshgrid(middle, middle, indexing="ij")
    image, light = torch.zeros(SIZE, SIZE, 3, dtype=torch.float64), torch.ones(SIZE, SIZE, dtype=torch.float64)
    finished = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    for g in projected.depths.argsort().tolist():
        dx, dy = x - projected.centres[g, 0], y - projected.centres[g, 1]
        a, b, c = projected.conics[g]
        alpha = (opacities[g] * torch.exp(-(a * dx * dx + c * dy * dy) / 2 - b * dx * dy)).clamp(max=0.999)
        drawn = (alpha >= 1 / 255) & ~finished & bool(projected.radii[g, 0] > 0)
        finished = finished | (drawn & (light * (1 - alpha) <= 1e-4))
        alpha = torch.where(drawn & ~finished, alpha, 0.0)
        image = image + (light * alpha)[..., None] * colours[g]
        light = light * (1 - alpha)
    return image, light


@pytest.mark.parametrize("count", [1, 6, 60])
def test_splatting_and_its_gradients_are_those_of_plain_torch(count: int):
    weight = torch.rand(SIZE, SIZE, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    results = []
    for draw in (lambda *all_of_it: splat(*all_of_it, SIZE), plainly):
        cloud = random_cloud(count)
        image, light = draw(view_of(cloud), cloud.colour_logits.sigmoid(), cloud.opacity_logits.sigmoid())
        ((image * weight[..., :3]).sum() + (light * weight[..., 3]).sum()).backward()
        results.append((image.detach(), light.detach(), *(p.grad for p in cloud.parameters())))
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-7, atol=1e-9)


def test_many_opaque_ones_finish_a_pixel():
    cloud = random_cloud(80)
    with torch.no_grad():
        cloud.means.mul_(0.2)
        cloud.opacity_logits.fill_(6.0)
    projected = view_of(cloud)
    ours = splat(projected, cloud.colour_logits.sigmoid(), cloud.opacity_logits.sigmoid(), SIZE)
    reference = plainly(projected, cloud.colour_logits.sigmoid(), cloud.opacity_logits.sigmoid())
    assert float(reference[1].detach().min()) < 2e-3
    for one, other in zip(ours, reference, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_a_ball_in_the_middle_falls_where_it_should():
    """At depth z a ball of deviation s has focal s / z pixels, plus the blur; and it is nearer the nearer it is."""
    cloud = GaussianCloud(1).double()
    with torch.no_grad():
        cloud.log_scales.fill_(math.log(0.1))
        cloud.means.copy_(torch.tensor([[0.0, 0.3, 0.5]]))  # above the middle, towards the front camera
    camera = turntable(1, 0.0, 64)
    views, focals = opencv_views(camera)
    seen = project(
        cloud.means, covariances(cloud.quaternions, cloud.log_scales.exp()), views[0].double(), focals[0].double(), 64
    )
    depth, focal = float(camera.distance) - 0.5, 32 / math.tan(float(camera.field_of_view) / 2)
    assert seen.depths.item() == pytest.approx(depth, abs=1e-6)
    assert seen.centres[0].tolist() == pytest.approx([32, 32 - focal * 0.3 / depth], abs=1e-4)
    across = (focal * 0.1 / depth) ** 2 + BLUR
    assert seen.conics[0, 0].item() == pytest.approx(1 / across, rel=1e-5)
    assert seen.radii[0, 0].item() == math.ceil(3.33 * across**0.5)
    behind = project(
        torch.tensor([[0.0, 0.0, 9.0]]).double(), torch.eye(3)[None].double(), views[0].double(), focals[0].double(), 64
    )
    assert behind.radii.tolist() == [[0, 0]]
    assert bool(behind.centres.isfinite().all())


def test_copies_together_look_like_the_one_they_were():
    opacity = torch.tensor([0.3, 0.9, 0.6]).double()
    each, factor = divided_among(opacity, torch.tensor([1, 5, 2]))
    torch.testing.assert_close(1 - (1 - each) ** torch.tensor([1, 5, 2]), opacity)
    assert factor[0].item() == pytest.approx(1)
    # for two copies by hand: o / (2 o' - o'^2 / sqrt 2)
    assert factor[2].item() == pytest.approx(0.6 / (2 * float(each[2]) - float(each[2]) ** 2 / 2**0.5))


class Ball:
    """A solid whose surface is a sphere, red on one side."""

    def surface(self, faces: int | None = None):
        return ball()

    def seen_color(self, points: Tensor, normals: Tensor) -> Tensor:
        other = torch.full((len(points),), 0.2)
        return torch.stack([(points[:, 0] > 0).float(), other, other], 1)

    color_at = seen_color


def test_a_cloud_begins_as_a_surface_and_moves_what_nobody_sees():
    cloud = GaussianCloud(600)
    cloud.begin_with(Ball())
    radius = cloud.means.detach().norm(dim=1)
    assert radius.std() < 0.05
    rendering = cloud(turntable(4, 0.0, 32))
    assert rendering.image.shape == (4, 3, 32, 32)
    assert float(rendering.opacity[0, 0, 16, 16].detach()) > 0.9
    normals = rotations(cloud.quaternions.detach())[:, :, 2]
    assert float((normals * cloud.means.detach() / radius[:, None]).sum(1).min()) > 0.9
    optimizer = torch.optim.Adam(cloud.parameter_groups())
    rendering.image.mean().backward()
    optimizer.step()
    with torch.no_grad():
        cloud.opacity_logits[:100] = -9.0
        cloud.means[:100] = 5.0
    assert cloud.move_unseen(3, optimizer) == 0
    assert cloud.move_unseen(50, optimizer) == 100
    assert float(cloud.means.detach().norm(dim=1).max()) < 2
    assert float(cloud.opacity_logits.detach().min()) > -6
    assert float(optimizer.state[cloud.means]["exp_avg"][:100].abs().max()) == 0


def test_points_lie_on_the_surface_and_quaternions_turn():
    mesh = ball()
    points, normals = points_on(mesh, 500, np.random.default_rng(0))
    assert float((points / points.norm(dim=1, keepdim=True) * normals).sum(1).min()) > 0.8
    directions = torch.nn.functional.normalize(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    directions = torch.cat([directions, torch.tensor([[0.0, 0, 1], [0, 0, -1]])])
    torch.testing.assert_close(rotations(turned_to(directions))[:, :, 2], directions, atol=1e-5, rtol=0)


def test_files_hold_what_the_cloud_is():
    cloud = random_cloud(30).float()
    wanted = gaussians_of(cloud)
    content = ply_bytes(wanted)
    assert content.startswith(b"ply\nformat binary_little_endian 1.0\nelement vertex 30\nproperty float x\n")
    again = read_ply(content)
    for name, value in vars(wanted).items():
        np.testing.assert_allclose(getattr(again, name), value, atol=1e-4, rtol=1e-4, err_msg=name)
    records = np.frombuffer(splat_bytes(wanted), SPLAT)
    assert SPLAT.itemsize == 32
    first = int(np.argmax(wanted.scales.prod(1) * wanted.opacities))
    np.testing.assert_allclose(records["mean"][0], wanted.means[first])
    np.testing.assert_allclose(records["colour"][0][:3] / 255, wanted.colours[first], atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose((records["rotation"][0] - 128.0) / 128, wanted.quaternions[first], atol=0.5 / 128 + 1e-6)


def test_what_holds_no_gaussians_is_refused():
    content = ply_bytes(gaussians_of(GaussianCloud(3)))
    for bad in (b"", b"solid", content[:-1], content.replace(b"rot_3", b"rot_9"), content.replace(b" 3\n", b" 4\n")):
        with pytest.raises(GaussianFileError, match="PLY"):
            read_ply(bad)
    with pytest.raises(ValueError, match="one Gaussian"):
        GaussianCloud(0)
    projected = view_of(random_cloud(3))
    with pytest.raises(ValueError, match="3 Gaussians need"):
        splat(projected, torch.zeros(2, 3), torch.zeros(3), SIZE)
    cloud = GaussianCloud(1)
    torch.nn.init.constant_(cloud.means, math.inf)
    with pytest.raises(ValueError, match="not finite"):
        ply_bytes(gaussians_of(cloud))
