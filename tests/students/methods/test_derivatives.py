"""The change of a network's prediction along a path: exact where it can be, a difference where it cannot."""

import warnings

import pytest
import torch
from diffusers import UNet2DModel
from torch import Tensor

from sds.schedule import cosine_schedule
from students.methods.continuous_consistency import along_path
from students.methods.derivatives import difference, with_derivative
from students.student import Student
from tests.sds.tiny_shapes import talking_teacher
from tests.students.toys import normals, two_modes


def test_the_derivative_of_a_function_by_hand():
    t = torch.tensor([0.2, 0.5], dtype=torch.float64)
    value, slope = with_derivative(lambda time: torch.stack([time**2, time.sin()], dim=1), t)
    torch.testing.assert_close(value, torch.stack([t**2, t.sin()], dim=1))
    torch.testing.assert_close(slope, torch.stack([2 * t, t.cos()], dim=1))
    at_the_ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(difference(lambda time: time[:, None], at_the_ends), torch.ones(2, 1).double())


def test_the_derivative_of_a_unet_along_a_path_is_exact():
    """Against a difference in float64. (Networks are told the time in float32, which rounds smaller ones.)."""
    teacher = talking_teacher()
    teacher.network.double()
    student = Student(teacher)
    x_t, t = normals(2, *teacher.shape).double(), torch.tensor([0.3, 0.7], dtype=torch.float64)
    condition = teacher.condition(["a red ball", "a table"], None)
    condition = type(condition)({name: value.double() for name, value in condition.tensors.items()})
    denoised = normals(2, *teacher.shape, seed=1).double()

    def along(time: Tensor) -> Tensor:
        return student(along_path(cosine_schedule(), x_t, denoised, t, time), time, 0 * t, condition)

    with torch.no_grad():
        value, slope = with_derivative(along, t)
        expected = difference(along, t, 2e-5)
        torch.testing.assert_close(value, along(t))
    size = expected.square().mean().sqrt()
    assert float((slope - expected).square().mean().sqrt() / size) < 4e-3


def test_a_unet_whose_attention_leaves_channels_side_by_side_has_an_exact_derivative():
    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=4,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=4,
    ).double()
    x, t = normals(2, 3, 4, 4).double(), torch.tensor([0.3, 0.7], dtype=torch.float64)

    def along(time: Tensor) -> Tensor:
        return unet(x * time[:, None, None, None].cos(), torch.tensor([300.0, 700.0])).sample

    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("error", message="this network knows no forward derivative")
        _, slope = with_derivative(along, t)
        torch.testing.assert_close(slope, difference(along, t, 1e-5), rtol=1e-6, atol=1e-8)


def test_a_network_that_knows_no_forward_derivative_is_differenced_with_a_warning():
    class OneWay(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: Tensor) -> Tensor:
            return x.sin()

        @staticmethod
        def backward(ctx, gradient: Tensor) -> Tensor:
            return gradient

    t = torch.tensor([0.4], dtype=torch.float64)
    with pytest.warns(UserWarning, match="knows no forward derivative"):
        value, slope = with_derivative(lambda time: OneWay.apply(time)[:, None], t)
    torch.testing.assert_close(value, t.sin()[:, None])
    torch.testing.assert_close(slope, t.cos()[:, None], rtol=0, atol=1e-6)
    with pytest.raises(RuntimeError, match="size of tensor"):
        with_derivative(lambda time: time + torch.zeros(3), torch.rand(2).double())


def test_gradients_still_flow_to_nobody():
    """Targets are made without gradients, and stay so."""
    teacher = two_modes()
    student, t = Student(teacher), torch.full((3,), 0.5).double()
    with torch.no_grad():
        value, slope = with_derivative(lambda time: student(normals(3, 1), time, 0 * t, teacher.condition([""] * 3)), t)
    assert not value.requires_grad
    assert not slope.requires_grad
