import pytest
import torch
from torch import nn

from representations.two_pass import render_in_strips


class Picture:
    """Draws rows of sin(scale * pixel) and of scale^2 * pixel, and remembers how often and with what."""

    def __init__(self) -> None:
        self.scale = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
        self.unused = nn.Parameter(torch.zeros(2))
        self.pixels = torch.arange(2 * 7 * 5, dtype=torch.float64).reshape(2, 1, 7, 5)
        self.calls: list[tuple[int, bool]] = []

    def __call__(self, rows: slice) -> tuple[torch.Tensor, ...]:
        self.calls.append((rows.start, torch.is_grad_enabled()))
        part = self.pixels[:, :, rows]
        return (self.scale * part).sin(), self.scale.square() * part

    def in_strips(self, rows_at_once: int) -> tuple[torch.Tensor, ...]:
        return render_in_strips(self, 7, rows_at_once, [self.scale, self.unused])


def score(images: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Something that needs the whole image at once."""
    return (images[0] / images[0].norm()).cumsum(dim=2).square().sum() + images[1].mean() ** 2


@pytest.mark.parametrize("rows_at_once", [1, 3, 6, 7, 100])
def test_same_image_and_same_gradient(rows_at_once):
    whole, strips = Picture(), Picture()
    expected, images = whole(slice(0, 7)), strips.in_strips(rows_at_once)
    for image, reference in zip(images, expected, strict=True):
        assert torch.equal(image, reference)
    score(expected).backward()
    score(images).backward()
    torch.testing.assert_close(strips.scale.grad, whole.scale.grad)


def test_the_first_pass_remembers_nothing_and_each_strip_is_drawn_twice():
    picture = Picture()
    images = picture.in_strips(3)
    assert picture.calls == [(0, False), (3, False), (6, False)]
    score(images).backward()
    assert picture.calls[3:] == [(0, True), (3, True), (6, True)]


def test_parameters_that_changed_in_between_are_noticed():
    picture = Picture()
    loss = score(picture.in_strips(3))
    with torch.no_grad():
        picture.scale += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_frozen_parameters_are_left_alone():
    picture = Picture()
    picture.unused.requires_grad_(False)
    score(picture.in_strips(3)).backward()
    assert picture.scale.grad is not None
    assert picture.unused.grad is None
