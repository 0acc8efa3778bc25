"""Transformers of flows, teachers of several views and of a picture on a card: as on the CPU, and in bfloat16."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from sds.teachers import architectures
from sds.teachers.diffusers import DiffusersTeacher, load_diffusers_teacher
from tests.card.conftest import REAL
from tests.card.rules import Counts
from tests.sds import tiny_flow_pipelines as flow
from tests.sds import tiny_pipelines as tiny
from tests.sds.tiny_view_teachers import multi_view, picture_conditioned

VIEWS = 4


def saved(make: Callable[[Path], Any]) -> Callable[[Path], Path]:
    def folder(work: Path) -> Path:
        make(work / "work").save_pretrained(work / "teacher")
        return work / "teacher"

    return folder


FOLDERS: dict[str, tuple[Callable[[Path], Path], int]] = {
    "flux": (saved(flow.flux), 1),
    "sana": (saved(lambda work: flow.sana(FlowMatchEulerDiscreteScheduler(shift=3.0))), 1),
    "lumina": (saved(lambda work: flow.lumina()), 20),  # asks how long each caption is
    "aura-flow": (saved(lambda work: flow.aura_flow()), 1),
    "z-image": (saved(lambda work: flow.z_image()), 100),  # takes captions of different lengths one by one
    "views": (multi_view, 1),
    "picture": (lambda work: picture_conditioned(tiny.stable_diffusion(work, in_channels=8), work / "zero123"), 1),
}
"""How a folder is made, and how often its network may wait for the card."""


def told(teacher: DiffusersTeacher) -> Any:
    if teacher.sees_pictures:
        teacher.show(torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1)), 0.2)
    angles = torch.arange(VIEWS) * 1.5
    view = SimpleNamespace(azimuth=angles, elevation=0 * angles, background=torch.ones(VIEWS, 3))
    return teacher.condition(["a red chair"] * VIEWS, view)


def prediction(teacher: DiffusersTeacher, condition: Any) -> torch.Tensor:
    noise = torch.randn(VIEWS, *teacher.shape, generator=torch.Generator().manual_seed(0)).to(condition.device)
    return teacher(noise, torch.full((VIEWS,), 0.5, dtype=torch.float64), condition)


@pytest.mark.parametrize("name", FOLDERS)
def test_they_say_on_the_card_what_they_say_on_the_cpu(
    tmp_path: Path, card: Counts, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name == "z-image" and not REAL:
        pytest.skip("torch's pad_sequence, which the network uses, forgets that its tensors are pretended")
    for network in architectures.USUAL_SIZE:
        monkeypatch.setitem(architectures.USUAL_SIZE, network, 8)
    make, waits = FOLDERS[name]
    folder = make(tmp_path)
    there, here = load_diffusers_teacher(folder, "cuda", torch.float32), load_diffusers_teacher(folder)
    x0 = prediction(there, told(there))
    assert x0.is_cuda
    torch.testing.assert_close(x0.cpu(), prediction(here, told(here)), rtol=1e-3, atol=1e-3)

    half = load_diffusers_teacher(folder, "cuda")
    condition = told(half)
    assert next(half.network.parameters()).dtype is torch.bfloat16
    card.clear()
    assert bool(torch.isfinite(prediction(half, condition)).all())
    assert card.total("synchronisations") <= waits + 1, card.listed("synchronisations")  # and whether it is finite
