"""Vector pictures: areas by hand, gradients by finite differences, and files that say what was drawn."""

import math
import re
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor

from representations.images.coverage import coverage
from representations.images.svg import SIDE, svg_of
from representations.images.vector import VectorImage, circle, outlines


def polygon(*corners: tuple[float, float]) -> Tensor:
    return torch.tensor([corners], dtype=torch.float64)


def test_areas_by_hand():
    """A rectangle from (0.5, 1) to (2.25, 3): columns 0, 1, 2 are covered by 0.5, 1 and 0.25 in rows 1 and 2."""
    covered = coverage(polygon((0.5, 1), (2.25, 1), (2.25, 3), (0.5, 3)), 4, 4)[0]
    row = torch.tensor([0.5, 1, 0.25, 0], dtype=torch.float64)
    torch.testing.assert_close(covered, torch.stack([0 * row, row, row, 0 * row]))
    triangle = coverage(polygon((0, 0), (2, 0), (0, 2)), 2, 2)[0]
    torch.testing.assert_close(triangle, torch.tensor([[1, 0.5], [0.5, 0]], dtype=torch.float64))


@pytest.mark.parametrize("turn", [1, -1])
def test_the_sum_of_all_coverage_is_the_area_wherever_the_shape_lies(turn: int):
    rng = torch.Generator().manual_seed(0)
    angle = turn * torch.linspace(0, 2 * math.pi, 12, dtype=torch.float64)[:-1]
    for _ in range(20):
        centre = 8 + 4 * torch.rand(2, generator=rng, dtype=torch.float64)
        radius = 1 + 4 * torch.rand(11, generator=rng, dtype=torch.float64)
        corners = centre + radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
        after = corners.roll(-1, 0)
        area = 0.5 * (corners[:, 0] * after[:, 1] - corners[:, 1] * after[:, 0]).sum().abs()
        assert coverage(corners[None], 20, 20).sum().item() == pytest.approx(float(area), abs=1e-9)
    everything = polygon((-5, -5), (30, -5), (30, 30), (-5, 30))
    torch.testing.assert_close(coverage(everything, 20, 20), torch.ones(1, 20, 20, dtype=torch.float64))
    beside = polygon((-9, 2), (-1, 2), (-1, 5)), polygon((22, 2), (29, 2), (29, 5))
    assert all(float(coverage(one, 20, 20).max()) < 1e-12 for one in beside)


def test_the_derivative_is_the_area_that_is_swept():
    torch.manual_seed(0)
    corners = 6 * torch.rand(3, 7, 2, dtype=torch.float64) - 0.5  # partly outside, and crossing themselves
    corners.requires_grad_(True)
    weight = torch.rand(3, 5, 5, dtype=torch.float64)
    gradient = torch.autograd.grad((coverage(corners, 5, 5) * weight).sum(), corners)[0]
    step = 1e-6
    for index in range(0, corners.numel(), 5):
        moved = torch.zeros(corners.numel(), dtype=torch.float64)
        moved[index] = step
        ends = [
            (coverage((corners + sign * moved.reshape(corners.shape)).detach(), 5, 5) * weight).sum()
            for sign in (1, -1)
        ]
        assert gradient.flatten()[index].item() == pytest.approx(float(ends[0] - ends[1]) / (2 * step), abs=1e-5)


