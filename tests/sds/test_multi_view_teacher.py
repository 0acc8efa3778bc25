"""Four views denoised together: configuration, weights and cameras as MVDream's folders have them."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0

from sds.ramps import DREAMFUSION_TIMES
from sds.teachers.diffusers import DiffusersTeacher, load_diffusers_teacher
from sds.teachers.folder import TeacherFolderError
from tests.sds.tiny_view_teachers import MULTI_VIEW, multi_view


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return multi_view(tmp_path_factory.mktemp("views"))


@pytest.fixture(scope="module")
def teacher(folder: Path) -> DiffusersTeacher:
    return load_diffusers_teacher(folder)


def around(start: float = 0.0, count: int = 4) -> Any:
    azimuth = start + torch.arange(count) * (math.pi / 2)
    return SimpleNamespace(azimuth=azimuth, elevation=torch.full((count,), 0.2), background=torch.ones(count, 3))


def predicted(teacher: DiffusersTeacher, x_t: torch.Tensor, view: Any) -> torch.Tensor:
    t = torch.full((len(x_t),), 0.5, dtype=torch.float64)
    return teacher(x_t, t, teacher.condition(["a red chair"] * len(x_t), view))


def noisy(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def test_what_one_view_shows_changes_the_others_and_objects_stay_apart(teacher: DiffusersTeacher) -> None:
    assert (teacher.views_together, teacher.knows_views) == (4, True)
    x_t = noisy(8)
    view = SimpleNamespace(**{key: torch.cat([value, value]) for key, value in vars(around()).items()})
    before = predicted(teacher, x_t, view)
    changed = x_t.clone()
    changed[0] += 1
    change = (predicted(teacher, changed, view) - before).flatten(1).abs().amax(1)
    assert (change[:4] > 1e-4).all()
    assert (change[4:] < 1e-6).all()


def test_without_attention_across_views_each_stands_alone(folder: Path) -> None:
    teacher = load_diffusers_teacher(folder)
    together = predicted(teacher, noisy(), around())
    for name, module in teacher.network.named_modules():
        if name.endswith(".attn1"):
            module.set_processor(AttnProcessor2_0())
    assert not torch.allclose(predicted(teacher, noisy(), around()), together, atol=1e-4)


def test_views_may_come_in_any_order(teacher: DiffusersTeacher) -> None:
    order = torch.tensor([2, 0, 3, 1])
    view = SimpleNamespace(**{key: value[order] for key, value in vars(around()).items()})
    torch.testing.assert_close(
        predicted(teacher, noisy()[order], view), predicted(teacher, noisy(), around())[order], rtol=1e-4, atol=1e-4
    )


def test_the_camera_stands_in_mvdreams_world(teacher: DiffusersTeacher, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[torch.Tensor] = []
    forward = teacher.network.forward
    monkeypatch.setattr(
        teacher.network, "forward", lambda *x, **how: told.append(how["class_labels"]) or forward(*x, **how)
    )
    predicted(teacher, noisy(), around())
    front = told[0][0].reshape(4, 4)
    up, forwards = math.sin(0.2), math.cos(0.2)
    # Up is +Z; the camera in front of an object stands at +X, and looks along its own -Z.
    torch.testing.assert_close(front[:3, 3], torch.tensor([forwards, 0.0, up]))
    torch.testing.assert_close(front[:3, 2], front[:3, 3])
    torch.testing.assert_close(front[:3, 0], torch.tensor([0.0, 1.0, 0.0]))
    torch.testing.assert_close(told[0][1].reshape(4, 4)[:3, 3], torch.tensor([0.0, forwards, up]))


def test_three_views_and_pictures_as_prompts_are_refused(folder: Path, teacher: DiffusersTeacher) -> None:
    with pytest.raises(ValueError, match="sees 4 views of an object together, not 3"):
        predicted(teacher, noisy(3), around(count=3))
    config = folder / "unet" / "config.json"
    for change, reason in (({"ip_dim": 16}, "ImageDream"), ({"camera_dim": None}, "camera_dim")):
        config.write_text(json.dumps({**MULTI_VIEW, **change}))
        with pytest.raises(TeacherFolderError, match=reason):
            load_diffusers_teacher(folder)
    config.write_text(json.dumps(MULTI_VIEW))


def test_views_of_one_object_share_their_noise_level() -> None:
    t = DREAMFUSION_TIMES.sample(8, 0.5, torch.Generator().manual_seed(0), together=4)
    assert t.shape == (8,)
    assert len(set(t[:4].tolist())) == len(set(t[4:].tolist())) == 1
    assert t[0] != t[4]
    with pytest.raises(ValueError, match="groups of 4"):
        DREAMFUSION_TIMES.sample(6, 0.5, torch.Generator(), together=4)
