"""The embedded teacher on a card."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from sds.guidance import Guidance
from sds.prompts import PromptSet, condition_for
from sds.sampling import sample
from sds.score import score_gradient
from sds.teachers import shape_teacher
from sds.teachers.embedded import load_embedded_teacher
from sds.teachers.shape_teacher import ShapeTeacher
from sds.view_agreement import view_agreement
from tests.card.rules import Counts
from tests.sds.tiny_shapes import tiny_shape_teacher

TIMES = torch.tensor([0.3, 0.7], dtype=torch.float64)


def view(count: int) -> SimpleNamespace:
    angles = torch.linspace(0, 3, count)
    return SimpleNamespace(azimuth=angles, elevation=0 * angles, background=torch.ones(count, 3))


def noise(shape: tuple[int, ...], count: int = 2) -> torch.Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))


def shipped(device: str) -> ShapeTeacher:
    return load_embedded_teacher(device=device)


@pytest.mark.parametrize(
    ("load", "prompt"), [(shipped, "a red chair"), (tiny_shape_teacher, "a red table beside a ball")]
)
def test_the_embedded_teacher_works_on_the_card_as_on_the_cpu(
    card: Counts, load: Callable[[str], ShapeTeacher], prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever teacher is shipped: pictures of the host meet it, and its times stay on the host."""
    monkeypatch.setattr(shape_teacher, "_ONE_FIELD_SIDE", 32)  # a pretended card is slow
    pictures = []
    for device in ("cpu", "cuda"):
        teacher = load(device).with_one_object(prompt)
        conditions = condition_for(teacher, PromptSet(prompt), view(2), 2)
        card.clear()
        condition_for(teacher, PromptSet(prompt), view(2), 2)  # fields are imagined once
        assert card.total("synchronisations") < 10, card.listed("synchronisations")
        x = noise(teacher.shape).to(conditions.conditional.device)
        score = score_gradient(teacher, x, noise(teacher.shape).to(x), TIMES, conditions, Guidance(2.0))
        drawn = sample(teacher, conditions, Guidance(2.0), torch.Generator().manual_seed(0), steps=2)
        sides = view_agreement(teacher, torch.full((2, 3, 48, 48), 0.5), prompt, view(2), times=(0.6,))
        pictures.append([score.gradient.cpu(), drawn.cpu(), sides.errors])
    # Card and host add in different orders. Where that decides whether a ray still meets an edge, a pixel shows another
    # surface, and the network answers to it in the pixels around.
    for here, there in zip(*pictures, strict=True):
        close = (there - here).abs() < 1e-3 + 1e-3 * here.abs()
        assert float(close.float().mean()) > 0.95