def test_a_whole_picture_against_finite_differences():
    image = VectorImage(12, 3, torch.Generator().manual_seed(1)).double()
    weight = torch.rand(3, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (image.image()[0] * weight).sum().backward()
    for parameter in image.parameters():
        flat = parameter.data.view(-1)
        for index in range(0, len(flat), 7):
            values = []
            for sign in (1, -1):
                flat[index] += sign * 1e-6
                values.append(float((image.image()[0] * weight).sum().detach()))
                flat[index] -= sign * 1e-6
            difference = (values[0] - values[1]) / 2e-6
            assert parameter.grad.view(-1)[index].item() == pytest.approx(difference, abs=1e-4)


def test_a_circle_is_round_and_shapes_lie_over_each_other():
    corners = outlines(circle()[None].double(), 64)[0]
    assert (corners.norm(dim=1) - 1).abs().max() < 3e-4  # as round as cubic segments are
    image = VectorImage(8, 2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        image.points.copy_(0.5 + 2 * circle())
        image.points.clamp_(-0.4, 1.4)
        image.colours.copy_(torch.tensor([[9.0, -9, -9], [-9, 9, -9]]))  # green over red
        image.opacities.copy_(torch.tensor([20.0, 0.0]))  # of which half is let through
    pixel = image.image()[0, :, 4, 4]
    torch.testing.assert_close(pixel, torch.tensor([0.5, 0.5, 0.0]), atol=1e-3, rtol=0)


def test_the_file_says_what_is_drawn():
    image = VectorImage(16, 5, torch.Generator().manual_seed(3))
    root = ElementTree.fromstring(svg_of(image.shapes(), 'a "cactus" <& co>'))
    name = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{name}title").text == 'a "cactus" <& co>'
    paths = root.findall(f"{name}path")
    assert len(paths) == 5
    for path, shape in zip(paths, image.shapes(), strict=True):
        numbers = torch.tensor([float(number) for number in re.findall(r"-?[\d.]+", path.get("d"))]).reshape(-1, 2)
        torch.testing.assert_close(numbers[:-1], shape.points[[*range(12)]] * SIDE, atol=0.006, rtol=0)
        torch.testing.assert_close(numbers[-1], numbers[0])
        red, green, blue = (int(path.get("fill")[i : i + 2], 16) / 255 for i in (1, 3, 5))
        assert (red, green, blue) == pytest.approx(shape.colour, abs=0.5 / 255 + 1e-6)
        assert float(path.get("fill-opacity")) == pytest.approx(shape.opacity, abs=6e-4)


def test_a_shape_is_drawn_to_where_it_is_wanted():
    """Squared error instead of a teacher: a black disc on white is found from a gray one somewhere else."""
    rows, columns = torch.meshgrid(torch.arange(24), torch.arange(24), indexing="ij")
    wanted = 1 - ((rows - 12.5) ** 2 + (columns - 14.5) ** 2 < 36).float().expand(3, 24, 24)
    image = VectorImage(24, 1, torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(image.parameter_groups())
    first = float(((image.image()[0] - wanted) ** 2).mean().detach())
    for _ in range(60):
        loss = ((image.image()[0] - wanted) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.2 * first


def test_what_is_no_polygon_is_refused():
    for bad in (torch.zeros(1, 2, 2), torch.zeros(3, 2), torch.full((1, 3, 2), math.nan)):
        with pytest.raises(ValueError, match="polygons"):
            coverage(bad, 4, 4)
    with pytest.raises(ValueError, match="pixel"):
        coverage(torch.zeros(1, 3, 2), 0, 4)
    with pytest.raises(ValueError, match="closed cubic"):
        outlines(torch.zeros(1, 4, 2))
    with pytest.raises(ValueError, match="shape or more"):
        VectorImage(8, 0, torch.Generator())


def test_scraps_are_left_out_and_the_picture_stays():
    """A ball of a tenth, one of a hundredth, one that is hidden, one that is transparent: the first alone is seen."""
    image = VectorImage(32, 4, torch.Generator().manual_seed(0))
    with torch.no_grad():
        image.points.copy_(0.5 + torch.tensor([0.09, 0.1, 0.01, 0.1])[:, None, None] * circle())
        image.points[3] += 0.3
        image.opacities.copy_(torch.tensor([8.0, 8.0, 8.0, -8.0]))
    cleaned = image.without_scraps()
    assert len(cleaned.shapes()) == 1
    torch.testing.assert_close(cleaned.points[0], image.points[1])  # it hides the one below
    torch.testing.assert_close(cleaned.colours[0], image.colours[1])
    assert float((cleaned.drawn(64) - image.drawn(64)).abs().mean()) < 1e-3
    assert len(image.without_scraps(least=0.0).shapes()) == 4
    assert len(image.without_scraps(least=1.0).shapes()) == 1  # a file without any would be no picture


def test_what_is_seen_of_a_shape_is_its_area_times_its_opacity():
    image = VectorImage(16, 1, torch.Generator().manual_seed(0))
    with torch.no_grad():
        image.points.copy_(0.5 + 0.2 * circle()[None])
        image.opacities.fill_(0.0)
    area = 0.5 * math.pi * 0.2**2
    assert len(image.without_scraps(least=0.9 * area).shapes()) == 1
    torch.testing.assert_close(image._shares(128)[0].detach().mean(), torch.tensor(area), rtol=0.01, atol=0)
