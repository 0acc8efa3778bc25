"""The embedded teacher on a card."""

from types import SimpleNamespace

import torch

from sds.guidance import Guidance
from sds.prompts import PromptSet, condition_for
from sds.sampling import sample
from sds.score import score_gradient
from sds.teachers.embedded import load_embedded_teacher
from sds.view_agreement import view_agreement
from tests.card.rules import Counts

TIMES = torch.tensor([0.3, 0.7], dtype=torch.float64)


def view(count: int) -> SimpleNamespace:
    angles = torch.linspace(0, 3, count)
    return SimpleNamespace(azimuth=angles, elevation=0 * angles, background=torch.ones(count, 3))


def noise(shape: tuple[int, ...], count: int = 2) -> torch.Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))


def test_the_embedded_teacher_works_on_the_card_as_on_the_cpu(card: Counts) -> None:
    """Whatever teacher is shipped: pictures of the host meet it, and its times stay on the host."""
    pictures = []
    for device in ("cpu", "cuda"):
        teacher = load_embedded_teacher(device=device).with_one_object("a red chair")
        conditions = condition_for(teacher, PromptSet("a red chair"), view(2), 2)
        x = noise(teacher.shape).to(conditions.conditional.device)
        score = score_gradient(teacher, x, noise(teacher.shape).to(x), TIMES, conditions, Guidance(2.0))
        drawn = sample(teacher, conditions, Guidance(2.0), torch.Generator().manual_seed(0), steps=2)
        sides = view_agreement(teacher, torch.full((2, 3, 48, 48), 0.5), "a red chair", view(2), times=(0.6,))
        pictures.append([score.gradient.cpu(), drawn.cpu(), sides.errors])
    for here, there in zip(*pictures, strict=True):
        torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-3)
