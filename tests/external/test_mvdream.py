"""Four views together beside MVDream's own network: the same weights, the same questions, the same answers."""

import importlib.util
import math
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from sds.teachers.diffusers import load_diffusers_teacher
from sds.teachers.multi_view import TO_Z_UP, VIEWS
from tests.sds.tiny_view_teachers import MULTI_VIEW, multi_view

SOURCE = os.environ.get("MVDREAM", "")

pytestmark = pytest.mark.skipif(not SOURCE, reason="MVDREAM names no mv_unet.py")


def rearranged(x: Tensor, how: str, **sizes: int) -> Tensor:
    """The four patterns of einops that the network uses."""
    return {
        "(b f) l c -> b (f l) c": lambda: x.reshape(len(x) // sizes["f"], -1, x.shape[-1]),
        "b (f l) c -> (b f) l c": lambda: x.reshape(len(x) * sizes["f"], -1, x.shape[-1]),
        "b c h w -> b (h w) c": lambda: x.flatten(2).transpose(1, 2),
        "b (h w) c -> b c h w": lambda: x.transpose(1, 2).reshape(len(x), -1, sizes["h"], sizes["w"]),
    }[how]()


def attention(q: Tensor, k: Tensor, v: Tensor, **_: Any) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v)


STAND_INS: dict[str, dict[str, Any]] = {
    "einops": {"rearrange": rearranged, "repeat": None},
    "xformers": {},
    "xformers.ops": {"memory_efficient_attention": attention},
    "kiui": {},
    "kiui.cam": {"orbit_camera": None},
}
"""What its file imports for cards and cameras, as far as its network needs it."""


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name, members in STAND_INS.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["xformers"].ops = sys.modules["xformers.ops"]  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("mv_unet", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_objects_of_four_views(reference: ModuleType, tmp_path: Path) -> None:
    folder = multi_view(tmp_path)
    config = {key: value for key, value in MULTI_VIEW.items() if key != "_class_name"}
    theirs = reference.MultiViewUNetModel(**config).eval()
    theirs.load_state_dict(load_file(folder / "unet" / "diffusion_pytorch_model.safetensors"))
    teacher = load_diffusers_teacher(folder)
    count = 2 * VIEWS
    x_t = torch.randn(count, *teacher.shape, generator=torch.Generator().manual_seed(0))
    azimuth = torch.arange(count) * (2 * math.pi / VIEWS) + 0.3
    view = SimpleNamespace(azimuth=azimuth, elevation=0.1 * azimuth, background=torch.ones(count, 3))
    condition = teacher.condition(["a red chair"] * VIEWS + ["a blue cat"] * VIEWS, view)
    t = torch.full((count,), 0.4, dtype=torch.float64)
    with torch.no_grad():
        noise = theirs(
            x_t.clone(),
            timesteps=teacher.schedule.timestep(t).float(),
            context=condition.tensors["text"],
            camera=condition.tensors["camera"].reshape(-1, 4, 4)[:, TO_Z_UP].flatten(1),
            num_frames=VIEWS,
        )
    alpha, sigma = (value.float().reshape(-1, 1, 1, 1) for value in teacher.schedule(t))
    torch.testing.assert_close(teacher(x_t, t, condition), (x_t - sigma * noise) / alpha, rtol=1e-4, atol=1e-4)
