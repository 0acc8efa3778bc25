"""A card for tests: pretended on the CPU, or the real one where SCORESMITH_CARD=real asks for it.

`make test-cuda` asks for the real one where torch sees one, and else for everything on the pretended one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.card.pretended import pretended_card
from tests.card.rules import Counts
from tests.sds import tiny_pipelines as tiny

ASKED = os.environ.get("SCORESMITH_CARD", "")
REAL = ASKED == "real"
EVERYTHING = bool(ASKED)
"""Whether all combinations are tried, which takes minutes on the pretended card."""

ARCHITECTURES = {
    "stable-diffusion": tiny.stable_diffusion,
    "stable-diffusion-v": lambda work: tiny.stable_diffusion(work, "v_prediction"),
    "stable-diffusion-xl": tiny.stable_diffusion_xl,
    "stable-diffusion-3": tiny.stable_diffusion_3,
    "deepfloyd-if": tiny.deepfloyd_if,
    "pixart": lambda work: tiny.pixart(work, told_size=True),
    "dit": tiny.diffusion_transformer,
    "unconditional": tiny.unconditional,
}
"""A tiny teacher of each architecture."""

PROMPTS = {"dit": "1", "unconditional": ""}


@pytest.fixture
def card() -> Iterator[Counts]:
    """A card for the whole test; what the pretended one counts is all zero on a real one."""
    if REAL:
        assert torch.cuda.is_available(), "SCORESMITH_CARD=real, but torch sees no card"
        yield Counts()
        return
    with pretended_card() as counts:
        yield counts


@pytest.fixture(scope="session")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each of `ARCHITECTURES`, made on the host."""
    folders = {}
    for name, pipeline in ARCHITECTURES.items():
        work = tmp_path_factory.mktemp(name)
        torch.manual_seed(0)
        pipeline(work / "work").save_pretrained(work / "teacher")
        folders[name] = work / "teacher"
    return folders
