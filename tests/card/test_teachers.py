"""Teachers of every architecture on a card: they say there what they say on the CPU, and train copies of themselves."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sds.baselines import METHODS
from sds.checkpoint import load_checkpoint, save_checkpoint
from sds.critic import Critic, CriticSettings
from sds.guidance import Guidance
from sds.noising import NOISINGS, FreshNoise
from sds.prompts import PromptSet, condition_for
from sds.score import score_gradient
from sds.teachers.diffusers import DiffusersTeacher, load_diffusers_teacher
from tests.card.conftest import ARCHITECTURES, PROMPTS
from tests.card.rules import Counts

TIMES = torch.tensor([0.3, 0.7], dtype=torch.float64)


def view(count: int) -> SimpleNamespace:
    angles = torch.linspace(0, 3, count)
    return SimpleNamespace(azimuth=angles, elevation=0 * angles, background=torch.ones(count, 3))


def noise(shape: tuple[int, ...], count: int = 2) -> torch.Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))


def prediction(teacher: DiffusersTeacher, prompt: str) -> torch.Tensor:
    condition = teacher.condition([prompt] * 2, None)
    return teacher(noise(teacher.shape).to(condition.device), TIMES, condition).float().cpu()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_teacher_says_on_the_card_what_it_says_on_the_cpu(teachers: dict[str, Path], card: Counts, name: str) -> None:
    prompt = PROMPTS.get(name, "a red chair")
    expected = prediction(load_diffusers_teacher(teachers[name], "cpu"), prompt)
    teacher = load_diffusers_teacher(teachers[name], "cuda", torch.float32)
    torch.testing.assert_close(prediction(teacher, prompt), expected, rtol=1e-3, atol=1e-3)

    images = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(1)).to("cuda").requires_grad_()
    x = teacher.encode(images)
    x.square().sum().backward()
    assert x.is_cuda
    assert bool(torch.isfinite(images.grad).all())
    assert teacher.decode(x.detach()).shape[1] == 3


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_by_default_it_runs_in_bfloat16_and_a_step_waits_for_few_things(
    teachers: dict[str, Path], card: Counts, name: str
) -> None:
    teacher, prompt = load_diffusers_teacher(teachers[name], "cuda"), PROMPTS.get(name, "a red chair")
    conditions = condition_for(teacher, PromptSet(prompt, directions=None), None, 2)
    x = noise(teacher.shape).to("cuda")
    assert next(teacher.network.parameters()).dtype is torch.bfloat16
    card.clear()
    gradient = score_gradient(teacher, x, noise(teacher.shape).to(x), TIMES, conditions, Guidance(7.5)).gradient
    assert gradient.is_cuda
    assert card.total("synchronisations") <= 1, card.listed("synchronisations")  # whether it is finite
    assert card.total("float64") == 0, card.listed("float64")


@pytest.mark.parametrize(
    ("name", "rank", "bfloat16"),
    [("stable-diffusion", 2, True), ("stable-diffusion", None, False), ("stable-diffusion-3", 2, False)],
)
def test_critics_keep_float32_weights_and_learn(
    teachers: dict[str, Path], card: Counts, monkeypatch, tmp_path: Path, name: str, rank: int | None, bfloat16: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bfloat16)
    teacher = load_diffusers_teacher(teachers[name], "cuda")
    assert next(teacher.network.parameters()).dtype is (torch.bfloat16 if bfloat16 else torch.float16)
    critic = Critic(teacher, CriticSettings(rank=rank, warm_up=1))
    before = {key: value.clone() for key, value in critic.state_dict()["network"].items()}
    condition, rng = critic.condition(["a red chair"] * 2, view(2)), torch.Generator().manual_seed(0)
    losses = [critic.update(noise(teacher.shape).to("cuda"), condition, rng) for _ in range(3)]
    after = critic.state_dict()["network"]
    assert all(value == value for value in losses)
    assert all(value.dtype is torch.float32 and bool(torch.isfinite(value).all()) for value in after.values())
    assert any(bool((after[key] != before[key]).any()) for key in after)
    save_checkpoint(tmp_path / "critic.pt", critic.state_dict())
    again = Critic(teacher, CriticSettings(rank=rank, warm_up=1))
    again.load_state_dict(load_checkpoint(tmp_path / "critic.pt"))
    assert again.descent.state_dict() == critic.descent.state_dict()
    assert critic.update(noise(teacher.shape).to("cuda"), condition, rng.clone_state()) == again.update(
        noise(teacher.shape).to("cuda"), condition, rng.clone_state()
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_finite_gradient_there(teachers: dict[str, Path], card: Counts, method: str) -> None:
    teacher = load_diffusers_teacher(teachers["deepfloyd-if"], "cuda")
    critic = Critic(teacher)
    conditions = condition_for(teacher, PromptSet("a red chair", negative="a"), view(2), 2, critic)
    x = noise(teacher.shape).to("cuda")
    noising = NOISINGS.get(method, FreshNoise())
    noised = noising(teacher, x, TIMES, conditions, torch.Generator().manual_seed(0))
    score = score_gradient(
        teacher,
        x,
        noised.noise,
        TIMES,
        conditions,
        Guidance(4.0),
        METHODS[method],
        reference=critic,
        previous=noised.previous,
    )
    assert bool(torch.isfinite(score.gradient).all())
