"""Half precision: float32 masters, scaled losses, and what happens where few digits are not enough."""

from pathlib import Path

import pytest
import torch
from torch import nn

from sds.baselines import METHODS
from sds.critic import Critic, CriticSettings
from sds.engine import ScoreDistillation, Settings
from sds.guidance import Guidance
from sds.lora import full_copy, lora_copy
from sds.noising import NOISINGS, FreshNoise
from sds.number_embedding import NumberEmbedding
from sds.precision import INITIAL_SCALE, Descent, computing_in, type_for
from sds.prompts import PromptSet, condition_for
from sds.score import NonFiniteGradientError
from sds.teachers.diffusers import load_diffusers_teacher
from sds.teachers.image_codec import with_gradient_in_range
from tests.sds import tiny_pipelines as tiny
from tests.sds.toys import Pixels

HALVES = [torch.float16, torch.bfloat16]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("teacher")
    tiny.stable_diffusion(work / "work").save_pretrained(work / "teacher")
    return work / "teacher"


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
@pytest.mark.parametrize("method", METHODS)
def test_three_steps_of_every_method_in_every_type(folder: Path, method: str, dtype: torch.dtype) -> None:
    teacher = load_diffusers_teacher(folder, dtype=dtype)
    torch.manual_seed(0)
    critic = Critic(teacher, CriticSettings(warm_up=1)) if method == "vsd" else None
    image = Pixels((3, 16, 16))
    prompts = PromptSet("a red chair", negative="a")
    run = ScoreDistillation(
        image,
        teacher,
        lambda count: condition_for(teacher, prompts, None, count, critic),
        torch.optim.Adam(image.parameters(), lr=0.01),
        Settings(
            steps=3,
            batch_size=2,
            method=METHODS[method],
            guidance=Guidance(4.0),
            noising=NOISINGS.get(method, FreshNoise()),
        ),
        critic=critic,
    )
    for _ in range(3):
        step = run.step()
        assert 0 < step.gradient_size < float("inf")
    assert bool(torch.isfinite(image.image).all())
    assert float((image.image.detach() - 0.5).abs().min()) > 0
    if critic is not None:
        learned = critic.state_dict()["network"]
        assert all(bool(torch.isfinite(weight).all()) for weight in learned.values())
        assert max(float(weight.abs().max()) for name, weight in learned.items() if ".lora_B." in name) > 1e-4


@pytest.mark.parametrize("dtype", HALVES)
def test_copies_learn_in_float32_beside_frozen_half_precision(dtype: torch.dtype) -> None:
    network = tiny.text_unet().to(dtype).requires_grad_(False)
    assert {p.dtype for p in full_copy(network).parameters()} == {torch.float32}
    adapted = lora_copy(network, 2)
    NumberEmbedding(adapted, 3, "told")
    assert {p.dtype for p in adapted.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for p in adapted.parameters() if not p.requires_grad} == {dtype}


def test_a_small_update_of_a_half_precision_weight_is_kept() -> None:
    copied = full_copy(nn.Linear(1, 1, bias=False).to(torch.bfloat16))
    nn.init.ones_(copied.weight)
    optimizer = torch.optim.SGD(copied.parameters(), lr=1e-4)
    descent = Descent(optimizer, torch.bfloat16)
    for _ in range(10):
        with computing_in(torch.bfloat16, torch.device("cpu")):
            loss = copied(torch.ones(1, 1)).sum()
        descent(loss, "it")
    assert float(copied.weight.detach()) == pytest.approx(
        1 - 1e-3, rel=1e-6
    )  # bfloat16 knows nothing between 0.996 and 1


def test_losses_in_float16_are_scaled_and_an_overflow_costs_one_step() -> None:
    weight = nn.Parameter(torch.zeros(1))
    descent = Descent(torch.optim.SGD([weight], lr=1.0), torch.float16)
    slope = 2.0**-24  # the smallest number of float16: an eighth of it is nothing without scaling
    descent(((weight.half() * slope) * 2.0**-3).float().sum(), "it")
    assert float(weight.detach()) == pytest.approx(-(2.0**-27), rel=1e-3)
    before = weight.detach().clone()
    descent((weight * float("inf")).sum(), "it")
    torch.testing.assert_close(weight.detach(), before, rtol=0, atol=0)
    assert descent.state_dict()["scale"] == INITIAL_SCALE / 2
    again = Descent(torch.optim.SGD([weight], lr=1.0), torch.float16)
    again.load_state_dict(descent.state_dict())
    assert again.state_dict() == descent.state_dict()
    while descent.scaler.get_scale() > 1:
        descent((weight * float("inf")).sum(), "it")
    with pytest.raises(NonFiniteGradientError, match="of it"):  # not for good
        descent((weight * float("inf")).sum(), "it")


def test_without_scaling_a_gradient_that_is_not_finite_is_an_error_before_anything_changes() -> None:
    weight = nn.Parameter(torch.ones(1))
    descent = Descent(torch.optim.SGD([weight], lr=1.0), torch.float32)
    with pytest.raises(NonFiniteGradientError):
        descent((weight * float("nan")).sum(), "it")
    assert float(weight.detach()) == 1.0


def test_a_loss_that_asks_for_nothing_does_not_count() -> None:
    """Adam's first step is as large as its rate, however long it had to wait; it would be ten times as large."""
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.Adam([weight], lr=1e-3, betas=(0.0, 0.999))
    descent = Descent(optimizer, torch.float32)
    for _ in range(100):
        assert descent(0 * weight.sum(), "it") == 0
    assert not optimizer.state
    descent(weight.sum(), "it")
    assert float(weight.detach()) == pytest.approx(1 - 1e-3, rel=1e-6)


def test_gradients_far_below_float16_pass_an_autoencoder_whole() -> None:
    x = torch.tensor([0.5, -2.0], requires_grad=True)
    with_gradient_in_range(lambda half: half * half, x, torch.float16).backward(torch.tensor([1e-9, 3e-9]))
    torch.testing.assert_close(x.grad, torch.tensor([1e-9, -12e-9]), rtol=1e-3, atol=0)


def test_an_autoencoder_that_overflows_goes_on_in_float32(folder: Path) -> None:
    image = torch.rand(1, 3, 16, 16)
    expected = load_diffusers_teacher(folder).encode(image)
    teacher = load_diffusers_teacher(folder, dtype=torch.bfloat16)
    original = teacher.codec.autoencoder.encoder.conv_in.forward
    nan_in_half = lambda x: original(x) * (float("nan") if x.dtype is torch.bfloat16 else 1.0)  # noqa: E731
    teacher.codec.autoencoder.encoder.conv_in.forward = nan_in_half
    with pytest.warns(UserWarning, match="goes on in float32"):
        found = teacher.encode(image)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)  # its weights were rounded when they were read
    assert teacher.codec.autoencoder.dtype is torch.float32


@pytest.mark.parametrize(("scaling_factor", "expected"), [(0.18215, torch.float16), (0.13025, torch.float32)])
def test_only_the_early_autoencoders_run_in_float16(tmp_path: Path, scaling_factor: float, expected) -> None:
    pipeline = tiny.stable_diffusion(tmp_path / "work")
    pipeline.vae.register_to_config(scaling_factor=scaling_factor)
    pipeline.save_pretrained(tmp_path / "teacher")
    teacher = load_diffusers_teacher(tmp_path / "teacher", dtype=torch.float16)
    assert teacher.codec.autoencoder.dtype is expected
    assert teacher.network.dtype is torch.float16


def test_the_type_follows_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda")
    assert type_for(torch.device("cpu")) is torch.float32
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert type_for(cuda, bears_float16=False) is torch.bfloat16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert type_for(cuda) is torch.float16
    assert type_for(cuda, bears_float16=False) is torch.float32
